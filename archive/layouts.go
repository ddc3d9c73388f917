package archive

import (
	"fmt"
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/fetch/failure"
)

// unlinkFormer removes the links of layouts that are no longer in use, each only
// when the content has its place in all others and nothing has its place there,
// and notes which layouts may have links now.
func (m *mirror) unlinkFormer(p *plan.Plan) error {
	m.dropNameless()
	left := false
	var claimed map[string]bool
	if len(p.Stale) > 0 {
		claimed = m.facts.LayoutPaths()
	}
	for _, s := range p.Stale {
		d := m.v.Index.Distfiles[s.Of.Key()]
		if d == nil || claimed[s.Rel] {
			continue
		}
		refuge := m.facts.Refuge(d)
		if refuge == "" {
			left = true
			continue
		}
		if err := m.v.Store.Tree.Unlink(s.Rel, refuge); store.Broken(err) {
			return err
		} else if err != nil {
			m.failFile(d, fmt.Errorf("a link of a former layout stays: %w", err))
			left = true
			continue
		}
		m.v.Disk.Set(s.Rel, layout.File{Size: -1})
		m.v.Changed = true
	}
	if !left {
		m.v.Shelf.Former = nil
	}
	return m.noteLayouts(m.v.Index.Notes.Change) // the next run tries again what is left
}

// failFile notes a failure of one file of the archive.
func (m *mirror) failFile(d *ledger.Distfile, err error) {
	key := ledger.FailureKey{Name: d.Name, Want: ledger.NoWant}
	m.failing[key] = &plan.Failing{Key: key, Owner: d.Owner, Class: failure.Local, Reason: err.Error()}
}

// failFiles notes failures of files of the archive.
func (m *mirror) failFiles(errs []*vault.FileError) {
	for _, e := range errs {
		m.failFile(e.Of, e.Err)
	}
}

// fail notes a failure.
func (m *mirror) fail(f *plan.Failing) { m.failing[f.Key] = f }

// dropNameless removes the paths by content of records without a name, which a
// run that was killed when the name went to another has left.
func (m *mirror) dropNameless() {
	if !slices.ContainsFunc(m.v.Store.Layouts(), layout.Layout.IsContentHash) {
		return
	}
	claims := m.v.Claims()
	for _, d := range m.v.Index.Distfiles {
		if !d.Named {
			m.v.DropFormerPaths(d, claims)
		}
	}
}
