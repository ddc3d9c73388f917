// Package lists keeps the lists beside the distfiles true: distinfo, history,
// lastupdate and lastsync. Package export writes distinfo and package history knows
// the formats; here is what has to stand in them after a scan.
package lists

import (
	"fmt"
	"io"
	"os"
	"slices"

	"distkeep/archive/export"
	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// Lists are those of one archive, by the facts of one run.
type Lists struct {
	v     *vault.Vault
	facts *plan.Facts
}

// New returns the lists of v.
func New(v *vault.Vault, facts *plan.Facts) *Lists { return &Lists{v, facts} }

// Publish brings the lists beside the distfiles up to date.
func (l *Lists) Publish() error {
	x := l.v.Index
	dirty := x.Notes.Changed
	if l.facts.KnowsAll() {
		old, records, err := l.Next(dirty)
		if err == nil {
			err = l.WriteHistory(old, records)
		}
		if err != nil {
			return err
		}
	}
	if dirty || !exists(l.v.Store.Path("distinfo")) {
		if err := export.WriteDistinfo(l.v); err != nil {
			return err
		}
	}
	// A run that was killed has left its changes to this one to tell.
	if l.v.Changed || dirty || !exists(l.v.Store.Path("lastupdate")) {
		if err := l.Stamp("lastupdate"); err != nil {
			return err
		}
	}
	if err := l.Stamp("lastsync"); err != nil {
		return err
	}
	return l.MarkTrue()
}

// MarkTrue notes that distinfo and history are those of the ledger.
func (l *Lists) MarkTrue() error {
	var b ledger.Batch
	l.v.Note(&b, func(n *ledger.Notes) { n.Changed = false })
	return l.v.Commit(&b)
}

// Stamp writes the time of the run as Unix seconds, as Arch mirrors have it.
func (l *Lists) Stamp(file string) error {
	_, err := history.WriteFileIfChanged(l.v.Store.Path(file), l.v.Store.PartsDir(), func(w io.Writer) error {
		_, err := fmt.Fprintln(w, l.v.Now.Unix())
		return err
	}, l.v.Store.Replace)
	return err
}

// Next returns the history as it is, and as it has to be: with what no
// package wants any more. The catalog is complete.
func (l *Lists) Next(readDistinfo bool) (old, next []history.Record, err error) {
	if old, err = history.LoadHistory(l.v.Store.Path("history")); err != nil {
		return nil, nil, err
	}
	wanted := l.facts.WantedRecords()
	var known []history.Line
	for _, d := range l.v.Index.Distfiles {
		if !wanted[d] && !l.facts.Catalog.Protected(d.Name, d.Owner) {
			known = append(known, export.Line(d, d.Name))
		}
	}
	if readDistinfo {
		lines, err := history.LoadDistinfo(l.v.Store.Path("distinfo"))
		if err != nil {
			return nil, nil, err
		}
		for _, line := range l.named(lines) {
			if !l.facts.Catalog.Protected(line.Name, "") {
				known = append(known, line)
			}
		}
	}
	if len(old) == 0 && len(known) == 0 {
		return nil, nil, nil
	}
	return old, history.Update(old, known, l.wants(), l.v.Now), nil
}

// named gives lines of distinfo, which have paths of the first layout that there
// was when they were written, their names. A path by content that neither the
// archive nor recycle knows has none.
func (l *Lists) named(lines []history.Line) (known []history.Line) {
	layouts := slices.Concat([]layout.Layout(l.v.Store.Layouts()), l.v.Shelf.Former)
	at := make(map[string][]*ledger.Distfile)
	add := func(d *ledger.Distfile) {
		for _, of := range layouts {
			if p := d.Path(of); p != "" {
				at[p] = append(at[p], d)
			}
		}
	}
	for _, d := range l.v.Index.Distfiles {
		add(d)
	}
	for _, r := range l.v.Index.Recycled { // what this run has recycled
		add(&r.Distfile)
	}
	for _, line := range lines {
		recorded := false
		for _, d := range at[string(line.Name)] {
			if d.SHA256() == line.SHA256 {
				known = append(known, history.Line{Name: d.Name, SHA256: line.SHA256, Base64: line.Base64})
				recorded = true
			}
		}
		if recorded {
			continue
		}
		if name, ok := layout.NameOf(layouts, string(line.Name), true); ok {
			line.Name = name
			known = append(known, line)
		}
	}
	return known
}

// WriteHistory replaces the history old. An archive that has none gets none for
// nothing.
func (l *Lists) WriteHistory(old, records []history.Record) error {
	if len(old) == 0 && len(records) == 0 {
		return nil
	}
	_, err := history.WriteFileIfChanged(l.v.Store.Path("history"), l.v.Store.PartsDir(), func(w io.Writer) error {
		return history.WriteHistory(w, records)
	}, l.v.Store.Replace)
	return err
}

// wants returns a function that reports whether the catalog wants a content
// under a name. Where the tree has no SHA256, the archive knows which content
// has the digests of the tree; a content that it does not know, under a wanted
// name that it does not have, is taken for the wanted one.
func (l *Lists) wants() func(catalog.Name, digest.Digest) bool {
	byName := make(map[catalog.Name][]*catalog.Distfile, len(l.facts.Catalog.Distfiles))
	for _, d := range slices.Concat(l.facts.Catalog.Distfiles, l.facts.Catalog.Shadowed, l.facts.Catalog.Restricted) {
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
			if l.mayBe(w, ledger.Key{Name: name, SHA256: sum}) {
				return true
			}
		}
		return false
	}
}

// mayBe reports whether the content k is what w wants, or may be for all that
// is known.
func (l *Lists) mayBe(w *catalog.Distfile, k ledger.Key) bool {
	x := l.v.Index
	if d := x.Distfiles.Get(k); d != nil {
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
