// Package disk is the file system as a store uses it. FS is the only door through
// which an archive is changed and made durable, so that tests can count, fail and
// end what goes through it; Disk is what is behind that door. What differs between
// systems is here as well: what one synchronisation makes durable, where hard links
// end, and how much room there is.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/catalog/regular"
)

// An FS is how a store changes its file system and makes changes durable: no
// change is made in any other way. Paths are absolute, or relative to the working
// directory.
type FS interface {
	// Link, Rename, Mkdir and Rmdir do what the system calls of that name do.
	// Remove removes a file.
	Link(src, dst string) error
	Symlink(target, path string) error
	Rename(src, dst string) error
	// Move is Rename, but replaces nothing: its error wraps fs.ErrExist where
	// something is at dst.
	Move(src, dst string) error
	Mkdir(dir string) error
	Remove(path string) error
	Rmdir(dir string) error
	// ReadAt reads bytes of a file, of the archive or to be taken into it.
	ReadAt(f *os.File, p []byte, off int64) (n int, err error)
	// Chmod changes the mode of a file or directory that is no symbolic link.
	Chmod(path string, mode fs.FileMode) error
	// Create makes a file that is not there yet, for writing.
	Create(path string, perm fs.FileMode) (*os.File, error)
	// Sync makes the bytes of a file durable, SyncDir the entries of a
	// directory, SyncAll all that there is on the file system of dir.
	Sync(f *os.File) error
	SyncDir(dir string) error
	SyncAll(dir *os.File) error
	// Whole says that SyncAll may be used where the file system allows it.
	Whole() bool
	// Free returns how many bytes and files may still be written in dir. It is
	// asked before each change of the ledger, which is no file to a store.
	Free(dir string) (bytes, files int64, err error)
	// Reserve makes a file that takes size bytes of the disk.
	Reserve(path string, size int64) error
	// Replace and Take do what regular.Replace and regular.Tree.Remove do.
	Replace(path, temp string, write func(w io.Writer) error) error
	Take(tree regular.Tree, rel string, was regular.ID) error
}

// A Disk changes the file system itself. What it changes is below the directories
// of the store, and no symbolic link of somebody else leads it out of them (see
// regular.Tree).
type Disk struct {
	trees []regular.Tree
	held  atomic.Pointer[regular.Held] // see Hold
}

var _ FS = (*Disk)(nil)

// New returns the disk of a store with the directories dirs, one of which may be
// inside another.
func New(dirs ...string) *Disk {
	slices.SortFunc(dirs, func(a, b string) int { return len(b) - len(a) }) // the inner one first
	d := new(Disk)
	for _, dir := range dirs {
		d.trees = append(d.trees, regular.NewTree(dir))
	}
	return d
}

// at calls f with a descriptor of the directory that path is in and the last
// component of path.
func (d *Disk) at(path string, f func(dir int, base string) error) error {
	tree, rel := d.Tree(path)
	if held := d.held.Load(); held != nil {
		return held.Within(tree, rel, f)
	}
	return tree.Within(rel, f)
}

// Hold keeps the directories open in which something is done, for many changes in a
// row, until release is called. Only one goroutine at a time may hold them.
func (d *Disk) Hold() (release func()) {
	held := new(regular.Held)
	d.held.Store(held)
	return func() {
		d.held.Store(nil)
		held.Close()
	}
}

// Lstat is os.Lstat for a path that no symbolic link of somebody else is on.
func (d *Disk) Lstat(path string) (fs.FileInfo, error) {
	if err := d.at(path, func(int, string) error { return nil }); err != nil {
		return nil, err
	}
	return os.Lstat(path)
}

