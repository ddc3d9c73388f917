package archive

import (
	"errors"
	"slices"

	"distkeep/archive/failures"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/fetch/failure"
)

// A run is what the steps of Mirror share.
type run struct {
	v     *vault.Vault
	facts *survey.Survey
	fails *failures.Failures
	sum   *report.Summary
	finds *finds
	// attendant gets what people wait for meanwhile, or is nil.
	attendant *attendant
	// meanwhile is that of MirrorOptions.
	meanwhile func() error
}

func newRun(v *vault.Vault, facts *survey.Survey, command string) *run {
	sum := &report.Summary{Schema: report.Schema, Command: command, Start: v.Now}
	sum.Scanned(facts.Catalog)
	return &run{v: v, facts: facts, fails: failures.New(v, &facts.Facts, sum), sum: sum, finds: new(finds)}
}

// An addition is an addition to the vault, and what a run makes of it.
type addition struct {
	vault.Addition
	want  *plan.Want    // nil when no package wants it
	total *layout.Count // where it is counted when it is new
	count *int          // where it is counted in any case
}

// add publishes and records additions, see vault.Publish, and counts them. What
// cannot be published is a failure.
func (r *run) add(adds, next []*addition) error {
	err := r.v.Publish(plain(adds), plain(next))
	for _, a := range adds {
		switch {
		case a.Done:
			r.added(a)
		case a.Err != nil:
			r.unpublishable(a)
		}
	}
	return err
}

// addAll adds many.
func (r *run) addAll(adds []*addition) error {
	for chunk := range slices.Chunk(adds, vault.BatchFiles) {
		if err := r.add(chunk, nil); err != nil {
			return err
		}
	}
	return nil
}

func plain(adds []*addition) []*vault.Addition {
	as := make([]*vault.Addition, len(adds))
	for i, a := range adds {
		if a.want != nil {
			a.Want = a.want.Key()
		}
		as[i] = &a.Addition
	}
	return as
}

// added ends the failures that a has ended, and counts it.
func (r *run) added(a *addition) {
	if a.want != nil {
		r.attendant.added(a.want, a.Entry.SHA256())
	}
	r.fails.End(a.Want, a.Entry.Failure(ledger.Lost), a.Entry.Failure(ledger.Unread))
	if a.count != nil {
		*a.count++
	}
	if a.New && a.total != nil {
		a.total.Add(a.Entry.Size)
	}
}

// unpublishable turns a name that cannot be published into a failure. That a
// file is not what its record says is one even if no package wants it.
func (r *run) unpublishable(a *addition) {
	key, owner := a.Want, a.Entry.Owner
	switch {
	case a.want != nil:
		owner = a.want.Owner()
	case errors.Is(a.Err, store.ErrDamaged):
		key = ledger.FailureKey{Name: a.Entry.Name, Want: ledger.NoWant}
	default:
		return
	}
	r.fails.Add(&plan.Failing{Key: key, Owner: owner, Class: failure.Local, Reason: a.Err.Error()})
}

// linked makes an addition of a linking.
func (r *run) linked(l *plan.Linking) *addition {
	a := &addition{Addition: vault.Addition{New: true}, want: l.Want}
	if l.Back != nil {
		a.Addition, a.total = r.facts.Back[l.Back.Key()].Addition(r.v.Now), &r.sum.Restored
	} else {
		a.Entry = *l.From
		a.total = &r.sum.Linked
		if l.From.Name != l.Want.Name {
			a.Entry.Origin, a.Entry.Added = ledger.OriginLink, r.v.Now
		}
	}
	a.Entry.Named = l.Want.Named || l.From != nil && l.From.Name == l.Want.Name && l.From.Named
	a.Entry.Name = l.Want.Name
	a.Entry.Owner, a.Entry.Kind = l.Want.Owner(), l.Want.Kind
	return a
}
