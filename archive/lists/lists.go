// Package lists keeps the lists beside the distfiles true: distinfo, history,
// lastupdate and lastsync. Package export writes distinfo and package history knows
// the formats; here is what has to stand in them after a scan.
package lists

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

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
	if err := l.Synced(); err != nil {
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

// lastSync has the time of the last run, whatever it did.
const lastSync = "lastsync"

// Synced writes the time of the run there.
func (l *Lists) Synced() error { return l.Stamp(lastSync) }

// PerRun reports whether each run replaces the file rel of the published tree.
func PerRun(rel string) bool { return rel == lastSync }

// Next returns the history as it is, and as it has to be: with what no
// package wants any more. The catalog is complete.
func (l *Lists) Next(readDistinfo bool) (old, next []history.Record, err error) {
	if old, err = history.LoadHistory(l.v.Store.Path("history")); err != nil {
		return nil, nil, err
	}
	wishes := l.facts.Wishes()
	var known []history.Line
	for _, d := range l.v.Index.Distfiles {
		if !wishes.Want(d) && !l.facts.Catalog.Protected(d.Name, d.Owner) {
			known = append(known, export.Line(d, d.Name))
		}
	}
	if readDistinfo {
		for line, err := range history.Distinfo(l.v.Store.Path("distinfo"), export.Distinfo(l.v)) {
			if err != nil {
				return nil, nil, err
			}
			for _, name := range l.formerly(line) {
				if !l.facts.Catalog.Protected(name, "") {
					known = append(known, history.Line{Name: name, SHA256: line.SHA256, Base64: line.Base64})
				}
			}
		}
	}
	if len(old) == 0 && len(known) == 0 {
		return nil, nil, nil
	}
	return old, history.Update(old, known, l.wants, l.v.Now), nil
}

// formerly returns the names of the content of a line of distinfo, which has a path of
// the first layout that there was when it was written; none when the archive has a
// record of it, which tells more. A path by content that recycle does not know either
// has none.
func (l *Lists) formerly(line history.Line) (names []catalog.Name) {
	x, layouts := l.v.Index, slices.Concat([]layout.Layout(l.v.Store.Layouts()), l.v.Shelf.Former)
	if name, ok := layout.NameOf(layouts, string(line.Name), true); ok {
		if x.Distfiles.Get(ledger.Key{Name: name, SHA256: line.SHA256}) == nil {
			names = append(names, catalog.Name(strings.Clone(string(name))))
		}
		return names
	}
	has := func(d *ledger.Distfile) bool {
		return slices.ContainsFunc(layouts, func(of layout.Layout) bool { return d.Path(of) == string(line.Name) })
	}
	if slices.ContainsFunc(x.WithSum(line.SHA256), has) {
		return nil
	}
	for _, r := range x.RecycledWith(line.SHA256) { // what this run has recycled
		if has(&r.Distfile) {
			names = append(names, r.Name)
		}
	}
	return names
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

// wants reports whether the catalog wants a content under a name. Where the tree has no
// SHA256, the archive knows which content has the digests of the tree; a content that
// it does not know, under a wanted name that it does not have, is taken for the wanted
// one.
func (l *Lists) wants(name catalog.Name, sum digest.Digest) bool {
	cat := l.facts.Catalog
	for _, ds := range [][]*catalog.Distfile{cat.Distfiles, cat.Shadowed, cat.Restricted} {
		i, _ := slices.BinarySearchFunc(ds, name, func(d *catalog.Distfile, n catalog.Name) int { return cmp.Compare(d.Name, n) })
		for ; i < len(ds) && ds[i].Name == name; i++ {
			s := ds[i].Digests.Get(digest.SHA256)
			if s == sum || s.IsZero() && l.mayBe(ds[i], ledger.Key{Name: name, SHA256: sum}) {
				return true
			}
		}
	}
	return false
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
