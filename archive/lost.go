package archive

import (
	"errors"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/fetch/failure"
)

// dropLost forgets records whose bytes are gone. What stands at their paths is
// not what those promise and goes to quarantine.
func (m *mirror) dropLost(lost []*ledger.Distfile) error {
	var b ledger.Batch
	wanted := m.facts.WantedRecords()
	gone := make(map[ledger.Key]bool)
	for _, d := range lost {
		if gone[d.Key()] {
			continue // wanted twice
		}
		if m.v.Touched(d) {
			continue // the next plan reads what is there now
		}
		then := "it is fetched again"
		if (!wanted[d] || m.whitelisted(d.Name)) && m.miss(d) {
			then = "it is missed"
		} else if !wanted[d] {
			then = "no package wants it, and it is forgotten"
		}
		switch err := m.v.ClearPaths(d); {
		case errors.Is(err, store.ErrStuck):
			// Its record stays, and the next run tries again.
			key := ledger.FailureKey{Name: d.Name, Want: ledger.NoWant}
			m.failing[key] = &plan.Failing{Key: key, Owner: d.Owner, Class: failure.Local, Reason: "the file is gone or was changed, and what is in its place has to be moved away by hand: " + err.Error()}
			m.facts.Stuck[d.Key()] = true
			continue
		case err != nil:
			return err
		}
		m.v.Changed = true
		m.v.Warn("%s: the file with SHA256 %s is gone or was changed: %s", d.Name, d.SHA256().Hex(), then)
		m.lost[d.Name] = append(m.lost[d.Name], d)
		b.DropDistfile(d.Key())
		b.DropDeletion(d.Key())
		gone[d.Key()] = true
		m.sum.Lost.Add(d.Size)
	}
	return m.v.Commit(&b)
}
