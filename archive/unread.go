package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
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

// errWriting means that a file may not have all its bytes yet.
var errWriting = errors.New("somebody is writing to it")

// paths are those of d in the published tree, in the layouts of now and of the
// last run.
func (v *view) paths(d *ledger.Distfile) iter.Seq[string] {
	return func(yield func(rel string) bool) {
		c := &d.Content
		for _, rel := range c.CipherPaths() {
			if !yield(rel) {
				return
			}
		}
		if !d.Named {
			return
		}
		for _, l := range slices.Concat([]layout.Layout(v.store.Layouts()), v.former) {
			if rel := d.Path(l); rel != "" && !yield(rel) {
				return
			}
		}
	}
}

// doubt returns why it is not known whether the archive has the file of d, none
// of whose paths has the verified one, or nil when it is known that it has not.
func (v *view) doubt(d *ledger.Distfile) error {
	for rel := range v.paths(d) {
		f, there := v.disk.Get(rel)
		path := v.store.Path(rel)
		switch {
		case f.Err != nil:
			return f.Err
		case v.failed[path] != nil:
			return v.failed[path]
		case there && v.growing(f.ModTime):
			return fmt.Errorf("%s: %w", path, errWriting)
		}
	}
	return nil
}

// reread plans to read the next file of d that has its size and another time: it
// may have been restored from a backup, and only reading it can tell.
func (b *planner) reread(d *ledger.Distfile, as reading) bool {
	for rel := range b.paths(d) {
		if f, ok := b.disk.Get(rel); !ok || f.Size != d.Size {
			continue
		}
		r := as
		r.path, r.rel, r.name, r.size, r.sum = b.store.Path(rel), rel, d.Name, d.Size, d.SHA256()
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
	return &failing{aboutRecord("read", d), d.Owner, failure.Local, reason}
}

// aboutRecord is the key of a failure that is about a record and not about what
// a package wants.
func aboutRecord(kind string, d *ledger.Distfile) ledger.FailureKey {
	return ledger.FailureKey{Name: d.Name, Want: (kind + d.SHA256().Hex())[:len(noWant)]}
}

// unreadable notes what came of an attempt to read r, and reports whether the
// file is there all the same.
func (m *mirror) unreadable(r *reading, err error) bool {
	if r.rel != "" {
		m.view.disk.Look(r.rel)
		if f, ok := m.view.disk.Get(r.rel); !ok && f.Err == nil {
			return false
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	m.view.failedMu.Lock()
	defer m.view.failedMu.Unlock()
	m.view.failed[r.path] = err
	return true
}

// gone is the kind of failures that say that a content is lost. Each outlives its
// record, for as long as somebody counts on the content.
const gone = "lost"

// missed returns a failure about a content that is lost, or nil when nobody counts
// on it: it is not on the whitelist, and every package that may want it can be
// read.
func (m *mirror) missed(key ledger.FailureKey, owner string) *failing {
	reason := "the archive has lost its content with SHA256 " + key.Want[len(gone):] + "…, "
	switch {
	case m.whitelisted(key.Name):
		reason += "which no package has to want: put it into distfiles-local, or take the name off the whitelist"
	case !m.knowsAll():
		reason += "and a package that cannot be read may want it"
	default:
		return nil
	}
	return &failing{key, owner, failure.Local, reason}
}

// miss notes that d is lost, if anybody counts on it.
func (m *mirror) miss(d *ledger.Distfile) bool {
	f := m.missed(aboutRecord(gone, d), d.Owner)
	if f != nil {
		m.failing[f.key] = f
	}
	return f != nil
}

// stillMissed takes over the failures about lost contents that have not been
// supplied since, be it by another content of the name.
func (m *mirror) stillMissed() {
	for key, old := range m.view.index.Failures {
		if !strings.HasPrefix(key.Want, gone) || slices.ContainsFunc(m.view.index.ByName(key.Name), func(d *ledger.Distfile) bool {
			return aboutRecord(gone, d) == key || d.Named && !d.Added.Before(old.First)
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
	for _, r := range m.view.index.Recycled {
		if !m.whitelisted(r.Name) || m.view.restorable(r) {
			continue
		}
		if _, _, err := m.view.recycledFile(r); err == nil && !m.view.unread[r.Key()] {
			m.miss(&r.Distfile)
		}
	}
}

// forget puts into b that d, of a content that is damaged, is lost. The next run,
// which knows the whitelist, decides whether anybody misses it.
func (m *mirror) forget(b *ledger.Batch, d *ledger.Distfile, why string) {
	f := &ledger.Failure{
		Name: d.Name, Want: aboutRecord(gone, d).Want, Class: string(failure.Local), Owner: d.Owner,
		Reason: why, First: m.now, Last: m.now, Count: 1,
	}
	b.PutFailure(f)
}
