package plan

import (
	"cmp"
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// An Expiry is what a run may delete, and what comes back.
type Expiry struct {
	Schedule   []*ledger.Distfile // newly unwanted
	Unschedule []ledger.Key       // wanted again, or gone
	Restore    []*ledger.Recycled // on the whitelist since they went
	Due        []*ledger.Distfile // scheduled for long enough
	Purge      []*ledger.Recycled // in recycle for long enough
	// Guard is why nothing is in Schedule, Due and Purge, or empty. That the
	// catalog is not complete is another reason, which Facts.KnowsAll tells.
	Guard string
	// Protected are the records that are kept only because a package that may
	// want them cannot be known.
	Protected []*ledger.Distfile
	// Wishes are those that it was decided by.
	Wishes *Wishes
}

// Expire decides what is deleted. unsure are the records of the plan of which it
// is not known whether their bytes are there.
func Expire(f *Facts, unsure map[ledger.Key]error) *Expiry {
	e := &Expiry{Wishes: f.Wishes()}
	var due layout.Count
	for _, d := range f.Index.Distfiles {
		kept, protected := e.Wishes.Keep(d)
		if protected {
			e.Protected = append(e.Protected, d)
		}
		if kept || !f.Delete {
			continue
		}
		k := d.Key()
		switch s := f.Index.Deletions[k]; {
		case unsure[k] != nil:
		case s != nil && s.Holds(f.Now, f.DeletionDelay):
		case (s == nil || s.Undone) && f.DeletionDelay > 0:
			e.Schedule = append(e.Schedule, d)
		case s == nil || ledger.Elapsed(f.Now, s.Since, f.DeletionDelay):
			e.Due = append(e.Due, d)
			due.Add(d.Size)
		}
	}
	e.back(f)
	if !f.Delete {
		return e
	}
	e.Purge = f.Purgeable()
	if e.Guard = f.Guard(due); e.Guard != "" || !f.KnowsAll() {
		e.Schedule, e.Due, e.Purge = nil, nil, nil
	}
	return e
}

// back decides what is wanted again: it leaves the schedule, and recycle when
// the whitelist has it. Make has planned to restore what packages want.
func (e *Expiry) back(f *Facts) {
	for k, s := range f.Index.Deletions {
		if d := f.Index.Distfiles.Get(k); d == nil || e.Wishes.Keeps(d) {
			e.Unschedule = append(e.Unschedule, s.Key)
		}
	}
	slices.SortFunc(e.Unschedule, ledger.Key.Compare)
	for _, r := range f.Index.Recycled {
		if f.Whitelisted(r.Name) && f.Restorable(r) {
			e.Restore = append(e.Restore, r)
		}
	}
	// Of several contents of one name the last to go comes first, and gets it.
	slices.SortFunc(e.Restore, func(a, b *ledger.Recycled) int {
		return cmp.Or(b.Since.Compare(a.Since), a.Key().Compare(b.Key()))
	})
}

// Purgeable are the contents that have been in recycle for long enough.
func (f *Facts) Purgeable() (rs []*ledger.Recycled) {
	for _, r := range f.Index.Recycled {
		if ledger.Elapsed(f.Now, r.Since, f.RecycleDelay) {
			rs = append(rs, r)
		}
	}
	rs = f.Unmissed(rs)
	slices.SortFunc(rs, func(a, b *ledger.Recycled) int { return a.Key().Compare(b.Key()) })
	return rs
}

// Spare takes out of ds what somebody has put on the whitelist or into the drop
// box while the run deleted other files.
func (f *Facts) Spare(ds []*ledger.Distfile) []*ledger.Distfile {
	return slices.DeleteFunc(slices.Clone(ds), func(d *ledger.Distfile) bool {
		return f.Whitelisted(d.Name) || f.InDropBox(d)
	})
}

// Unmissed are those of rs that nobody could miss. A run has taken what is wanted
// out of recycle before it comes here, but a cleaning has not, and people change
// the whitelist and the drop box at any time. What goes here is gone for good.
func (f *Facts) Unmissed(rs []*ledger.Recycled) (left []*ledger.Recycled) {
	if len(rs) == 0 {
		return nil
	}
	sums := make(map[digest.Digest]bool) // whether a package wants what has it
	for _, r := range rs {
		for _, d := range r.Digests {
			sums[d] = false
		}
	}
	for _, ws := range [][]*catalog.Distfile{f.Catalog.Distfiles, f.Catalog.Shadowed} {
		for _, w := range ws {
			for _, d := range w.Digests {
				if _, asked := sums[d]; asked {
					sums[d] = true
				}
			}
		}
	}
	wishes := f.Wishes()
	for _, r := range rs {
		wanted := slices.ContainsFunc(wishes.Of(r.Name), func(w *catalog.Distfile) bool {
			return r.Satisfies(w) || !w.Digests.Verifiable()
		})
		// It may be wanted under another name.
		only := len(f.Index.WithSum(r.SHA256())) == 0
		wanted = wanted || only && slices.ContainsFunc(r.Digests, func(d digest.Digest) bool { return sums[d] })
		wanted = wanted || f.Catalog.Protected(r.Name, r.Owner)
		if !wanted && !f.Whitelisted(r.Name) && !f.InDropBox(&r.Distfile) {
			left = append(left, r)
		}
	}
	return left
}
