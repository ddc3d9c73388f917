package plan

import (
	"slices"

	"distkeep/archive/ledger"
	"distkeep/catalog"
)

// Wishes tell of records who wants them. They are the catalog, in which whoever asks in
// the order of names finds each beside the last. One goroutine uses them at a time.
type Wishes struct {
	*Facts
	named, shadowed sorted
}

// sorted are distfiles in the order of names, and where one was looked for last.
type sorted struct {
	list []*catalog.Distfile
	at   int
}

func (s *sorted) of(name catalog.Name) []*catalog.Distfile {
	from, to := catalog.Span(s.list, s.at, name, func(d *catalog.Distfile) catalog.Name { return d.Name })
	s.at = from
	return s.list[from:to:to]
}

// Wishes returns those of the catalog.
func (f *Facts) Wishes() *Wishes {
	return &Wishes{f, sorted{list: f.Catalog.Distfiles}, sorted{list: f.Catalog.Shadowed}}
}

// Of returns what packages want under a name, that which has it first.
func (w *Wishes) Of(name catalog.Name) []*catalog.Distfile {
	return append(w.named.of(name), w.shadowed.of(name)...)
}

// Want reports whether d is what a package wants.
func (w *Wishes) Want(d *ledger.Distfile) bool {
	return slices.ContainsFunc(w.named.of(d.Name), d.Satisfies) || slices.ContainsFunc(w.shadowed.of(d.Name), d.Satisfies)
}

// Keep reports whether somebody wants d: a package, the whitelist, the drop box, or an
// index that is published. A content that still holds the published name of a wanted
// one is kept as well: it goes when its successor has come. protected is that it is
// kept only because a package which cannot be known may want it.
func (w *Wishes) Keep(d *ledger.Distfile) (kept, protected bool) {
	switch {
	case w.Want(d),
		slices.ContainsFunc(w.named.of(d.Name), func(c *catalog.Distfile) bool { return d.Named || !c.Digests.Verifiable() }),
		w.Whitelisted(d.Name) || w.InDropBox(d):
		return true, false
	case w.Catalog.Protected(d.Name, d.Owner):
		return true, true
	}
	return w.Viewed[d], false
}

// Keeps is Keep without the reason.
func (w *Wishes) Keeps(d *ledger.Distfile) bool {
	kept, _ := w.Keep(d)
	return kept
}
