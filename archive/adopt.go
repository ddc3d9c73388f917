package archive

import (
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
)

// onDisk looks for a file that may be the wanted content where the archive
// would have it: under its name, or as the part of an interrupted commit.
func (b *planner) onDisk(w *want) bool {
	if len(b.whole) > 0 {
		part := b.store.PartPath(w.Name, w.key())
		if b.whole[part] && b.readOnce(&reading{path: part, part: true, name: w.Name, size: w.Size, want: w}) {
			return true
		}
	}
	if !w.named {
		return false
	}
	for _, l := range b.store.Layouts() {
		rel, ok := l.Path(w.Name, w.Digests)
		if !ok {
			continue
		}
		f, ok := b.disk.Get(rel)
		if !ok || w.Size >= 0 && f.Size != w.Size {
			continue
		}
		if d := b.index.named(w.Name); d != nil && b.intact(d, rel) {
			continue // known, and another content
		}
		if b.readOnce(&reading{path: b.store.Path(rel), rel: rel, name: w.Name, size: f.Size, want: w}) {
			return true
		}
	}
	return false
}

// strays plans to read the files that somebody has put in the place of d, whose
// content is elsewhere in the archive: what they hold is kept by its digest
// before d gets its place back.
func (b *planner) strays(d *ledger.Distfile) (any bool) {
	for _, l := range b.store.Layouts() {
		rel := layoutPath(d, l)
		if f, ok := b.disk.Get(rel); ok && !b.intact(d, rel) &&
			b.readOnce(&reading{path: b.store.Path(rel), rel: rel, name: d.Name, size: f.Size, aside: true}) {
			any = true
		}
	}
	return any
}

// foreign plans to read the files in the published tree that the ledger does
// not know: they were there before the archive, or a crash came between their
// publication and their record.
func (b *planner) foreign() {
	var rels []string
	sizes := make(map[string]int64)
	b.disk.All(func(rel string, f store.File) bool {
		rels = append(rels, rel)
		sizes[rel] = f.Size
		return true
	})
	slices.Sort(rels)
	for _, rel := range rels {
		name, ok := b.nameOf(rel)
		if !ok || b.index.named(name) != nil {
			continue
		}
		b.readOnce(&reading{path: b.store.Path(rel), rel: rel, name: name, size: sizes[rel]})
	}
}

// nameOf returns the name of a published path. Files in directories that are
// no hash directories are nobody's but the operator's, unless their name is
// wanted.
func (b *planner) nameOf(rel string) (catalog.Name, bool) {
	for _, l := range b.store.Layouts() {
		if name, ok := l.NameOf(rel); ok && (l != layout.Flat() || !strings.Contains(rel, "/")) {
			return name, b.store.Layouts().Check(name) == nil
		}
	}
	return "", false
}
