package vault

import (
	"context"
	"strings"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

// Strays returns the files of the published tree that lie where no layout would
// have them, unless a record has them there all the same, as one of a former layout
// has. views are directories whose files are somebody else's.
func (v *Vault) Strays(ctx context.Context, views map[string]bool) ([]*layout.Stray, error) {
	found, err := v.Disk.Everything(ctx, func(dir string) bool { return views[dir] }, func(err error) { v.Warn("%v", err) })
	if err != nil {
		return nil, err
	}
	strays := found[:0]
	for _, s := range found {
		if rel, ok := strings.CutPrefix(s.Path, v.Store.Path("")+"/"); !ok || v.Shelf.Stray(rel, v.named) {
			strays = append(strays, s)
		}
	}
	return strays, nil
}

func (v *Vault) named(name catalog.Name) bool { return v.Index.Named(name) != nil }
