package regular

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Held keeps the directories of trees open that it has come through, for many changes
// in a row: they are not opened again for each. It opens them as a Tree does, one
// below the other; one that is moved away meanwhile is taken to be moved after the
// changes. It may be used by several goroutines. The zero value is ready for use.
type Held struct {
	// use is held for reading while a descriptor is in use. Close must not come
	// between a call of Within and another one that its f makes.
	use    sync.RWMutex
	closed bool

	mu   sync.Mutex
	dirs map[heldDir]int // their descriptors
	gone []int           // those of directories that were removed
}

// A heldDir is the directory rel of the tree root.
type heldDir struct{ root, rel string }

const (
	// maxHeld bounds the descriptors: enough for the 256 directories of by_cipher and
	// those of a layout, and far from what a process may have.
	maxHeld = 600
	// heldDepth is how deep below its root a directory may be to be held: below
	// are those of single files.
	heldDepth = 3
)

// Within is t.Within(rel, f). What f does may be done twice where it fails with
// fs.ErrNotExist.
func (h *Held) Within(t Tree, rel string, f func(dir int, base string) error) error {
	h.use.RLock()
	defer h.use.RUnlock()
	dir, base, err := t.split(rel)
	if err != nil {
		return err
	}
	if h.closed {
		return t.Within(rel, f)
	}
	fd, held, err := h.open(t, dir)
	if err != nil {
		err = &fs.PathError{Op: "open", Path: filepath.Join(t.root, dir), Err: err}
	} else {
		err = f(fd, base)
		if !held {
			unix.Close(fd)
		}
	}
	if errors.Is(err, fs.ErrNotExist) && h.removed(t, dir) {
		return t.Within(rel, f)
	}
	return err
}

// open opens the directory dir of t, unless it is held.
func (h *Held) open(t Tree, dir string) (fd int, held bool, err error) {
	key := heldDir{t.root, dir}
	h.mu.Lock()
	fd, held = h.dirs[key]
	h.mu.Unlock()
	if held {
		return fd, true, nil
	}
	if dir == "" {
		fd, err = openat(unix.AT_FDCWD, t.root, dirFlags)
	} else {
		up, name := above(dir)
		parent, kept, perr := h.open(t, up)
		if perr != nil {
			return -1, false, perr
		}
		links := maxLinks
		fd, err = t.step(parent, name, &links)
		if !kept {
			unix.Close(parent)
		}
	}
	if err != nil {
		return -1, false, err
	}
	return fd, h.keep(key, fd), nil
}

// above splits the last component off a path.
func above(dir string) (up, name string) {
	i := strings.LastIndexByte(dir, filepath.Separator)
	return dir[:max(i, 0)], dir[i+1:]
}

// keep reports whether a directory is held from now on.
func (h *Held) keep(key heldDir, fd int) bool {
	if strings.Count(key.rel, string(filepath.Separator)) >= heldDepth {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, twice := h.dirs[key]; twice || len(h.dirs)+len(h.gone) >= maxHeld {
		return false
	}
	if h.dirs == nil {
		h.dirs = make(map[heldDir]int)
	}
	h.dirs[key] = fd
	return true
}

// removed reports whether a directory is held on the way to dir that was removed, and
// holds nothing any more then: another one may have been made in its place.
func (h *Held) removed(t Tree, dir string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	fd, held := h.dirs[heldDir{t.root, dir}]
	for !held && dir != "" {
		dir, _ = above(dir)
		fd, held = h.dirs[heldDir{t.root, dir}]
	}
	var st unix.Stat_t
	if !held || unix.Fstat(fd, &st) != nil || st.Nlink > 0 {
		return false
	}
	for _, fd := range h.dirs {
		h.gone = append(h.gone, fd)
	}
	clear(h.dirs)
	return true
}

// Close closes what is held. From then on nothing is.
func (h *Held) Close() {
	h.use.Lock()
	defer h.use.Unlock()
	h.closed = true
	for _, fd := range h.dirs {
		unix.Close(fd)
	}
	for _, fd := range h.gone {
		unix.Close(fd)
	}
	h.dirs, h.gone = nil, nil
}
