package plan

import (
	"slices"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

// unnamed finds the files at paths by content that no record has there, and that are
// not what a package wants: that was seen before. Their paths do not tell their names,
// which an import or a person may know.
func (b *planner) unnamed() {
	if !slices.ContainsFunc(b.Shelf.Layouts, layout.Layout.IsContentHash) {
		return
	}
	recorded := b.promises()
	b.Shelf.Files.All(func(rel string, f layout.File) bool {
		sum := b.Shelf.Layouts.Promise(rel)
		if sum.IsZero() || b.Remembered[rel] != "" || b.former(f) {
			return true
		}
		if _, ok := slices.BinarySearchFunc(recorded, sum, digest.Digest.Compare); !ok && !b.refuted(rel) {
			b.Unnamed = append(b.Unnamed, rel)
		}
		return true
	})
	slices.Sort(b.Unnamed)
}

// promises are the digests by which layouts have places for the records, in order.
func (b *planner) promises() (sums []digest.Digest) {
	for _, alg := range b.Shelf.Layouts.Algorithms() {
		for _, d := range b.Index.Distfiles {
			sums = append(sums, d.Digests.Get(alg))
		}
	}
	slices.SortFunc(sums, digest.Digest.Compare)
	return sums
}

// refuted reports whether the file at rel, in the place of what a package wants, is not
// that or cannot be read.
func (b *planner) refuted(rel string) bool {
	return b.Wrong[rel] != "" || b.Failed[rel] != nil || slices.ContainsFunc(b.Misfits, func(m *Misfit) bool { return m.Rel == rel })
}
