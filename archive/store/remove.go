package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Recycle makes the contents safe in recycle: afterwards each has a durable
// link there. Nothing is unpublished yet. A content whose published files are
// all gone is returned in missing and is not in recycle.
func (s *Store) Recycle(cs []*Content) (missing []*Content, err error) {
	dirs := make(dirSet)
	for _, c := range cs {
		ok, err := s.recycle(c, dirs)
		if err != nil {
			return nil, fmt.Errorf("recycle %s: %w", c.Name, err)
		}
		if !ok {
			missing = append(missing, c)
		}
	}
	if err := s.syncDirs(dirs); err != nil {
		return nil, fmt.Errorf("recycle: %w", err)
	}
	return missing, nil
}

func (s *Store) recycle(c *Content, dirs dirSet) (bool, error) {
	paths, err := s.Paths(c)
	if errors.Is(err, ErrPath) {
		paths = CipherPaths(c)
	} else if err != nil {
		return false, err
	}
	dst := s.RecyclePath(c)
	for _, rel := range paths {
		src := s.Path(rel)
		fi, err := os.Lstat(src)
		if err != nil || !fi.Mode().IsRegular() || fi.Size() != c.Size {
			continue
		}
		if err := os.Mkdir(filepath.Dir(dst), 0o755); err == nil {
			dirs[s.RecycleDir()] = struct{}{}
		} else if !errors.Is(err, fs.ErrExist) {
			return false, err
		}
		if err := os.Link(src, dst); err != nil && !errors.Is(err, fs.ErrExist) {
			return false, err
		}
		dirs[filepath.Dir(dst)] = struct{}{}
		return true, nil
	}
	return false, nil
}

// Unpublish removes the published paths of c, except those for which keep is
// true because another content or name still needs them. Only links to the
// inode that is in recycle are removed: a file that somebody put in its place
// stays. Directories of by_cipher and of hashed layouts that become empty go
// with it.
func (s *Store) Unpublish(c *Content, keep func(rel string) bool) error {
	safe, err := os.Lstat(s.RecyclePath(c))
	if err != nil {
		return fmt.Errorf("unpublish %s: %w", c.Name, err)
	}
	paths, err := s.Paths(c)
	if errors.Is(err, ErrPath) {
		paths = CipherPaths(c)
	} else if err != nil {
		return fmt.Errorf("unpublish %s: %w", c.Name, err)
	}
	// Names first: by_cipher is what a later run finds the content by if
	// this one is interrupted.
	for i := len(paths) - 1; i >= 0; i-- {
		if keep(paths[i]) {
			continue
		}
		if err := s.unlink(paths[i], safe); err != nil {
			return fmt.Errorf("unpublish %s: %w", c.Name, err)
		}
	}
	return nil
}

// unlink removes the path rel if it is a link to same.
func (s *Store) unlink(rel string, same fs.FileInfo) error {
	path := s.Path(rel)
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if !os.SameFile(fi, same) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	s.prune(filepath.Dir(path))
	return nil
}

// prune removes dir and its parents up to the published tree as long as they
// are empty.
func (s *Store) prune(dir string) {
	for dir != s.published && os.Remove(dir) == nil {
		dir = filepath.Dir(dir)
	}
}

// Unlink removes one published path, such as one of a layout that is no longer
// in use, provided that other, a path of the same published tree, is another
// link to the same inode.
func (s *Store) Unlink(rel, other string) error {
	same, err := os.Lstat(s.Path(other))
	if err != nil {
		return fmt.Errorf("unlink %s: %w", rel, err)
	}
	if rel == other {
		return fmt.Errorf("unlink %s: it is the only link", rel)
	}
	if err := s.unlink(rel, same); err != nil {
		return fmt.Errorf("unlink %s: %w", rel, err)
	}
	return nil
}

// Purge removes a content from recycle for good.
func (s *Store) Purge(c *Content) error {
	path := s.RecyclePath(c)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("purge %s: %w", c.Name, err)
	}
	// The directory is shared by all names of the content.
	if err := os.Remove(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) && !isNotEmpty(err) {
		return fmt.Errorf("purge %s: %w", c.Name, err)
	}
	return nil
}

// Quarantine moves what stands at the by_cipher paths of c out of the published
// tree, because it is not what those paths promise.
func (s *Store) Quarantine(c *Content) error {
	for i, rel := range CipherPaths(c) {
		to := filepath.Join(s.QuarantineDir(), fmt.Sprintf("changed.%s.%d", c.SHA256().Hex(), i))
		err := os.Rename(s.Path(rel), to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return fmt.Errorf("quarantine %s: %w", c.Name, err)
		}
		s.prune(filepath.Dir(s.Path(rel)))
	}
	return nil
}
