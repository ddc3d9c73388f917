package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog/regular"
)

// A Link is a path of the published tree, relative to it, that is to hold the
// inode of Have, a file of the archive, or a copy if that has as many links as the
// file system allows. If To is not empty, it is to be a relative symbolic link to
// To instead, another path of the published tree that is there.
type Link struct {
	Rel  string
	Have Source
	To   string
}

// A Copy is a path of the published tree, relative to it, that is to hold a
// file of its own with the content Data or, if that is nil, of the file From.
type Copy struct {
	Rel  string
	Data []byte
	From string
	// ModTime is set when it is not zero.
	ModTime time.Time
	// Foreign says that what may be there already is not known to be the
	// archive's: if it has other bytes, it goes to quarantine.
	Foreign bool
}

// Expose publishes links and then copies, in their order, and makes all
// durable. Nothing half-written is ever seen: the bytes of the copies are
// durable before the first path changes, and what is there already is replaced
// by rename. When Expose fails, some of the paths may have changed.
func (s *Store) Expose(links []Link, copies []Copy) (err error) {
	temps := make([]string, 0, len(copies))
	defer func() {
		for _, t := range temps {
			err = errors.Join(err, s.remove(t))
		}
	}()
	each := len(copies) <= syncEach || !s.sync.whole
	for i := range copies {
		temp := s.temp()
		temps = append(temps, temp)
		if err := s.writeCopy(temp, &copies[i], each); err != nil {
			return fmt.Errorf("publish %s: %w", copies[i].Rel, err)
		}
	}
	if !each {
		if err := s.syncAll(); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	defer func() { s.settled(err) }()
	dirs := make(dirSet)
	for _, l := range links {
		if err := s.expose(l, dirs); err != nil {
			return fmt.Errorf("publish %s: %w", l.Rel, err)
		}
	}
	for i := range copies {
		dst := s.Path(copies[i].Rel)
		if copies[i].Foreign {
			if _, err := s.rescue(temps[i], dst, ""); err != nil {
				return fmt.Errorf("publish %s: %w", copies[i].Rel, err)
			}
		}
		err := s.fs.Rename(temps[i], dst)
		if errors.Is(err, fs.ErrNotExist) {
			if err = s.mkdir(filepath.Dir(dst)); err == nil {
				err = s.fs.Rename(temps[i], dst)
			}
		}
		if err != nil {
			return fmt.Errorf("publish %s: %w", copies[i].Rel, err)
		}
		dirs.add(dst, s.published)
	}
	if err := s.syncDirs(dirs); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

func (s *Store) expose(l Link, dirs dirSet) error {
	if l.To != "" {
		return s.symlink(l, dirs)
	}
	fi, err := s.lstat(l.Have.Path)
	if err != nil {
		return err
	}
	if err := l.Have.check(fi); err != nil {
		return err
	}
	err = s.link(l.Have.Path, fi, l.Rel, "", false, dirs)
	if !errors.Is(err, syscall.EMLINK) {
		return err
	}
	temp := s.temp()
	if err := s.remove(temp); err != nil {
		return err
	}
	err = s.writeCopy(temp, &Copy{From: l.Have.Path, ModTime: fi.ModTime()}, true)
	if err == nil {
		err = s.link(temp, fi, l.Rel, "", false, dirs)
	}
	return errors.Join(err, s.remove(temp))
}

// symlink makes a symbolic link, in one step where something is already.
func (s *Store) symlink(l Link, dirs dirSet) error {
	dst := s.Path(l.Rel)
	dir := filepath.Dir(dst)
	target, err := filepath.Rel(dir, s.Path(l.To))
	if err != nil {
		return err
	}
	if err := s.mkdir(dir); err != nil {
		return err
	}
	to, err := s.lstat(s.Path(l.To))
	if err != nil {
		return err
	}
	// Not filepath.Join: where the operator has made dir a symbolic link, ".." is
	// not what was before it.
	if fi, err := os.Lstat(dir + string(filepath.Separator) + target); err != nil || !os.SameFile(fi, to) {
		return fmt.Errorf("%w: a symbolic link on the way to %s makes %s lead elsewhere", layout.ErrPath, dir, target)
	}
	temp := s.temp()
	if err := s.remove(temp); err != nil {
		return err
	}
	if err := s.fs.Symlink(target, temp); err != nil {
		return err
	}
	if _, err = s.rescue(s.Path(l.To), dst, ""); err == nil {
		err = s.fs.Rename(temp, dst)
	}
	if err != nil {
		return errors.Join(err, s.remove(temp))
	}
	dirs.add(dst, s.published)
	return nil
}

// Resolve returns the published path that a symbolic link at rel leads to: rel
// itself if there is none, and "" if it leads out of the published tree or is
// somebody else's.
func (s *Store) Resolve(rel string) (string, error) {
	fi, err := s.lstat(s.Path(rel))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return rel, nil
	case err != nil:
		return "", err
	case fi.Mode().Type() != fs.ModeSymlink:
		return rel, nil
	}
	target, err := os.Readlink(s.Path(rel))
	if err != nil {
		return "", err
	}
	to := path.Join(path.Dir(rel), filepath.ToSlash(target))
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || !regular.Trusted(st.Uid) || filepath.IsAbs(target) || !fs.ValidPath(to) {
		return "", nil
	}
	return to, nil
}

// writeCopy writes the file temp.
func (s *Store) writeCopy(temp string, c *Copy, sync bool) (err error) {
	if err := s.remove(temp); err != nil {
		return err
	}
	f, err := s.fs.Create(temp, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if c.Data != nil {
		_, err = f.Write(c.Data)
	} else {
		err = copyFrom(f, c.From)
	}
	if err != nil {
		return err
	}
	if !c.ModTime.IsZero() {
		if err := os.Chtimes(temp, c.ModTime, c.ModTime); err != nil {
			return err
		}
	}
	if sync {
		return s.fs.Sync(f)
	}
	return nil
}

func copyFrom(w io.Writer, path string) error {
	f, err := regular.OpenItself(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Withdraw removes published paths that Expose has made and lets go of
// directories that become empty. SyncRemoved makes it durable.
func (s *Store) Withdraw(rels ...string) error {
	for _, rel := range rels {
		path := s.Path(rel)
		if err := s.remove(path); err != nil {
			return fmt.Errorf("withdraw %s: %w", rel, err)
		}
		s.prune(filepath.Dir(path))
	}
	return nil
}

// Stat looks at a published path. ok is false when there is no regular file.
func (s *Store) Stat(rel string) (f layout.File, ok bool, err error) {
	fi, err := s.lstat(s.Path(rel))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return layout.File{}, false, nil
	case err != nil:
		return layout.File{}, false, err
	}
	return fileOf(fi), fi.Mode().IsRegular(), nil
}
