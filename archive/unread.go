package archive

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
)

// unreadable notes what came of an attempt to read r, and reports whether the
// file is there all the same.
func (m *mirror) unreadable(r *plan.Reading, err error) bool {
	if r.Rel != "" {
		m.v.Disk.Look(r.Rel)
		if f, ok := m.v.Disk.Get(r.Rel); !ok && f.Err == nil {
			return false
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	m.facts.failedMu.Lock()
	defer m.facts.failedMu.Unlock()
	if r.Drop != nil {
		m.facts.FailedDrops[r.Name] = err
	} else if !r.Part {
		m.facts.Failed[r.Rel] = err
	}
	return true
}

// miss notes that d is lost, if anybody counts on it.
func (m *mirror) miss(d *ledger.Distfile) bool {
	f := m.facts.Missed(d.Failure(ledger.Lost), d.Owner)
	if f != nil {
		m.failing[f.Key] = f
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
		if f := m.facts.Missed(key, old.Owner); f != nil {
			m.failing[key] = f
		}
	}
}

// missRecycled notes what is on the whitelist and cannot come back from recycle.
func (m *mirror) missRecycled() {
	for _, r := range m.v.Index.Recycled {
		if !m.whitelisted(r.Name) || m.facts.Restorable(r) {
			continue
		}
		if m.facts.Recycled(r).Err == nil && !m.facts.Unread[r.Key()] {
			m.miss(&r.Distfile)
		}
	}
}
