package store

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"distkeep/archive/layout"
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
	s  *Store
	mu sync.Mutex
	// dirs are the directories that were listed, and files what was looked at, or
	// has changed, since; placed are those of which no more is known than that a commit
	// has put them there.
	dirs   map[string]*listed
	files  map[string]layout.File
	placed map[string]placed
	// aside are entries that are neither files nor directories of a layout: what
	// is hidden, symbolic links, other directories.
	aside []string
	// shut are files and directories that keep readers out.
	shut []string
}

// Get returns what is at rel. Paths that the listing did not come by, which are
// those below by_cipher, in the sub-directories of openbsd names, and of hidden
// files, are looked up once and remembered.
func (l *Listing) Get(rel string) (layout.File, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, ok := l.since(rel)
	if !ok {
		f, ok = l.listed(rel)
	}
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

// A placed is a file by its size and its time of modification in Unix nanoseconds: a first
// run puts all there are.
type placed struct{ size, modTime int64 }

func (p placed) file() layout.File {
	return layout.File{Size: p.size, ModTime: time.Unix(0, p.modTime).UTC()}
}

// since returns what was looked at, or has changed, since the listing.
func (l *Listing) since(rel string) (layout.File, bool) {
	if p, ok := l.placed[rel]; ok {
		return p.file(), true
	}
	f, ok := l.files[rel]
	return f, ok
}

// listed returns what the listing came by at rel.
func (l *Listing) listed(rel string) (f layout.File, ok bool) {
	slash := strings.LastIndexByte(rel, '/')
	dir := l.dirs[rel[:max(slash, 0)]]
	if dir == nil {
		return f, false
	}
	e := dir.find(rel[slash+1:])
	if e == nil {
		return f, false
	}
	return e.File, true
}

// Set notes what a commit has put at rel; a negative size that nothing is there.
// What is below by_cipher is looked at when somebody asks for it: hardly anybody does.
func (l *Listing) Set(rel string, f layout.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.files, rel)
	delete(l.placed, rel)
	if p := (placed{f.Size, f.ModTime.UnixNano()}); layout.InByCipher(rel) {
		return
	} else if f.Size >= 0 && f.Err == nil && f == p.file() {
		l.placed[rel] = p
	} else {
		l.files[rel] = f
	}
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
	for dir, d := range l.dirs {
		for i := range d.entries {
			e := &d.entries[i]
			rel := e.name
			if dir != "" {
				rel = dir + "/" + rel
			}
			if _, newer := l.since(rel); !newer && e.Size >= 0 && !f(rel, e.File) {
				return
			}
		}
	}
	for rel, p := range l.placed {
		if !f(rel, p.file()) {
			return
		}
	}
	for rel, file := range l.files {
		if file.Size >= 0 && !f(rel, file) {
			return
		}
	}
}
