package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// LookAt returns what is at path, absolute, now.
func LookAt(path string) layout.File {
	fi, err := os.Lstat(path)
	switch {
	case err == nil && fi.Mode().IsRegular():
		return fileOf(fi)
	case err == nil && fi.IsDir():
		return layout.File{Size: -1, Blocked: layout.ByDir}
	case errors.Is(err, syscall.ENOTDIR):
		return layout.File{Size: -1, Blocked: layout.ByFile}
	case err == nil || isGone(err):
		return layout.File{Size: -1}
	}
	return layout.File{Size: -1, Err: err}
}

// fileAt is LookAt for a file that the archive may take over.
func (s *Store) fileAt(path string) layout.File {
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return LookAt(path)
	}
	return s.ours(fi)
}

func fileOf(fi fs.FileInfo) layout.File {
	return layout.File{Size: fi.Size(), ModTime: fi.ModTime(), Links: links(fi), Inode: InodeOf(fi)}
}

// ours is fileOf, and tells whether the file is the archive's alone.
func (s *Store) ours(fi fs.FileInfo) layout.File {
	f := fileOf(fi)
	f.Foreign = s.Tree.Foreign(fi)
	return f
}

// InodeOf returns the inode of a file that was looked at.
func InodeOf(fi fs.FileInfo) layout.Inode {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return layout.Inode{Dev: uint64(st.Dev), Ino: st.Ino}
	}
	return layout.Inode{}
}

func links(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// A Listing knows the regular files of the published tree outside by_cipher by
// their relative paths. It reads no file's bytes.
type Listing struct {
	s     *Store
	mu    sync.Mutex
	files map[string]layout.File
	// aside are entries that are neither files nor directories of a layout: what
	// is hidden, symbolic links, other directories.
	aside []string
	// shut are files and directories that keep readers out.
	shut []string
}

// List reads the directories that the layouts use: the top of the published
// tree, and the hash directories of every one of layouts. Hidden files are
// left out: they are the operator's; so is what is in a directory that this
// process may not read, until Get is asked for it.
func (s *Store) List(ctx context.Context, layouts ...layout.Layout) (*Listing, error) {
	l := &Listing{s: s, files: make(map[string]layout.File)}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0) + 1)
	if err := l.read(ctx, g, "", layouts); err != nil {
		return nil, errors.Join(fmt.Errorf("list archive: %w", err), g.Wait())
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("list archive: %w", err)
	}
	return l, nil
}

// read lists the directory rel, and below it those that a layout may use.
func (l *Listing) read(ctx context.Context, g *errgroup.Group, rel string, layouts []layout.Layout) error {
	entries, err := readDir(l.s.Path(rel))
	if rel != "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		return nil // removed since its parent was read, or not for us to read
	} else if err != nil {
		return err
	}
	const chunk = 2048 // enough work for one goroutine
	var batch []fs.DirEntry
	flush := func() {
		es := batch
		batch = nil
		g.Go(func() error { return l.stat(ctx, rel, es) })
	}
	for _, e := range entries {
		switch {
		case rel == "" && layout.Reserved(catalog.Name(e.Name())) && !e.IsDir():
		case strings.HasPrefix(e.Name(), "."):
			l.aside = append(l.aside, filepath.Join(rel, e.Name()))
		case e.IsDir():
			if rel == "" { // Get does not look there
				l.Set(e.Name(), layout.File{Size: -1, Blocked: layout.ByDir})
			}
			sub := filepath.Join(rel, e.Name())
			if inHashDir(sub, layouts) {
				if fi, err := e.Info(); err == nil && l.s.Shut(fi) {
					l.mu.Lock()
					l.shut = append(l.shut, sub)
					l.mu.Unlock()
				}
				if err := l.read(ctx, g, sub, layouts); err != nil {
					return err
				}
			} else if !layout.Reserved(catalog.Name(sub)) {
				l.aside = append(l.aside, sub)
			}
		case e.Type().IsRegular():
			if batch = append(batch, e); len(batch) == chunk {
				flush()
			}
		case e.Type() == fs.ModeSymlink:
			l.aside = append(l.aside, filepath.Join(rel, e.Name()))
		}
	}
	if len(batch) > 0 {
		flush()
	}
	return ctx.Err()
}

// readDir is os.ReadDir without its sorting.
func readDir(dir string) ([]fs.DirEntry, error) {
	d, err := regular.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadDir(-1)
}

func (l *Listing) stat(ctx context.Context, rel string, entries []fs.DirEntry) error {
	files := make([]layout.File, len(entries))
	var shut []string
	for i, e := range entries {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch fi, err := e.Info(); {
		case err == nil:
			files[i] = l.s.ours(fi)
			if l.s.Shut(fi) {
				shut = append(shut, filepath.Join(rel, e.Name()))
			}
		case errors.Is(err, fs.ErrNotExist):
			files[i].Size = -1
		default:
			files[i] = layout.File{Size: -1, Err: err}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = append(l.shut, shut...)
	for i, e := range entries {
		if files[i].Size >= 0 || files[i].Err != nil {
			l.files[filepath.Join(rel, e.Name())] = files[i]
		}
	}
	return nil
}

// inHashDir reports whether dir may be a directory of one of the hashed
// layouts.
func inHashDir(dir string, layouts []layout.Layout) bool {
	for _, l := range layouts {
		if l.InBuckets(dir) {
			return true
		}
	}
	return false
}

// Get returns what is at rel. Paths that the listing did not come by, which are
// those below by_cipher, in the sub-directories of openbsd names, and of hidden
// files, are looked up once and remembered.
func (l *Listing) Get(rel string) (layout.File, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, ok := l.files[rel]
	if ok {
		return f, f.Size >= 0
	}
	f.Size = -1
	if strings.Contains(rel, "/") || strings.HasPrefix(rel, ".") {
		f = l.s.fileAt(l.s.Path(rel))
		l.files[rel] = f
	}
	return f, f.Size >= 0
}

// Set notes what a commit has put at rel; a negative size that nothing is there.
func (l *Listing) Set(rel string, f layout.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files[rel] = f
}

// Look looks at rel again.
func (l *Listing) Look(rel string) {
	l.Set(rel, l.s.fileAt(l.s.Path(rel)))
}

// All calls f with every path that is known to hold a regular file, in no
// order, until f returns false. f must not call methods of l.
func (l *Listing) All(f func(rel string, file layout.File) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for rel, file := range l.files {
		if file.Size >= 0 && !f(rel, file) {
			return
		}
	}
}