// Missing reports whether there is nothing at path, in a directory that is there.
func (d *Disk) Missing(path string) bool {
	err := d.at(path, func(dir int, base string) error {
		var st unix.Stat_t
		return unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	return err == unix.ENOENT
}

// Tree returns the tree that path is in and its path there. What is in none, as the
// directories of the store themselves, is in that of its directory.
func (d *Disk) Tree(path string) (regular.Tree, string) {
	for _, t := range d.trees {
		if rel, ok := strings.CutPrefix(path, t.Root()); ok && strings.HasPrefix(rel, string(filepath.Separator)) {
			return t, rel[1:]
		}
	}
	return regular.NewTree(filepath.Dir(path)), filepath.Base(path)
}

func (d *Disk) Link(src, dst string) error {
	err := d.both(src, dst, func(from int, old string, to int, name string) error {
		return unix.Linkat(from, old, to, name, 0)
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EXDEV):
		return mounted(dst, err)
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: %s belongs to somebody else (fs.protected_hardlinks), or the file system has no hard links", err, src)
	}
	return &os.LinkError{Op: "link", Old: src, New: dst, Err: err}
}

func (d *Disk) Symlink(target, path string) error {
	return d.one("symlink", path, func(dir int, base string) error { return unix.Symlinkat(target, dir, base) })
}

func (d *Disk) Rename(src, dst string) error { return d.rename(src, dst, unix.Renameat) }

func (d *Disk) Move(src, dst string) error { return d.rename(src, dst, move) }

func (d *Disk) rename(src, dst string, how func(from int, old string, to int, name string) error) error {
	err := d.both(src, dst, how)
	if errors.Is(err, syscall.EXDEV) {
		return mounted(dst, err)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: src, New: dst, Err: err}
	}
	return nil
}

// mounted is the error that a file cannot come to dst.
func mounted(dst string, err error) error {
	return fmt.Errorf("%s: %w: hard links cannot leave a file system; nothing may be mounted inside the archive", dst, err)
}

// both calls f with the directories and the last components of two paths.
func (d *Disk) both(src, dst string, f func(from int, old string, to int, name string) error) error {
	return d.at(src, func(from int, old string) error {
		return d.at(dst, func(to int, name string) error { return f(from, old, to, name) })
	})
}

func (d *Disk) Mkdir(dir string) error {
	return d.one("mkdir", dir, func(parent int, base string) error { return unix.Mkdirat(parent, base, 0o755) })
}

func (d *Disk) Remove(path string) error {
	return d.one("remove", path, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
}

// Rmdir leaves a symbolic link to a directory, which an operator may have put
// there, alone.
func (d *Disk) Rmdir(dir string) error {
	return d.one("rmdir", dir, func(parent int, base string) error { return unix.Unlinkat(parent, base, unix.AT_REMOVEDIR) })
}

func (d *Disk) one(op, path string, f func(dir int, base string) error) error {
	if err := d.at(path, f); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

func (d *Disk) Create(path string, perm fs.FileMode) (f *os.File, err error) {
	err = d.one("create", path, func(dir int, base string) error {
		fd, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm))
		if err == nil {
			f = os.NewFile(uintptr(fd), path)
		}
		return err
	})
	return f, err
}

func (d *Disk) ReadAt(f *os.File, p []byte, off int64) (int, error) { return f.ReadAt(p, off) }

func (d *Disk) Chmod(path string, mode fs.FileMode) error {
	return d.one("chmod", path, func(dir int, base string) error {
		return unix.Fchmodat(dir, base, uint32(mode.Perm()), 0)
	})
}

func (d *Disk) Sync(f *os.File) error      { return f.Sync() }
func (d *Disk) SyncDir(dir string) error   { return regular.SyncDir(dir) }
func (d *Disk) SyncAll(dir *os.File) error { return syncfs(dir) }
func (d *Disk) Whole() bool                { return true }

func (d *Disk) Free(dir string) (bytes, files int64, err error) { return Free(dir) }

func (d *Disk) Replace(path, temp string, write func(w io.Writer) error) error {
	return regular.Replace(path, temp, write)
}

func (d *Disk) Take(tree regular.Tree, rel string, was regular.ID) error {
	return tree.Remove(rel, was)
}

// linkAndRemove is a move where the system has none that replaces nothing.
func linkAndRemove(from int, old string, to int, name string) error {
	if err := unix.Linkat(from, old, to, name, 0); err != nil {
		return err
	}
	return unix.Unlinkat(from, old, 0)
}

// MakeDirs makes dir and its missing parents, durably.
func MakeDirs(d FS, dir string) error {
	err := d.Mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := MakeDirs(d, filepath.Dir(dir)); err != nil {
			return err
		}
		err = d.Mkdir(dir)
	}
	switch {
	case err == nil:
		return d.SyncDir(filepath.Dir(dir))
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	fi, err := os.Stat(dir)
	if err == nil && !fi.IsDir() {
		err = &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	return err
}
