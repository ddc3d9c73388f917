package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/catalog/regular"
)

// A shared is what the parts of a store have in common: where they are, how they
// change the file system, and what of their changes is not durable yet.
type shared struct {
	at    *Places
	disk  *disk.Disk
	fs    disk.FS // disk, or what was put around it
	sync  disk.Syncer
	temps atomic.Int64 // numbers temporary links

	unsynced bool   // something was linked and could not be made durable
	failed   bool   // syncAll has
	removed  dirSet // directories that SyncRemoved has to look after
	givenUp  bool   // the reserve was, for want of room

	readings readings // what HashOnce has read
}

// syncAll makes everything durable that the file system has.
func (s *shared) syncAll() error {
	err := s.fs.SyncAll(s.sync.Dir)
	s.failed = s.failed || err != nil
	return err
}

// noteSync notes how it went to make links durable.
func (s *shared) noteSync(err error) error {
	s.unsynced = s.unsynced || err != nil
	return err
}

// lstat is os.Lstat for a path that no symbolic link of somebody else is on.
func (s *shared) lstat(path string) (fs.FileInfo, error) { return s.disk.Lstat(path) }

// remove removes a file that may be gone already.
func (s *shared) remove(path string) error {
	if err := s.fs.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// dirSet collects directories whose entries have changed.
type dirSet map[string]struct{}

// add notes that the entry path has changed. The parents up to root are noted
// as well: whoever made them may have been killed before they were durable.
func (s dirSet) add(path, root string) {
	for dir := parent(path); ; dir = parent(dir) {
		if _, ok := s[dir]; ok {
			return
		}
		s[dir] = struct{}{}
		if dir == root || dir == parent(dir) {
			return
		}
	}
}

// parent is filepath.Dir of a path that has no more in it than it needs.
func parent(path string) string {
	if i := strings.LastIndexByte(path, filepath.Separator); i > 0 {
		return path[:i]
	}
	return filepath.Dir(path)
}

// syncDirs makes the entries of dirs durable.
func (s *shared) syncDirs(dirs dirSet) error {
	if len(dirs) > syncEachDir && s.sync.Whole {
		return s.syncAll()
	}
	for d := range dirs {
		if err := s.fs.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}

// temp returns a path in PartsDir for a link on its way to its place. No part
// has such a name, and one that a crash left behind is of no use to anybody.
func (s *shared) temp() string {
	return filepath.Join(s.at.PartsDir(), fmt.Sprint(tempPrefix, s.temps.Add(1)))
}

// mkdir makes the directory dir of the published tree with its missing parents.
// Whoever puts something into it notes all of them.
func (s *shared) mkdir(dir string) error {
	err := s.fs.Mkdir(dir)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			return fmt.Errorf("%w: %s is not a directory", layout.ErrPath, dir)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist) && dir != s.at.published:
		if err := s.mkdir(parent(dir)); err != nil {
			return err
		}
		return s.mkdir(dir)
	}
	return err
}

// publishedMode is that of published files, which are never written to again.
const publishedMode fs.FileMode = 0o444

// prepare makes the file src fit for publication.
func (s *shared) prepare(src string, part, sync bool) error {
	if !part && !sync {
		return nil
	}
	f, err := regular.OpenItself(src)
	if err != nil {
		return err
	}
	defer f.Close()
	if part {
		if err := f.Chmod(publishedMode); err != nil {
			return err
		}
	}
	if !sync {
		return nil
	}
	err = s.fs.Sync(f)
	if err != nil && part {
		err = errors.Join(err, s.remove(src))
	}
	if err != nil {
		return &unsyncedError{err}
	}
	return nil
}

// prune removes dir, from which something was removed, and its parents up to
// the published tree as long as they are empty.
func (s *shared) prune(dir string) {
	for dir != s.at.published {
		err := s.fs.Rmdir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		delete(s.removed, dir)
		dir = filepath.Dir(dir)
	}
	s.removed[dir] = struct{}{}
}

// pruneAny is prune for directories of the published tree and of recycle.
func (s *shared) pruneAny(dir string) {
	if dir == s.at.published || strings.HasPrefix(dir, s.at.published+string(filepath.Separator)) {
		s.prune(dir)
		return
	}
	if dir != s.at.RecycleDir() && s.fs.Rmdir(dir) == nil {
		delete(s.removed, dir)
		dir = filepath.Dir(dir)
	}
	s.removed[dir] = struct{}{}
}

// isGone reports whether a path cannot be there, because nothing is or because
// a file is in the place of one of its directories.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
