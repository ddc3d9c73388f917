package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

// A listed directory has its entries in the order of their names. A big archive is
// listed in each run: its files are looked at by the descriptor of their directory,
// without what package os makes of each.
type listed struct {
	entries []entry
	at      int // where a name was found last: most callers ask in the order of names
}

// An entry is a regular file, or something that could not be looked at.
type entry struct {
	name string
	layout.File
}

// find returns the entry of a name, or nil.
func (d *listed) find(name string) *entry {
	for i := d.at; i < min(d.at+2, len(d.entries)); i++ {
		if d.entries[i].name == name {
			d.at = i
			return &d.entries[i]
		}
	}
	i, ok := slices.BinarySearchFunc(d.entries, name, func(e entry, name string) int { return strings.Compare(e.name, name) })
	d.at = i
	if !ok {
		return nil
	}
	return &d.entries[i]
}

// List reads the directories that the layouts use: the top of the published
// tree, and the hash directories of every one of layouts. Hidden files are
// left out: they are the operator's; so is what is in a directory that this
// process may not read, until Get is asked for it.
func (s *Store) List(ctx context.Context, layouts ...layout.Layout) (*Listing, error) {
	l := &lister{&Listing{s: s, dirs: make(map[string]*listed), files: make(map[string]layout.File), placed: make(map[string]placed)}, ctx, layouts}
	if err := l.list(""); err != nil {
		return nil, fmt.Errorf("list archive: %w", err)
	}
	return l.Listing, nil
}

// A lister makes a listing.
type lister struct {
	*Listing
	ctx     context.Context
	layouts []layout.Layout
}

// atOnce is how many directories, or pieces of one, are looked at together.
var atOnce = runtime.GOMAXPROCS(0) + 1

// list lists the directory rel, and below it those that a layout may use.
func (l *lister) list(rel string) error {
	if l.ctx.Err() != nil {
		return l.ctx.Err()
	}
	entries, err := l.read(rel)
	if rel != "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return nil // removed since its parent was read, or not for us to read
	} else if err != nil {
		return err
	}
	var subs []string
	l.mu.Lock()
	for _, e := range entries {
		if e.Blocked == 0 {
			continue
		}
		if rel == "" { // Get does not look there
			l.files[e.name] = e.File
		}
		if sub := path.Join(rel, e.name); l.inHashDir(sub) {
			subs = append(subs, sub)
		}
	}
	l.dirs[rel] = &listed{entries: slices.DeleteFunc(entries, func(e entry) bool { return e.Size < 0 && e.Err == nil })}
	l.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, sub := range subs {
		g.Go(func() error { return l.list(sub) })
	}
	return g.Wait()
}

// read looks at the entries of the directory rel.
func (l *lister) read(rel string) ([]entry, error) {
	dir := l.s.Path(rel)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	names, err := namesIn(fd)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: dir, Err: err}
	}
	slices.Sort(names)
	entries := make([]entry, len(names))
	for i, name := range names {
		entries[i].name = name
	}
	var g errgroup.Group
	g.SetLimit(atOnce)
	for es := range slices.Chunk(entries, 2048) { // enough work for one goroutine
		g.Go(func() error { return l.look(fd, rel, es) })
	}
	return entries, g.Wait()
}

// namesIn returns the names in an open directory.
func namesIn(fd int) (names []string, err error) {
	buf := make([]byte, 32<<10)
	for {
		switch n, err := unix.ReadDirent(fd, buf); {
		case err == unix.EINTR:
		case err != nil || n <= 0:
			return names, err
		default:
			_, _, names = unix.ParseDirent(buf[:n], -1, names)
		}
	}
}

// look looks at entries of the open directory rel. Those that are no files of the
// listing keep a negative size.
func (l *lister) look(fd int, rel string, entries []entry) error {
	var aside, shut []string
	note := func(list *[]string, e *entry) { *list = append(*list, path.Join(rel, e.name)) }
	for i := range entries {
		e := &entries[i]
		e.Size = -1
		if e.name[0] == '.' {
			note(&aside, e)
			continue
		}
		var st unix.Stat_t
		err := unix.Fstatat(fd, e.name, &st, unix.AT_SYMLINK_NOFOLLOW)
		for err == unix.EINTR {
			err = unix.Fstatat(fd, e.name, &st, unix.AT_SYMLINK_NOFOLLOW)
		}
		perm, kind := fs.FileMode(st.Mode)&fs.ModePerm, st.Mode&unix.S_IFMT
		reserved := rel == "" && layout.Reserved(catalog.Name(e.name))
		switch {
		case err == unix.ENOENT:
		case err != nil:
			e.Err = &fs.PathError{Op: "lstat", Path: l.s.Path(path.Join(rel, e.name)), Err: err}
		case kind == unix.S_IFDIR:
			e.Blocked = layout.ByDir
			if hash := l.inHashDir(path.Join(rel, e.name)); hash && l.s.shut(perm, true) {
				note(&shut, e)
			} else if !hash && !reserved {
				note(&aside, e)
			}
		case reserved:
		case kind == unix.S_IFREG:
			e.File = layout.File{
				Size: st.Size, ModTime: time.Unix(st.Mtim.Unix()), Links: uint64(st.Nlink),
				Inode: layout.Inode{Dev: uint64(st.Dev), Ino: uint64(st.Ino)}, Foreign: l.s.Tree.foreign(perm, st.Uid),
			}
			if l.s.shut(perm, false) {
				note(&shut, e)
			}
		case kind == unix.S_IFLNK:
			note(&aside, e)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.aside, l.shut = append(l.aside, aside...), append(l.shut, shut...)
	return l.ctx.Err()
}

// inHashDir reports whether dir may be a directory of one of the hashed
// layouts.
func (l *lister) inHashDir(dir string) bool {
	return slices.ContainsFunc(l.layouts, func(x layout.Layout) bool { return x.InBuckets(dir) })
}
