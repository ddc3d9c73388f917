package store

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// errKilled is what every operation fails with from the one on at which the process
// is taken to be killed.
var errKilled = errors.New("the process was killed")

// A faulty file system counts the operations on another one and notes those that
// succeed, in the form of storetest.CheckOrder. The one with the number at fails
// with err; if that is errKilled, so do all that follow.
type faulty struct {
	FS
	at  int
	err error

	mu     sync.Mutex
	n      int
	failed string // the operation that failed
	trace  strings.Builder
}

// around is for Open.
func (f *faulty) around(under FS) FS {
	f.FS = under
	return f
}

func (f *faulty) note(op string, paths ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trace.WriteString(strings.Join(append([]string{op}, paths...), "\t") + "\n")
}

// do does one operation, unless it is to fail.
func (f *faulty) do(act func() error, op string, paths ...string) error {
	f.mu.Lock()
	f.n++
	fails := f.n == f.at || f.err == errKilled && f.at > 0 && f.n > f.at
	if f.n == f.at {
		f.failed = op
	}
	f.mu.Unlock()
	if fails {
		return &fs.PathError{Op: op, Path: strings.Join(paths, " "), Err: f.err}
	}
	err := act()
	if err == nil {
		f.note(op, paths...)
	}
	return err
}

func (f *faulty) Link(src, dst string) error {
	return f.do(func() error { return f.FS.Link(src, dst) }, "link", src, dst)
}

func (f *faulty) Symlink(target, path string) error {
	return f.do(func() error { return f.FS.Symlink(target, path) }, "symlink", target, path)
}

func (f *faulty) Rename(src, dst string) error {
	return f.do(func() error { return f.FS.Rename(src, dst) }, "rename", src, dst)
}

func (f *faulty) Mkdir(dir string) error {
	return f.do(func() error { return f.FS.Mkdir(dir) }, "mkdir", dir)
}

func (f *faulty) Remove(path string) error {
	return f.do(func() error { return f.FS.Remove(path) }, "unlink", path)
}

func (f *faulty) Rmdir(dir string) error {
	return f.do(func() error { return f.FS.Rmdir(dir) }, "rmdir", dir)
}

func (f *faulty) Create(path string, perm fs.FileMode) (file *os.File, err error) {
	err = f.do(func() (err error) {
		file, err = f.FS.Create(path, perm)
		return err
	}, "write-part", path)
	return file, err
}

func (f *faulty) Sync(file *os.File) error {
	return f.do(func() error { return f.FS.Sync(file) }, "fsync", file.Name())
}

func (f *faulty) SyncDir(dir string) error {
	return f.do(func() error { return f.FS.SyncDir(dir) }, "fsync-dir", dir)
}

func (f *faulty) SyncAll(dir *os.File) error {
	return f.do(func() error {
		f.note("syncfs-begin")
		return f.FS.SyncAll(dir)
	}, "syncfs")
}
