package doctor

import (
	"cmp"
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/vault"
)

// A Stray is what lies in one directory of the published tree, or below it, where no
// layout would have it. It is not wrong: a run takes of it what is wanted, and the
// rest is the operator's.
type Stray struct {
	Path string `json:"path"`
	layout.Count
}

// strays counts the files that lie where no layout would have them, those at the top
// together and every other directory there by itself.
func strays(ctx context.Context, v *vault.Vault) ([]Stray, error) {
	views := make(map[string]bool)
	for index, view := range v.Index.Notes.Views {
		views[path.Dir(index)], views[view.Pool] = true, true
	}
	found, err := v.Strays(ctx, views)
	if err != nil {
		return nil, err
	}
	dirs := make(map[string]*Stray)
	for _, s := range found {
		rel, err := filepath.Rel(v.Store.Published(), s.Path)
		if err != nil || !filepath.IsLocal(rel) {
			continue // behind a symbolic link that leads out of it
		}
		dir, _, ok := strings.Cut(rel, "/")
		if !ok {
			dir = "."
		}
		if dirs[dir] == nil {
			dirs[dir] = &Stray{Path: dir}
		}
		dirs[dir].Add(s.Size)
	}
	var all []Stray
	for _, s := range dirs {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Stray) int { return cmp.Compare(a.Path, b.Path) })
	return all, nil
}
