package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"distkeep/archive/layout"

	"golang.org/x/sys/unix"

	"distkeep/catalog/digest"
)

// Recycle makes the contents safe in recycle: afterwards each has a durable
// link there. Nothing is unpublished yet. A content whose published files are
// all gone, or known not to have its bytes, is returned in missing and is not in
// recycle; one that cannot be put there in stuck, with the reason. The error means
// that the file system fails. Other files with the same
// bytes at its paths, as a copy of an archive has them that did not keep the hard
// links, become links to the one in recycle, so that Unpublish knows them.
func (s *Store) Recycle(cs []*layout.Content) (missing []*layout.Content, stuck map[*layout.Content]error, err error) {
	defer func() { s.settled(err) }()
	dirs := make(dirSet)
	stuck = make(map[*layout.Content]error)
	for _, c := range cs {
		ok, err := s.recycle(c, dirs)
		switch {
		case err != nil && Broken(err):
			return nil, nil, fmt.Errorf("recycle %s: %w", c.Name, err)
		case err != nil:
			stuck[c] = fmt.Errorf("recycle %s: %w", c.Name, err)
		case !ok:
			missing = append(missing, c)
		}
	}
	if err := s.syncDirs(dirs); err != nil {
		return nil, nil, fmt.Errorf("recycle: %w", err)
	}
	return missing, stuck, nil
}

func (s *Store) recycle(c *layout.Content, dirs dirSet) (bool, error) {
	paths, err := s.available(c)
	if err != nil {
		return false, err
	}
	for _, rel := range s.rightFirst(c, paths) {
		src := s.Path(rel)
		fi, err := s.lstat(src)
		if err != nil || !fi.Mode().IsRegular() || fi.Size() != c.Size || isAnother(c, src, fi) {
			continue
		}
		if err = syscall.EMLINK; !s.Foreign(fi) {
			err = s.linkRecycled(src, fi, c, dirs)
		}
		if errors.Is(err, syscall.EMLINK) {
			// Another inode for this name, published and recycled, so
			// that Unpublish knows it again.
			it := &Item{Content: *c, Have: Source{Path: src, Was: fi}}
			if err = s.publish(it, dirs); err == nil {
				if fi, err = s.lstat(src); err == nil {
					err = s.linkRecycled(src, fi, c, dirs)
				}
			}
		}
		if err == nil {
			err = s.unify(src, paths, dirs)
		}
		return err == nil, err
	}
	return false, nil
}

// isAnother reports whether src, that is fi and has the size of c, is known to have
// other bytes: it is read unless it has the time of the file that was verified.
func isAnother(c *layout.Content, src string, fi fs.FileInfo) bool {
	if fi.ModTime().Equal(c.ModTime) {
		return false
	}
	sums, _, err := Hash(context.Background(), src)
	return err == nil && sums.Get(digest.SHA256) != c.SHA256()
}

// rightFirst returns paths, those last whose files are known to be damaged: they
// are doubted where another one has a file of the same size with other bytes.
func (s *Store) rightFirst(c *layout.Content, paths []string) []string {
	var right, damaged []string
	for _, rel := range paths {
		src := s.Path(rel)
		fi, err := s.lstat(src)
		it := &Item{Content: *c, Have: Source{Path: src, Was: fi}}
		doubt := func(other string) bool {
			return errors.Is(s.mayTake(it, s.Path(other), src, fi), ErrDamaged)
		}
		if err == nil && fi.Mode().IsRegular() && fi.Size() == c.Size && slices.ContainsFunc(paths, doubt) {
			damaged = append(damaged, rel)
		} else {
			right = append(right, rel)
		}
	}
	return append(right, damaged...)
}

// unify makes links to src of the other files at paths that have its bytes.
func (s *Store) unify(src string, paths []string, dirs dirSet) error {
	fi, err := s.lstat(src)
	if err != nil {
		return err
	}
	synced := false
	for _, rel := range paths {
		dst := s.Path(rel)
		old, err := s.lstat(dst)
		if isGone(err) {
			continue
		} else if err != nil {
			return err
		}
		if !old.Mode().IsRegular() || old.Size() != fi.Size() || os.SameFile(old, fi) || !sameBytes(src, dst) {
			continue
		}
		if !synced {
			// The file that stays may be younger than the one that goes.
			if err := s.prepare(src, false, true); err != nil {
				return err
			}
			synced = true
		}
		switch err := s.replace(src, fi, dst); {
		case errors.Is(err, syscall.EMLINK):
			return nil // it stays, for another name of the content
		case err != nil:
			return err
		}
		dirs.add(dst, s.published)
	}
	return nil
}

