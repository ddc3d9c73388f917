package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"distkeep/archive/layout"
)

// A Change is a name that two snapshots do not have alike.
type Change struct {
	// Op is "+" for a name that only the second snapshot has, "-" for one that
	// only the first has, and "~" for one whose content differs.
	Op string `json:"op"`
	// Name is a path relative to the snapshot.
	Name string `json:"name"`
	// Old and New are SHA-256 in hex, or "-> TARGET" for symbolic links; only
	// for "~".
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`

	// stats of both when they are regular files
	a, b unix.Stat_t
}

// maxChanges is the number of changes that are held in memory: some 30 MB.
const maxChanges = 1 << 16

// A Tree is an open snapshot, or the published tree itself.
type Tree struct {
	path string
	top  *dir
}

// OpenSnapshot opens the snapshot of that name; "latest" is the newest.
func (d *Dir) OpenSnapshot(name string) (*Tree, error) {
	if name == latestName {
		list, err := d.List()
		if err != nil {
			return nil, err
		}
		s := newest(list)
		if s == nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(d.path, name), errNotFound)
		}
		name = s.Name
	}
	if _, err := d.get(name); err != nil {
		return nil, err
	}
	path := filepath.Join(d.path, name)
	top, err := openTree(path)
	if err != nil {
		return nil, err
	}
	return &Tree{path, top}, nil
}

// OpenTree opens a published tree to compare it with a snapshot.
func OpenTree(path string) (*Tree, error) {
	top, err := openPublished(path)
	if err != nil {
		return nil, err
	}
	return &Tree{path, top}, nil
}

// Close closes the snapshot.
func (t *Tree) Close() error { return t.top.Close() }

// check returns an error if the snapshot was removed since it was opened.
func (t *Tree) check() error {
	fi, err := os.Stat(t.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now, err2 := t.top.Stat()
	if err2 != nil {
		return err2
	}
	if err != nil || !os.SameFile(fi, now) {
		return fmt.Errorf("%s was removed while it was read: what was found is not all true", t.path)
	}
	return nil
}

// Diff calls f with the names that the snapshots a and b do not have alike, until f
// returns an error. It walks one directory after the other, and the changes of
// a directory are sorted by name, but in pieces when there are very many.
//
// What is below by_cipher, distinfo, history, lastsync and lastupdate are left
// out. Two links to one inode are alike. For other files a digest decides: the
// one of distinfo when the by_cipher of the same snapshot confirms it, which needs
// no reading, or that of the bytes.
func Diff(ctx context.Context, a, b *Tree, f func(Change) error) error {
	d := &differ{ctx: ctx, a: a.top, b: b.top, emit: f}
	if err := errors.Join(a.top.rewind(), b.top.rewind()); err != nil {
		return err
	}
	if err := d.dirs(a.top, b.top, ""); err != nil {
		return fmt.Errorf("compare %s with %s: %w", a.path, b.path, err)
	}
	return errors.Join(a.check(), b.check())
}

type differ struct {
	ctx     context.Context
	a, b    *dir // tops
	emit    func(Change) error
	changes []Change
}

// dirs compares two directories, either of which may be nil, and what is below
// them.
func (d *differ) dirs(a, b *dir, rel string) error {
	var subs []string
	err := d.half(a, b, rel, func(name string, st, other *unix.Stat_t) error {
		path := filepath.Join(rel, name)
		switch {
		case fileType(st) == unix.S_IFDIR:
			subs = append(subs, name)
			return nil
		case other == nil || fileType(other) == unix.S_IFDIR:
			return d.add(Change{Op: "-", Name: path})
		case st.Dev == other.Dev && st.Ino == other.Ino:
			return nil
		}
		return d.add(Change{Op: "~", Name: path, a: *st, b: *other})
	})
	if err != nil {
		return err
	}
	err = d.half(b, a, rel, func(name string, st, other *unix.Stat_t) error {
		isDir, wasDir := fileType(st) == unix.S_IFDIR, other != nil && fileType(other) == unix.S_IFDIR
		switch {
		case isDir && !wasDir:
			subs = append(subs, name)
		case !isDir && (other == nil || wasDir):
			return d.add(Change{Op: "+", Name: filepath.Join(rel, name)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	slices.Sort(subs)
	for _, name := range subs {
		if err := d.sub(a, b, rel, name); err != nil {
			return err
		}
	}
	return nil
}

// half calls f with the entries of x that count, and with what y has under the
// same name.
func (d *differ) half(x, y *dir, rel string, f func(name string, st, other *unix.Stat_t) error) error {
	if x == nil {
		return nil
	}
	return x.each(func(entries []fs.DirEntry) error {
		if d.ctx.Err() != nil {
			return context.Cause(d.ctx)
		}
		for _, e := range entries {
			name := e.Name()
			switch path := filepath.Join(rel, name); {
			case isList(path), path == layout.ByCipherDir, path == layout.GenerationsDir, path == recordName, path == "lost+found":
				continue
			}
			var st, other unix.Stat_t
			if err := x.statDir(name, rel, &st); gone(err) {
				continue // of a published tree
			} else if err != nil {
				return err
			}
			if y == nil {
				if err := f(name, &st, nil); err != nil {
					return err
				}
				continue
			}
			at := &other
			if err := y.statDir(name, rel, &other); gone(err) {
				at = nil
			} else if err != nil {
				return err
			}
			if err := f(name, &st, at); err != nil {
				return err
			}
		}
		return nil
	})
}

// sub compares the directories name of a and b, as far as they are there.
func (d *differ) sub(a, b *dir, rel, name string) (err error) {
	var open [2]*dir
	for i, parent := range []*dir{a, b} {
		if parent == nil {
			continue
		}
		sub, err := parent.follow(name, rel)
		if err == nil && sub == nil {
			sub, err = parent.open(name)
		}
		if gone(err) {
			continue
		} else if err != nil {
			return err
		}
		defer sub.Close()
		open[i] = sub
	}
	return d.dirs(open[0], open[1], filepath.Join(rel, name))
}

func (d *differ) add(c Change) error {
	if d.changes = append(d.changes, c); len(d.changes) < maxChanges {
		return nil
	}
	return d.flush()
}

// flush hands on the changes that are held, after a closer look.
func (d *differ) flush() error {
	changes := d.changes
	d.changes = nil
	if err := d.resolve(changes); err != nil {
		return err
	}
	slices.SortFunc(changes, func(x, y Change) int { return strings.Compare(x.Name, y.Name) })
	for _, c := range changes {
		if c.Op == "~" && c.Old == c.New {
			continue
		}
		if err := d.emit(c); err != nil {
			return err
		}
	}
	return nil
}

// resolve fills in Old and New.
func (d *differ) resolve(changes []Change) error {
	wanted := make(map[string]int)
	for i, c := range changes {
		if c.Op == "~" {
			wanted[c.Name] = i
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for _, side := range []struct {
		top *dir
		st  func(*Change) *unix.Stat_t
		sum func(*Change) *string
	}{
		{d.a, func(c *Change) *unix.Stat_t { return &c.a }, func(c *Change) *string { return &c.Old }},
		{d.b, func(c *Change) *unix.Stat_t { return &c.b }, func(c *Change) *string { return &c.New }},
	} {
		err := side.top.distinfo(func(name, sum string, path string) {
			i, ok := wanted[name]
			var st unix.Stat_t
			if ok && side.top.stat(path, &st) == nil && st.Ino == side.st(&changes[i]).Ino && st.Dev == side.st(&changes[i]).Dev {
				*side.sum(&changes[i]) = sum
			}
		})
		if err != nil {
			return err
		}
		for _, i := range wanted {
			sum := side.sum(&changes[i])
			if *sum != "" {
				continue
			}
			if *sum, err = side.top.sum(d.ctx, changes[i].Name, side.st(&changes[i])); err != nil {
				return err
			}
		}
	}
	return nil
}
