package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

// Unlink removes one published path, such as one of a layout that is no longer
// in use, provided that other, a path of the same published tree, keeps its
// bytes: it is another link to the inode, or, as in an archive that was copied
// without its hard links, another file with the same bytes. What is there with
// other bytes stays, and is an error. SyncRemoved makes it durable.
func (t *Tree) Unlink(rel, other string) error {
	if err := t.unlinkTwin(t.at.Path(rel), t.at.Path(other)); err != nil {
		return fmt.Errorf("unlink %s: %w", rel, err)
	}
	return nil
}

func (t *Tree) unlinkTwin(path, other string) error {
	keeps, err := t.lstat(other)
	if err != nil {
		return err
	}
	fi, err := t.lstat(path)
	switch {
	case isGone(err):
	case err != nil:
		return err
	case os.SameFile(fi, keeps):
		// One link is one path, however it is spelled.
		if links(fi) < 2 || sameEntry(path, other) {
			return fmt.Errorf("%s is its only link", other)
		}
	case !fi.Mode().IsRegular() || fi.Size() != keeps.Size() || !t.same(path, other):
		return fmt.Errorf("%s has other bytes", other)
	default:
		// The file that stays may be younger than the one that goes.
		if err := t.prepare(other, false, true); err != nil {
			return err
		}
		keeps = fi
	}
	return t.unlink(path, keeps)
}

// unlink removes path if it is a link to same.
func (t *Tree) unlink(path string, same fs.FileInfo) error {
	fi, err := t.lstat(path)
	if isGone(err) {
		t.prune(filepath.Dir(path)) // where a run that was killed has stopped
		return nil
	} else if err != nil {
		return err
	}
	if !os.SameFile(fi, same) {
		return nil
	}
	if err := t.remove(path); err != nil {
		return err
	}
	t.prune(filepath.Dir(path))
	return nil
}

// sameEntry reports whether two paths are one entry of one directory.
func sameEntry(a, b string) bool {
	da, err := os.Stat(filepath.Dir(a))
	if err != nil {
		return true // it cannot be told that they are two
	}
	db, err := os.Stat(filepath.Dir(b))
	return err != nil || filepath.Base(a) == filepath.Base(b) && os.SameFile(da, db)
}

// available returns the paths of c, or those below by_cipher alone when its
// name has none.
func (t *Tree) available(c *layout.Content) ([]string, error) {
	paths, err := t.layouts.Paths(c)
	if errors.Is(err, layout.ErrPath) {
		return c.CipherPaths(), nil
	}
	return paths, err
}

// Foreign reports whether somebody else than this process can write to a file:
// its owner, its group or others. What is in the archive stays as it was verified
// only in files that are not.
func (t *Tree) Foreign(fi fs.FileInfo) bool {
	uid, ok := ownerOf(fi)
	return ok && t.foreign(fi.Mode().Perm(), uid) || fi.Mode().Perm()&0o022 != 0
}

func (t *Tree) foreign(perm fs.FileMode, uid uint32) bool {
	return perm&0o022 != 0 || uid != t.owners[0] && uid != t.owners[1]
}

// ownersHere are the user of this process and the one that it appears as on the
// file system of the archive: a server may know it by another number. Whoever has
// the directory of parts has the archive.
func (t *Tree) ownersHere() (uids [2]uint32, err error) {
	fi, err := os.Stat(t.at.PartsDir())
	if err != nil {
		return uids, err
	}
	uid, ok := ownerOf(fi)
	if !ok {
		return uids, fmt.Errorf("%s: it has no owner", t.at.PartsDir())
	}
	return [2]uint32{uint32(os.Geteuid()), uid}, nil
}

func ownerOf(fi fs.FileInfo) (uid uint32, ok bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}

// A Tree is the published tree: what is there by the layouts and below by_cipher,
// all hard links to one inode for each content.
type Tree struct {
	*placer
	layouts layout.Conf
	owners  [2]uint32 // whose files are ours, see Foreign

	mu    sync.Mutex
	spare map[digest.Digest]string // paths of inodes to link to, of contents whose first cannot be linked
}
