package archive

import (
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

func relation(d *ledger.Distfile, w *catalog.Distfile) digest.Relation { return d.Relation(w) }

func satisfies(d *ledger.Distfile, w *catalog.Distfile) bool { return d.Satisfies(w) }

func content(d *ledger.Distfile) store.Content {
	return store.Content{Name: d.Name, Digests: d.Digests, Size: d.Size, ModTime: d.ModTime, Named: d.Named, Kind: d.Kind}
}

// layoutPath returns the path of d in one layout, or "".
func layoutPath(d *ledger.Distfile, l layout.Layout) string {
	p, ok := l.Path(d.Name, d.Digests)
	if !ok {
		return ""
	}
	return p
}
