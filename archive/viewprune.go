package archive

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/catalog"
)

// A viewDir is a directory that one or more views share.
type viewDir struct {
	stay     map[string]bool // what an index names
	suffixes []string        // of what stands beside
	pool     bool            // it has what others have links to
}

// pruneViews removes from the directories of views what was let go of: it is in
// recycle, and no index names it. So an entry stays as long as its content,
// for clients whose database is older than ours.
func (m *mirror) pruneViews() error {
	known := m.publishedViews()
	if len(known) == 0 {
		return nil
	}
	dirs, err := m.viewDirs(known)
	if err != nil {
		return err
	}
	gone := make(map[string][]*ledger.Recycled)
	for _, r := range m.v.Index.Recycled {
		gone[string(r.Name)] = append(gone[string(r.Name)], r)
	}
	if len(gone) > 0 {
		// Links go before what they lead to.
		for _, pool := range []bool{false, true} {
			for dir, d := range dirs {
				if d.pool != pool {
					continue
				}
				if err := m.pruneView(dir, d, gone); err != nil {
					return err
				}
			}
		}
	}
	for key, v := range known {
		if len(v.Index) == 0 && len(v.Missing) == 0 && !exists(m.v.Store.Path(path.Dir(key))) {
			delete(known, key)
		}
	}
	if err := m.v.Store.SyncRemoved(); err != nil {
		return err
	}
	return m.recordViews(known)
}

// viewDirs finds the directories that may be pruned: those of this run's views,
// and of views that were abandoned, whose index it withdraws.
func (m *mirror) viewDirs(known map[string]ledger.View) (map[string]*viewDir, error) {
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
	err := m.viewers(func(_ catalog.Viewer, v *catalog.View) error {
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
		case m.abandoned(v.Repo):
			if err := m.withdraw(key, v); err != nil {
				return nil, err
			}
			v.Index = nil
			known[key] = v
			at(path.Dir(key), v.Suffix)
		default:
			locked = append(locked, path.Dir(key), v.Pool)
		}
	}
	for _, s := range m.sum.Views {
		if s.State == report.ViewHeldBack {
			locked = append(locked, path.Dir(s.Index), known[s.Index].Pool)
		}
	}
	for _, dir := range locked {
		delete(dirs, dir)
	}
	return dirs, nil
}

// abandoned reports whether the views of a repository that this run does not
// have may go: the repository was retired, or has been read and has no such
// view any more.
func (m *mirror) abandoned(repo string) bool {
	if !m.o.Delete || m.sum.Guard != "" || !m.knowsAll() {
		return false
	}
	return slices.Contains(m.o.Retired, repo) ||
		slices.ContainsFunc(m.o.Repositories, func(r catalog.Repository) bool { return r.Name() == repo })
}

// withdraw removes an index, what names the files first.
func (m *mirror) withdraw(key string, v ledger.View) error {
	m.v.Changed = true
	rels := []string{key}
	for rel := range v.Index {
		if rel != key {
			rels = append(rels, rel)
		}
	}
	return m.v.Store.Withdraw(rels...)
}

// unviewed are those of rs that no directory of a view has any more. Only their
// records tell pruneViews what may go from there.
func (m *mirror) unviewed(rs []*ledger.Recycled) (left []*ledger.Recycled, err error) {
	known := m.publishedViews()
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
			at, ok, err := m.v.Store.Stat(path.Join(dir, string(r.Name)))
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

func (m *mirror) pruneView(dir string, d *viewDir, gone map[string][]*ledger.Recycled) error {
	entries, err := os.ReadDir(m.v.Store.Path(dir))
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
		to, err := m.v.Store.Resolve(rel)
		if err != nil {
			return err
		}
		at, ok, err := m.v.Store.Stat(to)
		if err != nil {
			return err
		}
		dangling := !ok && to != rel && to != ""
		if !dangling && !slices.ContainsFunc(rs, func(r *ledger.Recycled) bool { return ok && isRecycled(at, r) }) {
			continue
		}
		m.v.Changed = true
		// What tells the next run, if this one is killed, goes last.
		var rels []string
		for _, suffix := range d.suffixes {
			rels = append(rels, rel+suffix)
		}
		rels = append(rels, rel)
		if err := m.v.Store.Withdraw(rels...); err != nil {
			return err
		}
	}
	return nil
}
