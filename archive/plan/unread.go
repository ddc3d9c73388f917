package plan

import (
	"errors"
	"fmt"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/fetch/failure"
)

// What cannot be read is unknown, which is not the same as damaged: an archive
// may have been restored with modes that keep the job out, and somebody may be
// writing a file back just now. The record of such a content stays, and it is a
// failure in every run until it can be told what is there. This file decides what
// is unknown, and what became of contents that nobody could fetch again.

// doubt returns why it is not known whether the archive has the file of d, none
// of whose paths has the verified one, or nil when it is known that it has not.
func (v *Facts) doubt(d *ledger.Distfile) error {
	for rel := range v.Shelf.Paths(&d.Content) {
		f, there := v.Shelf.Files.Get(rel)
		switch {
		case f.Err != nil:
			return f.Err
		case v.Failed[rel] != nil:
			return v.Failed[rel]
		case there && layout.Growing(v.Now, f.ModTime):
			return fmt.Errorf("%s: %w", v.path(rel), layout.ErrWriting)
		}
	}
	return nil
}

// reread plans to read the next file of d that has its size and another time: it
// may have been restored from a backup, and only reading it can tell.
func (b *planner) reread(d *ledger.Distfile, as Reading) bool {
	for rel := range b.Shelf.Paths(&d.Content) {
		if f, ok := b.Shelf.Files.Get(rel); !ok || f.Size != d.Size {
			continue
		}
		r := as
		r.Rel, r.Name, r.Size, r.Sum = rel, d.Name, d.Size, d.SHA256()
		if b.readOnce(&r) {
			return true
		}
	}
	return false
}

// doubted reports whether it is not known if the archive has the bytes of d, and
// notes that.
func (b *planner) doubted(d *ledger.Distfile) bool {
	err := b.doubt(d)
	if err == nil {
		return false
	}
	b.Unsure[d.Key()] = err
	b.Failing = append(b.Failing, UnreadFailing(d, err))
	return true
}

// UnreadFailing is the failure of a content that is in the archive, or in recycle,
// and cannot be read.
func UnreadFailing(d *ledger.Distfile, err error) *Failing {
	reason := "what the archive has of it cannot be read, and its record stays as it is: " + err.Error()
	if errors.Is(err, layout.ErrDamaged) {
		reason += ": run distkeep verify " + string(d.Name)
	}
	return &Failing{d.Failure(ledger.Unread), d.Owner, failure.Local, reason}
}

// Missed returns a failure about a content that is lost, or nil when nobody counts
// on it: it is not on the whitelist, and every package that may want it can be
// read.
func (f *Facts) Missed(key ledger.FailureKey, owner string) *Failing {
	reason := "the archive has lost its content with SHA256 " + key.Want[len(ledger.Lost):] + "…, "
	switch {
	case f.Whitelisted(key.Name):
		reason += "which no package has to want: put it into distfiles-local, or take the name off the whitelist"
	case !f.KnowsAll(), f.Catalog.Protected(key.Name, owner):
		reason += "and a package that cannot be read may want it"
	default:
		return nil
	}
	return &Failing{key, owner, failure.Local, reason}
}

// fewRecords is the number of records below which all of them may be gone: a
// person may have removed so many files by hand, and so many are soon fetched.
const fewRecords = 10

// Vanished returns an error when more than half of the
// records have no file at all, or none that can be read. That is what a disk looks
// like that is not mounted, an archive with the state of another one, or one that
// was restored for somebody else: to forget those records, and to fetch everything
// again, would be the wrong answer to all of them.
func (f *Facts) Vanished() error {
	total := len(f.Index.Distfiles)
	if total < fewRecords {
		return nil
	}
	missing := 0
	var unread error
	for _, d := range f.Index.Distfiles {
		if f.Shelf.Sound(&d.Content) != "" {
			continue
		}
		switch err := f.doubt(d); {
		case errors.Is(err, layout.ErrWriting):
		case err != nil:
			unread = err
			missing++
		case !f.anyFile(d):
			missing++
		}
	}
	if 2*missing <= total {
		return nil
	}
	if unread != nil {
		return fmt.Errorf("%d of %d recorded files are not in %s or cannot be read: %w: nothing was forgotten", missing, total, f.Published, unread)
	}
	return fmt.Errorf("%d of %d recorded files are not in %s: is its disk mounted, or does %s belong to another archive? "+
		"nothing was forgotten; distkeep doctor shows them, and distkeep doctor --repair accepts that they are gone",
		missing, total, f.Published, f.State)
}

// anyFile reports whether there is a file at any path of d.
func (f *Facts) anyFile(d *ledger.Distfile) bool {
	for rel := range f.Shelf.Paths(&d.Content) {
		if f.There(rel) {
			return true
		}
	}
	return false
}
