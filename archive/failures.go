package archive

import (
	"slices"
	"strings"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// Failures are those of a run, by the distfiles that they are about.
type failures struct {
	v     *vault.Vault
	facts *plan.Facts
	sum   *report.Summary
	// failing are those that were found, tried those of transfers.
	failing map[ledger.FailureKey]*plan.Failing
	tried   map[ledger.FailureKey]*fetch.Error
	// waited are those not tried because their time has not come.
	waited map[ledger.FailureKey]bool
}

func newFailures(v *vault.Vault, facts *plan.Facts, sum *report.Summary) *failures {
	return &failures{
		v: v, facts: facts, sum: sum,
		failing: make(map[ledger.FailureKey]*plan.Failing),
		tried:   make(map[ledger.FailureKey]*fetch.Error),
		waited:  make(map[ledger.FailureKey]bool),
	}
}

// add notes a failure.
func (fs *failures) add(f *plan.Failing) { fs.failing[f.Key] = f }

// end ends failures that were found in this run.
func (fs *failures) end(keys ...ledger.FailureKey) {
	for _, k := range keys {
		delete(fs.failing, k)
	}
}

// file notes a failure of one file of the archive.
func (fs *failures) file(d *ledger.Distfile, err error) {
	fs.add(&plan.Failing{Key: ledger.FailureKey{Name: d.Name, Want: ledger.NoWant}, Owner: d.Owner, Class: failure.Local, Reason: err.Error()})
}

// files notes failures of files of the archive.
func (fs *failures) files(errs []*vault.FileError) {
	for _, e := range errs {
		fs.file(e.Of, e.Err)
	}
}

// check notes that a content does not pass the check of a view.
func (fs *failures) check(d *catalog.Distfile, err error) {
	w := plan.NewWant(d, true)
	fs.add(&plan.Failing{Key: w.KeyOf("check"), Owner: w.Owner(), Class: failure.Digest, Reason: err.Error()})
}

// miss notes that d is lost, if anybody counts on it.
func (fs *failures) miss(d *ledger.Distfile) bool {
	f := fs.facts.Missed(d.Failure(ledger.Lost), d.Owner)
	if f != nil {
		fs.add(f)
	}
	return f != nil
}

// stillMissed takes over the failures about lost contents that have not been
// supplied since, be it by another content of the name.
func (fs *failures) stillMissed() {
	for key, old := range fs.v.Index.Failures {
		if !strings.HasPrefix(key.Want, ledger.Lost) || slices.ContainsFunc(fs.v.Index.ByName(key.Name), func(d *ledger.Distfile) bool {
			return d.Failure(ledger.Lost) == key || d.Named && !d.Added.Before(old.First)
		}) {
			continue
		}
		if f := fs.facts.Missed(key, old.Owner); f != nil {
			fs.add(f)
		}
	}
}

// missRecycled notes what is on the whitelist and cannot come back from recycle.
func (fs *failures) missRecycled() {
	for _, r := range fs.v.Index.Recycled {
		if !fs.facts.Whitelisted(r.Name) || fs.facts.Restorable(r) {
			continue
		}
		if fs.facts.Recycled(r).Err == nil && !fs.facts.Unread[r.Key()] {
			fs.miss(&r.Distfile)
		}
	}
}

// unknown makes a failure of each package that cannot be known. It has no
// name of a file.
func (fs *failures) unknown() {
	for i := range fs.facts.Catalog.Problems {
		p := &fs.facts.Catalog.Problems[i]
		if p.Scope != catalog.OnePackage {
			continue
		}
		owner := p.Owner().String()
		key := ledger.FailureKey{Want: digest.SHA256.Sum([]byte(owner)).Hex()[:len(ledger.NoWant)]}
		if fs.failing[key] == nil {
			fs.add(&plan.Failing{Key: key, Owner: owner, Class: failure.Package, Reason: p.Reason()})
		}
	}
}
