package vault

import (
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog/digest"
)

// Claims tell which paths the records of a content need, as long as the index
// stays as it is. A content may have thousands of names: its paths are counted
// once for all of them.
type Claims struct {
	m     *Memory
	count map[digest.Digest]map[string]int
}

// Keeper returns a function that reports whether a path of d is needed by another
// record.
func (c *Claims) Keeper(d *ledger.Distfile) func(rel string) bool {
	count := c.count[d.SHA256()]
	if count == nil {
		count = make(map[string]int)
		for _, o := range c.m.Index.WithSum(d.SHA256()) {
			c.add(count, o)
		}
		c.count[d.SHA256()] = count
	}
	own := make(map[string]int)
	if o := c.m.Index.Distfiles.Get(d.Key()); o != nil {
		c.add(own, o)
	}
	return func(rel string) bool { return count[rel] > own[rel] }
}

// add counts the paths of d.
func (c *Claims) add(count map[string]int, d *ledger.Distfile) {
	paths, err := c.m.Shelf.Layouts.Paths(&d.Content)
	if err != nil {
		paths = d.CipherPaths()
	}
	for _, p := range paths {
		count[p]++
	}
}

// DropFormerPaths removes the paths that d had by its content alone while it
// held the name, unless another name of the same content still has them.
func (v *Vault) DropFormerPaths(d *ledger.Distfile, claims *Claims) {
	keep := claims.Keeper(d)
	for _, l := range v.Shelf.Layouts {
		rel := d.Path(l)
		if !l.IsContentHash() || rel == "" || keep(rel) {
			continue
		}
		if _, ok := v.Disk.Get(rel); !ok {
			continue
		}
		if err := v.Store.Tree.Unlink(rel, d.CipherPaths()[0]); err != nil {
			v.Warn("%v", err)
			continue
		}
		v.Disk.Set(rel, layout.File{Size: -1})
	}
}

// Claims returns the claims of all records.
func (m *Memory) Claims() *Claims {
	return &Claims{m, make(map[digest.Digest]map[string]int)}
}
