package views

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
)

// A viewDir is a directory that one or more views share.
type viewDir struct {
	stay     map[string]bool // what an index names
	suffixes []string        // of what stands beside
	pool     bool            // it has what others have links to
}

// Prune removes from the directories of views what was deleted: it is in recycle,
// and no index names it. So an entry stays as long as its content, for clients
// whose database is older than ours. abandoned reports whether the views of a
// repository may go that it does not have any more.
func (vs *Views) Prune(abandoned func(repo string) bool) error {
	known := vs.published()
	if len(known) == 0 {
		return nil
	}
	dirs, err := vs.dirs(known, abandoned)
	if err != nil {
		return err
	}
	gone := make(map[string][]*ledger.Recycled)
	for _, r := range vs.v.Index.Recycled {
		gone[string(r.Name)] = append(gone[string(r.Name)], r)
	}
	if len(gone) > 0 {
		// Links go before what they lead to.
		for _, pool := range []bool{false, true} {
			for dir, d := range dirs {
				if d.pool != pool {
					continue
				}
				if err := vs.prune(dir, d, gone); err != nil {
					return err
				}
			}
		}
	}
	for key, v := range known {
		if _, err := os.Lstat(vs.v.Store.Path(path.Dir(key))); len(v.Index) == 0 && len(v.Missing) == 0 && err != nil {
			delete(known, key)
		}
	}
	if err := vs.v.Store.SyncRemoved(); err != nil {
		return err
	}
	return vs.record(known)
}

// dirs finds the directories that may be pruned: those of this run's views,
// and of views that were abandoned, whose index it withdraws.
func (vs *Views) dirs(known map[string]ledger.View, abandoned func(repo string) bool) (map[string]*viewDir, error) {
	dirs := make(map[string]*viewDir)
	at := func(dir, suffix string) *viewDir {
		d := dirs[dir]
		if d == nil {
			d = &viewDir{stay: make(map[string]bool)}
			dirs[dir] = d
		}
		if suffix != "" && !slices.Contains(d.suffixes, suffix) {
			d.suffixes = append(d.suffixes, suffix)
		}
		return d
	}
	wanted := make(map[string]bool)
	err := vs.each(func(_ catalog.Viewer, v *catalog.View) error {
		wanted[path.Join(v.Dir, string(v.Names().Name))] = true
		for _, dir := range []string{v.Dir, v.Pool} {
			if dir == "" {
				continue
			}
			d := at(dir, v.Suffix)
			for _, l := range v.Links {
				d.stay[string(l.Name)] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var locked []string
	for key, v := range known {
		switch {
		case wanted[key]:
		case len(v.Index) == 0:
			v.Missing = nil // it was never published, or is no more
			known[key] = v
			at(path.Dir(key), v.Suffix).pool = strings.HasSuffix(key, "/")
		case abandoned(v.Repo):
			if err := vs.withdraw(key, v); err != nil {
				return nil, err
			}
			v.Index = nil
			known[key] = v
			at(path.Dir(key), v.Suffix)
		default:
			locked = append(locked, path.Dir(key), v.Pool)
		}
	}
	for _, key := range vs.heldBack {
		locked = append(locked, path.Dir(key), known[key].Pool)
	}
	for _, dir := range locked {
		delete(dirs, dir)
	}
	return dirs, nil
}

// withdraw removes an index, what names the files first.
func (vs *Views) withdraw(key string, v ledger.View) error {
	vs.v.Changed = true
	rels := []string{key}
	for rel := range v.Index {
		if rel != key {
			rels = append(rels, rel)
		}
	}
	return vs.v.Store.Views.Withdraw(rels...)
}

// Unlisted are those of rs that no directory of a view has any more. Only the records
// of the others tell Prune what may go from there.
func (vs *Views) Unlisted(rs []*ledger.Recycled) (left []*ledger.Recycled, err error) {
	known := vs.published()
	if len(known) == 0 {
		return rs, nil
	}
	dirs := make(map[string]bool)
	for key := range known {
		dirs[path.Dir(key)] = true
	}
	for _, r := range rs {
		there := false
		for dir := range dirs {
			at, ok, err := vs.v.Store.Views.Stat(path.Join(dir, string(r.Name)))
			if err != nil {
				return nil, err
			}
			there = there || ok && isRecycled(at, r)
		}
		if !there {
			left = append(left, r)
		}
	}
	return left, nil
}

func isRecycled(f layout.File, r *ledger.Recycled) bool {
	return f.Size == r.Size && f.ModTime.Equal(r.ModTime)
}

func (vs *Views) prune(dir string, d *viewDir, gone map[string][]*ledger.Recycled) error {
	entries, err := os.ReadDir(vs.v.Store.Path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		rs := gone[e.Name()]
		if rs == nil || d.stay[e.Name()] {
			continue
		}
		rel := path.Join(dir, e.Name())
		to, err := vs.v.Store.Views.Resolve(rel)
		if err != nil {
			return err
		}
		at, ok, err := vs.v.Store.Views.Stat(to)
		if err != nil {
			return err
		}
		dangling := !ok && to != rel && to != ""
		if !dangling && !slices.ContainsFunc(rs, func(r *ledger.Recycled) bool { return ok && isRecycled(at, r) }) {
			continue
		}
		vs.v.Changed = true
		// What tells the next run, if this one is killed, goes last.
		var rels []string
		for _, suffix := range d.suffixes {
			rels = append(rels, rel+suffix)
		}
		rels = append(rels, rel)
		if err := vs.v.Store.Views.Withdraw(rels...); err != nil {
			return err
		}
	}
	return nil
}
