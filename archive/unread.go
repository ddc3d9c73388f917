package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/fetch/failure"
)

// What cannot be read is unknown, which is not the same as damaged: an archive
// may have been restored with modes that keep the job out, and somebody may be
// writing a file back just now. The record of such a content stays, and it is a
// failure in every run until it can be told what is there. This file decides what
// is unknown, and what became of contents that nobody could fetch again.

// doubt returns why it is not known whether the archive has the file of d, none
// of whose paths has the verified one, or nil when it is known that it has not.
func (v *facts) doubt(d *ledger.Distfile) error {
	for rel := range v.v.Shelf.Paths(&d.Content) {
		f, there := v.v.Disk.Get(rel)
		path := v.v.Store.Path(rel)
		switch {
		case f.Err != nil:
			return f.Err
		case v.failed[path] != nil:
			return v.failed[path]
		case there && layout.Growing(v.v.Now, f.ModTime):
			return fmt.Errorf("%s: %w", path, layout.ErrWriting)
		}
	}
	return nil
}

// reread plans to read the next file of d that has its size and another time: it
// may have been restored from a backup, and only reading it can tell.
func (b *planner) reread(d *ledger.Distfile, as reading) bool {
	for rel := range b.v.Shelf.Paths(&d.Content) {
		if f, ok := b.v.Disk.Get(rel); !ok || f.Size != d.Size {
			continue
		}
		r := as
		r.path, r.rel, r.name, r.size, r.sum = b.v.Store.Path(rel), rel, d.Name, d.Size, d.SHA256()
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
	b.unsure[d.Key()] = err
	b.failing = append(b.failing, unreadFailing(d, err))
	return true
}

func unreadFailing(d *ledger.Distfile, err error) *failing {
	reason := "what the archive has of it cannot be read, and its record stays as it is: " + err.Error()
	if errors.Is(err, store.ErrDamaged) {
		reason += ": run distkeep verify " + string(d.Name)
	}
	return &failing{d.Failure(ledger.Unread), d.Owner, failure.Local, reason}
}

// unreadable notes what came of an attempt to read r, and reports whether the
// file is there all the same.
func (m *mirror) unreadable(r *reading, err error) bool {
	if r.rel != "" {
		m.v.Disk.Look(r.rel)
		if f, ok := m.v.Disk.Get(r.rel); !ok && f.Err == nil {
			return false
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	m.facts.failedMu.Lock()
	defer m.facts.failedMu.Unlock()
	m.facts.failed[r.path] = err
	return true
}

// missed returns a failure about a content that is lost, or nil when nobody counts
// on it: it is not on the whitelist, and every package that may want it can be
// read.
func (m *mirror) missed(key ledger.FailureKey, owner string) *failing {
	reason := "the archive has lost its content with SHA256 " + key.Want[len(ledger.Lost):] + "…, "
	switch {
	case m.whitelisted(key.Name):
		reason += "which no package has to want: put it into distfiles-local, or take the name off the whitelist"
	case !m.knowsAll(), m.facts.catalog.Protected(key.Name, owner):
		reason += "and a package that cannot be read may want it"
	default:
		return nil
	}
	return &failing{key, owner, failure.Local, reason}
}

// miss notes that d is lost, if anybody counts on it.
func (m *mirror) miss(d *ledger.Distfile) bool {
	f := m.missed(d.Failure(ledger.Lost), d.Owner)
	if f != nil {
		m.failing[f.key] = f
	}
	return f != nil
}

// stillMissed takes over the failures about lost contents that have not been
// supplied since, be it by another content of the name.
func (m *mirror) stillMissed() {
	for key, old := range m.v.Index.Failures {
		if !strings.HasPrefix(key.Want, ledger.Lost) || slices.ContainsFunc(m.v.Index.ByName(key.Name), func(d *ledger.Distfile) bool {
			return d.Failure(ledger.Lost) == key || d.Named && !d.Added.Before(old.First)
		}) {
			continue
		}
		if f := m.missed(key, old.Owner); f != nil {
			m.failing[key] = f
		}
	}
}

// missRecycled notes what is on the whitelist and cannot come back from recycle.
func (m *mirror) missRecycled() {
	for _, r := range m.v.Index.Recycled {
		if !m.whitelisted(r.Name) || m.facts.restorable(r) {
			continue
		}
		if m.facts.recycled(r).Err == nil && !m.facts.unread[r.Key()] {
			m.miss(&r.Distfile)
		}
	}
}
