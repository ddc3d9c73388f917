package archive

import (
	"errors"

	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/fetch/failure"
)

// dropLost forgets records whose bytes are gone. What stands at their paths is
// not what those promise and goes to quarantine.
func (m *mirror) dropLost(lost []*ledger.Distfile) error {
	var b ledger.Batch
	wanted := m.wantedRecords()
	gone := make(map[ledger.Key]bool)
	for _, d := range lost {
		if gone[d.Key()] {
			continue // wanted twice
		}
		if m.touched(d) {
			continue // the next plan reads what is there now
		}
		then := "it is fetched again"
		if (!wanted[d] || m.whitelisted(d.Name)) && m.miss(d) {
			then = "it is missed"
		} else if !wanted[d] {
			then = "no package wants it, and it is forgotten"
		}
		switch err := m.clearPaths(d); {
		case errors.Is(err, store.ErrStuck):
			// Its record stays, and the next run tries again.
			key := ledger.FailureKey{Name: d.Name, Want: noWant}
			m.failing[key] = &failing{key, d.Owner, failure.Local, "the file is gone or was changed, and what is in its place has to be moved away by hand: " + err.Error()}
			m.view.stuck[d.Key()] = true
			continue
		case err != nil:
			return brokenIf(err)
		}
		m.changed = true
		m.warn("%s: the file with SHA256 %s is gone or was changed: %s", d.Name, d.SHA256().Hex(), then)
		m.lost[d.Name] = append(m.lost[d.Name], d)
		b.DropDistfile(d.Key())
		b.DropDeletion(d.Key())
		gone[d.Key()] = true
		m.sum.Lost.add(d.Size)
	}
	return m.commit(&b)
}

// clearPaths moves the files at the paths of d to quarantine.
func (m *mirror) clearPaths(d *ledger.Distfile) error {
	copies, err := replicas(m.pathsOf(d))
	if err != nil {
		return err
	}
	for _, c := range copies {
		_, err := m.store.SetAside("changed."+d.SHA256().Hex(), c.fi, c.paths)
		for _, path := range c.paths {
			m.lookAgain(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// touched looks again at the paths of d, and reports whether something has
// changed since they were looked at.
func (m *mirror) touched(d *ledger.Distfile) (any bool) {
	for rel := range m.view.paths(d) {
		was, _ := m.view.disk.Get(rel)
		m.view.disk.Look(rel)
		is, _ := m.view.disk.Get(rel)
		any = any || was.Size != is.Size || !was.ModTime.Equal(is.ModTime) || (was.Err == nil) != (is.Err == nil)
	}
	return any
}
