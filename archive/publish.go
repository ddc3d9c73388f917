package archive

import (
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"distkeep/archive/export"
	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// publish brings the lists beside the distfiles up to date.
func (m *mirror) publish() error {
	x := m.v.Index
	dirty := x.Notes.Changed
	if m.knowsAll() {
		old, records, err := m.nextHistory(dirty)
		if err == nil {
			err = m.writeHistory(old, records)
		}
		if err != nil {
			return err
		}
	}
	if dirty || !exists(m.v.Store.Path("distinfo")) {
		if err := export.WriteDistinfo(m.v); err != nil {
			return err
		}
	}
	// A run that was killed has left its changes to this one to tell.
	if m.v.Changed || dirty || !exists(m.v.Store.Path("lastupdate")) {
		if err := m.stamp("lastupdate"); err != nil {
			return err
		}
	}
	if err := m.stamp("lastsync"); err != nil {
		return err
	}
	return m.dropDirty()
}

// dropDirty notes that distinfo and history are those of the ledger.
func (m *mirror) dropDirty() error {
	var b ledger.Batch
	m.v.Note(&b, func(n *ledger.Notes) { n.Changed = false })
	return m.v.Commit(&b)
}

// stamp writes the time of the run as Unix seconds, as Arch mirrors have it.
func (m *mirror) stamp(file string) error {
	_, err := history.WriteFileIfChanged(m.v.Store.Path(file), m.v.Store.PartsDir(), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, m.v.Now.Unix())
		return err
	}, m.v.Store.Replace)
	return err
}

// nextHistory returns the history as it is, and as it has to be: with what no
// package wants any more. The catalog is complete.
func (m *mirror) nextHistory(readDistinfo bool) (old, next []history.Record, err error) {
	if old, err = history.LoadHistory(m.v.Store.Path("history")); err != nil {
		return nil, nil, err
	}
	wanted := m.facts.WantedRecords()
	var known []history.Line
	for _, d := range m.v.Index.Distfiles {
		if !wanted[d] && !m.facts.Catalog.Protected(d.Name, d.Owner) {
			known = append(known, export.Line(d, d.Name))
		}
	}
	if readDistinfo {
		lines, err := history.LoadDistinfo(m.v.Store.Path("distinfo"))
		if err != nil {
			return nil, nil, err
		}
		for _, l := range m.named(lines) {
			if !m.facts.Catalog.Protected(l.Name, "") {
				known = append(known, l)
			}
		}
	}
	if len(old) == 0 && len(known) == 0 {
		return nil, nil, nil
	}
	return old, history.Update(old, known, m.wants(), m.v.Now), nil
}

// named gives lines of distinfo, which have paths of the first layout that there
// was when they were written, their names. A path by content that neither the
// archive nor recycle knows has none.
func (m *mirror) named(lines []history.Line) (known []history.Line) {
	layouts := slices.Concat([]layout.Layout(m.v.Store.Layouts()), m.v.Shelf.Former)
	at := make(map[string][]*ledger.Distfile)
	add := func(d *ledger.Distfile) {
		for _, l := range layouts {
			if p := d.Path(l); p != "" {
				at[p] = append(at[p], d)
			}
		}
	}
	for _, d := range m.v.Index.Distfiles {
		add(d)
	}
	for _, r := range m.v.Index.Recycled { // what this run has recycled
		add(&r.Distfile)
	}
	for _, l := range lines {
		recorded := false
		for _, d := range at[string(l.Name)] {
			if d.SHA256() == l.SHA256 {
				known = append(known, history.Line{Name: d.Name, SHA256: l.SHA256, Base64: l.Base64})
				recorded = true
			}
		}
		if recorded {
			continue
		}
		if name, ok := nameAt(string(l.Name), layouts); ok {
			l.Name = name
			known = append(known, l)
		}
	}
	return known
}

// nameAt returns the name of a path that one of layouts explains, flat last: that
// has any path.
func nameAt(rel string, layouts []layout.Layout) (catalog.Name, bool) {
	for _, l := range layouts {
		if name, ok := l.NameOf(rel); ok && l != layout.Flat() {
			return name, true
		}
	}
	if !slices.Contains(layouts, layout.Flat()) || slices.ContainsFunc(layouts, func(l layout.Layout) bool {
		return l.IsContentHash() && l.InBuckets(path.Dir(rel))
	}) {
		return "", false
	}
	return layout.Flat().NameOf(rel)
}

// writeHistory replaces the history old. An archive that has none gets none for
// nothing.
func (m *mirror) writeHistory(old, records []history.Record) error {
	if len(old) == 0 && len(records) == 0 {
		return nil
	}
	_, err := history.WriteFileIfChanged(m.v.Store.Path("history"), m.v.Store.PartsDir(), func(w io.Writer) error {
		return history.WriteHistory(w, records)
	}, m.v.Store.Replace)
	return err
}

// wants returns a function that reports whether the catalog wants a content
// under a name. Where the tree has no SHA256, the archive knows which content
// has the digests of the tree; a content that it does not know, under a wanted
// name that it does not have, is taken for the wanted one.
func (m *mirror) wants() func(catalog.Name, digest.Digest) bool {
	byName := make(map[catalog.Name][]*catalog.Distfile, len(m.facts.Catalog.Distfiles))
	for _, d := range slices.Concat(m.facts.Catalog.Distfiles, m.facts.Catalog.Shadowed, m.facts.Catalog.Restricted) {
		byName[d.Name] = append(byName[d.Name], d)
	}
	return func(name catalog.Name, sum digest.Digest) bool {
		for _, w := range byName[name] {
			if s := w.Digests.Get(digest.SHA256); !s.IsZero() {
				if s == sum {
					return true
				}
				continue
			}
			if m.mayBe(w, ledger.Key{Name: name, SHA256: sum}) {
				return true
			}
		}
		return false
	}
}

// mayBe reports whether the content k is what w wants, or may be for all that
// is known.
func (m *mirror) mayBe(w *catalog.Distfile, k ledger.Key) bool {
	x := m.v.Index
	if d := x.Distfiles[k]; d != nil {
		return d.Satisfies(w)
	}
	if r := x.Recycled[k]; r != nil {
		return r.Satisfies(w)
	}
	return !slices.ContainsFunc(x.ByName(k.Name), func(d *ledger.Distfile) bool { return d.Satisfies(w) })
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
