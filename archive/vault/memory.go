package vault

import (
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// Memory is what is known of an archive, so that most questions are answered
// without its disk. Load fills it; what a Vault changes, it changes here as well.
type Memory struct {
	Index *ledger.Index  // the records
	Disk  *store.Listing // the listing of the published tree
	Shelf layout.Shelf   // where contents are, by the two
	at    *store.Places
}

// PathsOf are the absolute paths at which the file of d should be.
func (m *Memory) PathsOf(d *ledger.Distfile) []string {
	rels, err := m.Shelf.Layouts.Paths(&d.Content)
	if err != nil {
		rels = d.CipherPaths() // its name has no path
	}
	paths := make([]string, len(rels))
	for i, rel := range rels {
		paths[i] = m.at.Path(rel)
	}
	return paths
}

// LookAgain notes that what is at a path, absolute, has changed.
func (m *Memory) LookAgain(path string) {
	if rel, ok := strings.CutPrefix(path, m.at.Published()+"/"); ok {
		m.Disk.Look(rel)
	}
}

// Touched looks again at the paths of d, and reports whether something has
// changed since they were looked at.
func (m *Memory) Touched(d *ledger.Distfile) (any bool) {
	for rel := range m.Shelf.Paths(&d.Content) {
		was, _ := m.Disk.Get(rel)
		m.Disk.Look(rel)
		is, _ := m.Disk.Get(rel)
		any = any || was.Size != is.Size || !was.ModTime.Equal(is.ModTime) || (was.Err == nil) != (is.Err == nil)
	}
	return any
}

// Source returns the verified file of d to link from, as it is now.
func (m *Memory) Source(d *ledger.Distfile) store.Source {
	for rel := range m.Shelf.Paths(&d.Content) {
		src, err := store.Look(m.at.Path(rel))
		if err == nil && src.Was.Mode().IsRegular() && src.Was.Size() == d.Size && src.Was.ModTime().Equal(d.ModTime) {
			return src
		}
	}
	return store.Source{}
}

// holding returns a file of the archive that holds a content already, as it is
// now.
func (m *Memory) holding(sum digest.Digest) store.Source {
	for _, d := range m.Index.WithSum(sum) {
		if src := m.Source(d); src.Path != "" {
			return src
		}
	}
	return store.Source{}
}
