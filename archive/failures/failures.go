// Package failures collects the failures of a run, and records them: which are new,
// which were known, when each is due again, and whether it was our own network that
// failed.
//
// Begin reading at Record.
package failures

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
type Failures struct {
	v     *vault.Vault
	facts *plan.Facts
	sum   *report.Summary
	// failing are those that were found, tried those of transfers.
	failing map[ledger.FailureKey]*plan.Failing
	tried   map[ledger.FailureKey]*fetch.Error
	// waited are those not tried because their time has not come.
	waited map[ledger.FailureKey]bool
}

// New returns the failures of a run without any. facts are read when they are asked
// for, and sum gets the counts.
func New(v *vault.Vault, facts *plan.Facts, sum *report.Summary) *Failures {
	return &Failures{
		v: v, facts: facts, sum: sum,
		failing: make(map[ledger.FailureKey]*plan.Failing),
		tried:   make(map[ledger.FailureKey]*fetch.Error),
		waited:  make(map[ledger.FailureKey]bool),
	}
}

// Add notes a failure.
func (fs *Failures) Add(f *plan.Failing) { fs.failing[f.Key] = f }

// Waits notes that what w asks for is not tried: its time has not come.
func (fs *Failures) Waits(w *plan.Want) { fs.waited[w.Key()] = true }

// Tried notes that the transfer for w has failed.
func (fs *Failures) Tried(w *plan.Want, err *fetch.Error) { fs.tried[w.Key()] = err }

// End ends failures that were found in this run.
func (fs *Failures) End(keys ...ledger.FailureKey) {
	for _, k := range keys {
		delete(fs.failing, k)
	}
}

// File notes a failure of one file of the archive.
func (fs *Failures) File(d *ledger.Distfile, err error) {
	fs.Add(&plan.Failing{Key: ledger.FailureKey{Name: d.Name, Want: ledger.NoWant}, Owner: d.Owner, Class: failure.Local, Reason: err.Error()})
}

// Files notes failures of files of the archive.
func (fs *Failures) Files(errs []*vault.FileError) {
	for _, e := range errs {
		fs.File(e.Of, e.Err)
	}
}

// Check notes that a content does not pass the check of a view.
func (fs *Failures) Check(d *catalog.Distfile, err error) {
	w := plan.NewWant(d, true)
	fs.Add(&plan.Failing{Key: w.KeyOf("check"), Owner: w.Owner(), Class: failure.Digest, Reason: err.Error()})
}

// Miss notes that d is lost, if anybody counts on it.
func (fs *Failures) Miss(d *ledger.Distfile) bool {
	f := fs.facts.Missed(d.Failure(ledger.Lost), d.Owner)
	if f != nil {
		fs.Add(f)
	}
	return f != nil
}

// stillMissed takes over the failures about lost contents that have not been
// supplied since, be it by another content of the name.
func (fs *Failures) stillMissed() {
	for key, old := range fs.v.Index.Failures {
		if !strings.HasPrefix(key.Want, ledger.Lost) || slices.ContainsFunc(fs.v.Index.ByName(key.Name), func(d *ledger.Distfile) bool {
			return d.Failure(ledger.Lost) == key || d.Named && !d.Added.Before(old.First)
		}) {
			continue
		}
		if f := fs.facts.Missed(key, old.Owner); f != nil {
			fs.Add(f)
		}
	}
}

// MissRecycled notes what is on the whitelist and cannot come back from recycle.
func (fs *Failures) MissRecycled() {
	for _, r := range fs.v.Index.Recycled {
		if !fs.facts.Whitelisted(r.Name) || fs.facts.Restorable(r) {
			continue
		}
		if fs.facts.Recycled(r).Err == nil && !fs.facts.Unread[r.Key()] {
			fs.Miss(&r.Distfile)
		}
	}
}

// unknown makes a failure of each package that cannot be known. It has no
// name of a file.
func (fs *Failures) unknown() {
	for i := range fs.facts.Catalog.Problems {
		p := &fs.facts.Catalog.Problems[i]
		if p.Scope != catalog.OnePackage {
			continue
		}
		owner := p.Owner().String()
		key := ledger.FailureKey{Want: digest.SHA256.Sum([]byte(owner)).Hex()[:len(ledger.NoWant)]}
		if fs.failing[key] == nil {
			fs.Add(&plan.Failing{Key: key, Owner: owner, Class: failure.Package, Reason: p.Reason()})
		}
	}
}
