package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog/regular"
)

// A Link is a path of the published tree, relative to it, that is to hold the
// inode of Have, a file of the archive.
type Link struct {
	Rel  string
	Have Source
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
	Failpoint("expose.copied")
	defer func() { s.settled(err) }()
	dirs := make(dirSet)
	for _, l := range links {
		if err := s.expose(l, dirs); err != nil {
			return fmt.Errorf("publish %s: %w", l.Rel, err)
		}
		Failpoint("expose.linked")
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
		Failpoint("expose.renamed")
	}
	if err := s.syncDirs(dirs); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	Failpoint("expose.synced")
	return nil
}

func (s *Store) expose(l Link, dirs dirSet) error {
	fi, err := s.lstat(l.Have.Path)
	if err != nil {
		return err
	}
	if err := l.Have.check(fi); err != nil {
		return err
	}
	return s.link(l.Have.Path, fi, l.Rel, "", false, dirs)
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
		Failpoint("withdraw.removed")
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
