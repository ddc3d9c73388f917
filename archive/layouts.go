package archive

import (
	"fmt"
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/fetch/failure"
)

// formerLayouts returns the layouts of the last run that are not in conf.
func formerLayouts(last []layout.Layout, conf layout.Conf) []layout.Layout {
	return slices.DeleteFunc(slices.Clone(last), func(l layout.Layout) bool { return slices.Contains(conf, l) })
}

// formerLayouts plans to remove the links of layouts that layout.conf no longer
// names.
func (b *planner) formerLayouts() {
	for _, l := range b.former {
		for _, d := range b.index.Distfiles {
			if !d.Named {
				continue
			}
			if rel := d.Path(l); rel != "" && b.intact(d, rel) {
				b.stale = append(b.stale, stale{rel, d})
			}
		}
	}
}

// unlinkFormer removes the links of layouts that are no longer in use, each only
// when the content has its place in all others and nothing has its place there,
// and notes which layouts may have links now.
func (m *mirror) unlinkFormer(p *plan) error {
	m.dropNameless()
	planner := &planner{view: m.view}
	layouts := slices.Clone([]layout.Layout(m.store.Layouts()))
	left := false
	var claimed map[string]bool
	if len(p.stale) > 0 {
		claimed = m.view.layoutPaths()
	}
	for _, s := range p.stale {
		d := m.view.index.Distfiles[s.of.Key()]
		if d == nil || claimed[s.rel] {
			continue
		}
		refuge := planner.refuge(d)
		if refuge == "" {
			left = true
			continue
		}
		if err := m.store.Unlink(s.rel, refuge); store.Broken(err) {
			return brokenIf(err)
		} else if err != nil {
			m.failFile(d, fmt.Errorf("a link of a former layout stays: %w", err))
			left = true
			continue
		}
		m.view.disk.Set(s.rel, store.File{Size: -1})
		m.changed = true
	}
	if left {
		layouts = append(layouts, m.view.former...) // the next run tries again
	}
	return m.noteLayouts(layouts)
}

// failFile notes a failure of one file of the archive.
func (m *mirror) failFile(d *ledger.Distfile, err error) {
	key := ledger.FailureKey{Name: d.Name, Want: noWant}
	m.failing[key] = &failing{key, d.Owner, failure.Local, err.Error()}
}

// layoutPaths are the paths that the records should have in the layouts in use.
func (v *view) layoutPaths() map[string]bool {
	paths := make(map[string]bool)
	for _, d := range v.index.Distfiles {
		for _, l := range v.store.Layouts() {
			if rel := d.Path(l); d.Named && rel != "" {
				paths[rel] = true
			}
		}
	}
	return paths
}

// dropNameless removes the paths by content of records without a name, which a
// run that was killed when the name went to another has left.
func (m *mirror) dropNameless() {
	if !slices.ContainsFunc(m.store.Layouts(), layout.Layout.IsContentHash) {
		return
	}
	claims := m.claims()
	for _, d := range m.view.index.Distfiles {
		if !d.Named {
			m.dropFormerPaths(d, claims)
		}
	}
}

// refuge returns the path at which d stays when links of former layouts go: in
// the layouts in use, or, where it cannot have its name, below by_cipher. It is
// empty when d is not there.
func (b *planner) refuge(d *ledger.Distfile) string {
	if d.Named && b.linked(d) {
		return d.Path(b.store.Layouts()[0])
	}
	c := &d.Content
	nameless := !d.Named || b.store.Layouts().Check(d.Name) != nil
	if rel := c.CipherPaths()[0]; nameless && b.intact(d, rel) {
		return rel
	}
	return ""
}

// noteLayouts records the layouts that files may have links for.
func (m *mirror) noteLayouts(layouts []layout.Layout) error {
	before := m.view.index.Notes.Layouts
	if slices.Equal(layouts, before) {
		return nil
	}
	for _, l := range before {
		m.sum.LayoutsBefore = append(m.sum.LayoutsBefore, l.String())
	}
	m.changed = true
	var b ledger.Batch
	m.note(&b, func(n *ledger.Notes) { n.Layouts = layouts })
	return m.commit(&b)
}
