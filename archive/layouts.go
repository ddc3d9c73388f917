package archive

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/plan"
	"distkeep/archive/relayout"
	"distkeep/archive/store"
)

// formerLinks are the links of layouts that are no longer in use.
type formerLinks struct{ *run }

// unlink removes them, each only when the content has its place in all others and
// nothing has its place there, and notes which layouts may have links now.
func (f formerLinks) unlink(p *plan.Plan) error {
	f.dropNameless()
	left := false
	var claimed map[string]bool
	if len(p.Stale) > 0 {
		claimed = f.facts.LayoutPaths()
	}
	for _, s := range p.Stale {
		d := f.v.Index.Distfiles.Get(s.Of.Key())
		if d == nil || claimed[s.Rel] {
			continue
		}
		refuge := f.facts.Refuge(d)
		if refuge == "" {
			left = true
			continue
		}
		if err := f.v.Store.Tree.Unlink(s.Rel, refuge); store.Broken(err) {
			return err
		} else if err != nil {
			f.fails.File(d, fmt.Errorf("a link of a former layout stays: %w", err))
			left = true
			continue
		}
		f.v.Disk.Set(s.Rel, layout.File{Size: -1})
		f.v.Changed = true
	}
	if !left {
		f.prune()
		f.v.Shelf.Former = nil
	}
	return relayout.Note(f.v, f.v.Index.Notes.Change) // the next run tries again what is left
}

// prune removes the directories of former layouts that have become empty. Those of
// which a run was killed when it had removed the last link are among them.
func (f formerLinks) prune() {
	empty := make(map[string]bool)
	for _, l := range f.v.Shelf.Former {
		for _, d := range f.v.Index.Distfiles {
			if rel := d.Path(l); strings.Contains(rel, "/") {
				empty[path.Dir(rel)] = true
			}
		}
	}
	if len(empty) == 0 {
		return
	}
	f.v.Disk.All(func(rel string, _ layout.File) bool {
		delete(empty, path.Dir(rel))
		return true
	})
	for dir := range empty {
		if _, err := os.Lstat(f.v.Store.Path(dir)); err == nil {
			f.v.Store.Prune(f.v.Store.Path(dir))
		}
	}
}

// dropNameless removes the paths by content of records without a name, which a
// run that was killed when the name went to another has left.
func (f formerLinks) dropNameless() {
	if !slices.ContainsFunc(f.v.Store.Layouts(), layout.Layout.IsContentHash) {
		return
	}
	claims := f.v.Claims()
	for _, d := range f.v.Index.Distfiles {
		if !d.Named {
			f.v.DropFormerPaths(d, claims)
		}
	}
}
