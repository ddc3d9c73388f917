package plan

import (
	"time"

	"distkeep/fetch/failure"
)

// Due returns when there is something to do at the earliest while nothing changes but
// the time, or that there may be at any time. It is for a run that had nothing to do at
// f.Now: what was due by then, and stays as it is, waits for something else.
func (f *Facts) Due(localExpiry time.Duration) (due time.Time, anyTime bool) {
	due = f.Now.AddDate(1000, 0, 0)
	at := func(t time.Time) {
		if t.After(f.Now) && t.Before(due) {
			due = t
		}
	}
	for _, x := range f.Index.Failures {
		// A disk, a file that cannot be read and a server may be well again.
		if c := failure.Class(x.Class); c.Transient() || c == failure.Local || c == failure.Disk || c == failure.Package {
			return due, true
		}
		at(x.Next)
	}
	for _, x := range f.Index.Deletions {
		end := x.Since.Add(f.DeletionDelay)
		if x.Undone {
			end = x.HeldUntil(f.DeletionDelay)
		}
		if at(end); !x.Undone && !end.After(f.Now) {
			at(f.Now.Truncate(24 * time.Hour).Add(24 * time.Hour)) // the report says that it may go today
		}
	}
	for _, x := range f.Index.Recycled {
		at(x.Since.Add(f.RecycleDelay))
	}
	for _, x := range f.Drops {
		if r := x.Seen(f.Index); r != nil {
			at(r.Since.Add(localExpiry))
		}
	}
	n := &f.Index.Notes
	at(n.Hold)
	if n.Change != nil {
		at(n.Change.Due)
	}
	for _, until := range n.Leaving {
		if until.IsZero() {
			return due, true // links are left
		}
		at(until)
	}
	return due, len(n.Purging) > 0
}
