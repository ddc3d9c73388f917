package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// An Item is one content to be published.
type Item struct {
	Content
	// Part is the verified file in PartsDir. Release removes it.
	Part string
	// Have, when set, is a file of the archive that is known to hold the
	// content and to be durable: a published path or one in recycle. Its
	// inode is linked, and Part is not looked at.
	Have string

	// ModTime is that of the stored file, set by Commit.
	ModTime time.Time
	// Err is why this one item could not be published, set by Commit.
	Err error
}

// syncEach is the number of new files up to which each is synchronised by
// itself. Above it the whole file system is, once for the data and once for
// the links: on a server's ext4 an fsync costs 310 µs a file, a syncfs for a
// thousand files 20 µs each; but a syncfs also waits for what others write.
const syncEach = 16

const tempPrefix = "link."

// Commit publishes items and makes them durable: first the bytes of all, then
// their links, so that no reader ever sees, even after a power failure, a file
// that is not whole. A path that holds another inode is replaced by rename.
//
// What is wrong with a single item is in its Err, and the others are published.
// The error of Commit itself means that nothing may be recorded: the file
// system is full or failing.
func (s *Store) Commit(items []*Item) error {
	var fresh []string
	for _, it := range items {
		if it.Have == "" {
			fresh = append(fresh, it.Part)
		}
	}
	if err := s.syncData(fresh); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	dirs := make(dirSet)
	for _, it := range items {
		it.Err = s.publish(it, dirs)
		if it.Err != nil && Broken(it.Err) {
			return fmt.Errorf("commit %s: %w", it.Name, it.Err)
		}
	}
	if err := s.syncDirs(dirs); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func (s *Store) syncData(parts []string) error {
	each := len(parts) <= syncEach || !s.sync.all()
	for _, p := range parts {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		err = f.Chmod(0o444) // published files are never written to again
		if each {
			err = errors.Join(err, f.Sync())
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	if each {
		return nil
	}
	return s.sync.filesystem()
}

// dirSet collects directories whose entries have changed.
type dirSet map[string]struct{}

func (s *Store) syncDirs(dirs dirSet) error {
	if len(dirs) > 2*syncEach && s.sync.all() {
		return s.sync.filesystem()
	}
	for d := range dirs {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // emptied and removed since
	} else if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// publish links one item to all its paths.
func (s *Store) publish(it *Item, dirs dirSet) error {
	paths, err := s.Paths(&it.Content)
	if err != nil {
		return err
	}
	src := it.Have
	if src == "" {
		src = it.Part
	}
	fi, err := os.Lstat(src)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Size() != it.Size {
		return fmt.Errorf("%s: not a regular file of %d bytes", src, it.Size)
	}
	it.ModTime = fi.ModTime()
	for _, rel := range paths {
		if err := s.link(src, fi, rel, dirs); err != nil {
			return err
		}
	}
	return nil
}

// link makes the path rel of the published tree a link to src. What is there
// with another inode is replaced in one step.
func (s *Store) link(src string, fi fs.FileInfo, rel string, dirs dirSet) error {
	dst := s.Path(rel)
	err := os.Link(src, dst)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.mkdir(filepath.Dir(dst), dirs); err == nil {
			err = os.Link(src, dst)
		}
	}
	switch {
	case err == nil:
		dirs[filepath.Dir(dst)] = struct{}{}
		return nil
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	old, err := os.Lstat(dst)
	if err != nil {
		return err
	}
	if os.SameFile(old, fi) {
		return nil
	}
	if old.IsDir() {
		return fmt.Errorf("%w: %s is a directory", ErrPath, dst)
	}
	s.tmp++
	tmp := filepath.Join(s.PartsDir(), fmt.Sprint(tempPrefix, s.tmp))
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(src, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dst); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	dirs[filepath.Dir(dst)] = struct{}{}
	return nil
}

// mkdir makes dir and its missing parents and notes which directories changed.
func (s *Store) mkdir(dir string, dirs dirSet) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		dirs[filepath.Dir(dir)] = struct{}{}
		return nil
	case errors.Is(err, fs.ErrExist):
		if fi, serr := os.Stat(dir); serr == nil && !fi.IsDir() {
			return fmt.Errorf("%w: %s is not a directory", ErrPath, dir)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist) && dir != s.published:
		if err := s.mkdir(filepath.Dir(dir), dirs); err != nil {
			return err
		}
		return s.mkdir(dir, dirs)
	}
	return err
}

// Release removes the parts of items that were published and recorded.
func (s *Store) Release(items []*Item) error {
	var errs []error
	for _, it := range items {
		if it.Part == "" || it.Err != nil {
			continue
		}
		if err := os.Remove(it.Part); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// partAge is how long an abandoned .part is kept for a transfer to continue.
const partAge = 14 * 24 * time.Hour

// SweepParts removes temporary links of interrupted commits, and parts that
// nobody has continued for 14 days. It returns the paths of the parts with more
// than one link: a crash came between their publication and its record, so
// they are whole, and their bytes must not be written to. It must not run
// beside transfers.
func (s *Store) SweepParts(now time.Time) (whole []string, err error) {
	entries, err := os.ReadDir(s.PartsDir())
	if err != nil {
		return nil, fmt.Errorf("sweep parts: %w", err)
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || fi.IsDir() {
			continue
		}
		path := filepath.Join(s.PartsDir(), e.Name())
		switch {
		case isTemp(e.Name()), now.Sub(fi.ModTime()) > partAge:
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("sweep parts: %w", err)
			}
		case links(fi) > 1:
			whole = append(whole, path)
		}
	}
	return whole, nil
}
