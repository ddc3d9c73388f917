package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/catalog/regular"
)

// Everything that changes the file system or makes a change durable goes
// through the functions of this file and syncer, so that a build for crash
// tests can record the order in which it happens.

func linkFile(src, dst string) error {
	err := os.Link(src, dst)
	switch {
	case err == nil:
		Trace("link", src, dst)
		return nil
	case errors.Is(err, syscall.EXDEV):
		return fmt.Errorf("%w: hard links cannot leave a file system; nothing may be mounted inside the archive", err)
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: %s belongs to somebody else (fs.protected_hardlinks), or the file system has no hard links", err, src)
	}
	return err
}

func renameFile(src, dst string) error {
	if err := os.Rename(src, dst); err != nil {
		return err
	}
	Trace("rename", src, dst)
	return nil
}

func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	Trace("mkdir", dir)
	return nil
}

// removeFile removes a file that may be gone already.
func removeFile(path string) error {
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	Trace("unlink", path)
	return nil
}

// removeDir removes an empty directory. Unlike os.Remove it leaves a symbolic
// link to a directory, which an operator may have put there, alone.
func removeDir(dir string) error {
	if err := unix.Rmdir(dir); err != nil {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	Trace("rmdir", dir)
	return nil
}

func syncFile(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	Trace("fsync", f.Name())
	return nil
}

func syncDir(dir string) error {
	if err := regular.SyncDir(dir); err != nil {
		return err
	}
	Trace("fsync-dir", dir)
	return nil
}

// makeDirs makes dir and its missing parents, durably.
func makeDirs(dir string) error {
	err := makeDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeDirs(filepath.Dir(dir)); err != nil {
			return err
		}
		err = makeDir(dir)
	}
	switch {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	fi, err := os.Stat(dir)
	if err == nil && !fi.IsDir() {
		err = &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	return err
}

// dirSet collects directories whose entries have changed.
type dirSet map[string]struct{}

// add notes that the entry path has changed. The parents up to root are noted
// as well: whoever made them may have been killed before they were durable.
func (s dirSet) add(path, root string) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, ok := s[dir]; ok {
			return
		}
		s[dir] = struct{}{}
		if dir == root || dir == filepath.Dir(dir) {
			return
		}
	}
}

func (s *Store) syncDirs(dirs dirSet) error {
	if len(dirs) > syncEachDir && s.sync.whole {
		return s.syncAll()
	}
	for d := range dirs {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}