// linkRecycled links src to its place in recycle. What is there already is the
// same content, but has to be the inode that Unpublish is to remove.
func (s *Store) linkRecycled(src string, fi fs.FileInfo, c *layout.Content, dirs dirSet) error {
	dst := s.RecyclePath(c)
	if err := s.fs.Mkdir(filepath.Dir(dst)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err := s.fs.Link(src, dst)
	if errors.Is(err, fs.ErrExist) {
		err = s.replace(src, fi, dst)
	}
	if err != nil {
		return err
	}
	dirs.add(dst, s.work)
	return nil
}

// available returns the paths of c, or those below by_cipher alone when its
// name has none.
func (s *Store) available(c *layout.Content) ([]string, error) {
	paths, err := s.layouts.Paths(c)
	if errors.Is(err, layout.ErrPath) {
		return c.CipherPaths(), nil
	}
	return paths, err
}

// Unpublish removes the published paths of c, except those for which keep is
// true because another content or name still needs them. Only links to the
// inode that is in recycle are removed: a file that somebody put in its place
// stays. Directories of by_cipher and of hashed layouts that become empty go
// with it. SyncRemoved makes it durable.
func (s *Store) Unpublish(c *layout.Content, keep func(rel string) bool) error {
	safe, err := s.lstat(s.RecyclePath(c))
	if err != nil {
		return fmt.Errorf("unpublish %s: %w", c.Name, err)
	}
	paths, err := s.available(c)
	if err != nil {
		return fmt.Errorf("unpublish %s: %w", c.Name, err)
	}
	// Names first: by_cipher is what a later run finds the content by if
	// this one is interrupted.
	for i := len(paths) - 1; i >= 0; i-- {
		if keep(paths[i]) {
			continue
		}
		if err := s.unlink(s.Path(paths[i]), safe); err != nil {
			return fmt.Errorf("unpublish %s: %w", c.Name, err)
		}
	}
	return nil
}

// unlink removes path if it is a link to same.
func (s *Store) unlink(path string, same fs.FileInfo) error {
	fi, err := s.lstat(path)
	if isGone(err) {
		s.prune(filepath.Dir(path)) // where a run that was killed has stopped
		return nil
	} else if err != nil {
		return err
	}
	if !os.SameFile(fi, same) {
		return nil
	}
	if err := s.remove(path); err != nil {
		return err
	}
	s.prune(filepath.Dir(path))
	return nil
}

// isGone reports whether a path cannot be there, because nothing is or because
// a file is in the place of one of its directories.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// prune removes dir, from which something was removed, and its parents up to
// the published tree as long as they are empty.
func (s *Store) prune(dir string) {
	for dir != s.published {
		err := s.fs.Rmdir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		delete(s.removed, dir)
		if err == nil {
		}
		dir = filepath.Dir(dir)
	}
	s.removed[dir] = struct{}{}
}

// Unlink removes one published path, such as one of a layout that is no longer
// in use, provided that other, a path of the same published tree, keeps its
// bytes: it is another link to the inode, or, as in an archive that was copied
// without its hard links, another file with the same bytes. What is there with
// other bytes stays, and is an error. SyncRemoved makes it durable.
func (s *Store) Unlink(rel, other string) error {
	if err := s.unlinkTwin(s.Path(rel), s.Path(other)); err != nil {
		return fmt.Errorf("unlink %s: %w", rel, err)
	}
	return nil
}

func (s *Store) unlinkTwin(path, other string) error {
	keeps, err := s.lstat(other)
	if err != nil {
		return err
	}
	fi, err := s.lstat(path)
	switch {
	case isGone(err):
	case err != nil:
		return err
	case os.SameFile(fi, keeps):
		// One link is one path, however it is spelled.
		if links(fi) < 2 || sameEntry(path, other) {
			return fmt.Errorf("%s is its only link", other)
		}
	case !fi.Mode().IsRegular() || fi.Size() != keeps.Size() || !sameBytes(path, other):
		return fmt.Errorf("%s has other bytes", other)
	default:
		// The file that stays may be younger than the one that goes.
		if err := s.prepare(other, false, true); err != nil {
			return err
		}
		keeps = fi
	}
	return s.unlink(path, keeps)
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

// Purge removes a content from recycle for good. SyncRemoved makes it durable.
func (s *Store) Purge(c *layout.Content) error {
	path := s.RecyclePath(c)
	if err := s.remove(path); err != nil {
		return fmt.Errorf("purge %s: %w", c.Name, err)
	}
	dir := filepath.Dir(path)
	switch err := s.fs.Rmdir(dir); {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		delete(s.removed, dir)
		s.removed[s.RecycleDir()] = struct{}{}
	case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST):
		// The directory is shared by all names of the content.
		s.removed[dir] = struct{}{}
	default:
		return fmt.Errorf("purge %s: %w", c.Name, err)
	}
	return nil
}

// SyncRemoved makes durable what Unpublish, Unlink, Purge and SetAside have
// removed since its last call. Whoever records that something is gone calls it
// before: after a power failure the file would be back, known to nobody.
func (s *Store) SyncRemoved() error {
	for dir := range s.removed {
		if fi, err := os.Stat(dir); isGone(err) || err == nil && !fi.IsDir() {
			delete(s.removed, dir) // somebody else has removed it as well
		}
	}
	if err := s.syncDirs(s.removed); err != nil {
		return fmt.Errorf("sync removals: %w", err)
	}
	clear(s.removed)
	return nil
}
