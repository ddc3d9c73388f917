package archive

import (
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
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
			if rel := layoutPath(d, l); rel != "" && b.intact(d, rel) {
				b.stale = append(b.stale, stale{rel, d})
			}
		}
	}
}

// unlinkFormer removes the links of layouts that are no longer in use, each only
// when the content has its place in all others, and notes which layouts may
// have links now.
func (m *mirror) unlinkFormer(p *plan) error {
	m.dropNameless()
	planner := &planner{view: m.view}
	layouts := slices.Clone([]layout.Layout(m.store.Layouts()))
	left := false
	for _, s := range p.stale {
		d := m.view.index.Distfiles[s.of.Key]
		if d == nil || !d.Named {
			continue
		}
		refuge := planner.refuge(d)
		if refuge == "" {
			left = true
			continue
		}
		if err := m.store.Unlink(s.rel, refuge); err != nil {
			return brokenIf(err)
		}
		m.view.disk.Set(s.rel, store.File{Size: -1})
		m.changed = true
	}
	if left {
		layouts = append(layouts, m.view.former...) // the next run tries again
	}
	return m.noteLayouts(layouts)
}

// dropNameless removes the paths by content of records without a name, which a
// run that was killed when the name went to another has left.
func (m *mirror) dropNameless() {
	if !slices.ContainsFunc(m.store.Layouts(), layout.Layout.IsContentHash) {
		return
	}
	for _, d := range m.view.index.Distfiles {
		if !d.Named {
			m.dropFormerPaths(d)
		}
	}
}

// refuge returns the path at which d stays when links of former layouts go: in
// the layouts in use, or, where they cannot have its name, below by_cipher. It
// is empty when d is not there.
func (b *planner) refuge(d *ledger.Distfile) string {
	if b.linked(d) {
		return layoutPath(d, b.store.Layouts()[0])
	}
	c := content(d)
	if rel := store.CipherPaths(&c)[0]; b.store.Layouts().Check(d.Name) != nil && b.intact(d, rel) {
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
