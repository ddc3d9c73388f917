package vault

import (
	"context"
	"path"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

// Strays returns the files of the published tree that lie where no layout would
// have them, unless a record has them there all the same, as one of a former layout
// has. views are directories whose files are somebody else's.
func (v *Vault) Strays(ctx context.Context, views map[string]bool) ([]*layout.Stray, error) {
	stray := func(rel string) bool { return v.Shelf.Stray(rel, v.named) && !inside(rel, views) }
	return v.Disk.Everything(ctx, stray, func(err error) { v.Warn("%v", err) })
}

// inside reports whether rel is in one of dirs or below it.
func inside(rel string, dirs map[string]bool) bool {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if dirs[dir] {
			return true
		}
	}
	return false
}

func (v *Vault) named(name catalog.Name) bool { return v.Index.Named(name) != nil }
