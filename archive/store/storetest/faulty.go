package storetest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"distkeep/archive/disk"
	"distkeep/catalog/regular"
)

// ErrKilled is what every operation fails with from the one on at which a process
// is taken to be killed.
var ErrKilled = errors.New("the process was killed")

// A Faulty counts the operations on a file system and traces those that succeed,
// as CheckOrder wants them.
type Faulty struct {
	disk.FS           // what does the operations
	Trace   io.Writer // gets a line in one piece
	// At is the number of the operation that fails with Err; if that is ErrKilled,
	// so do all that follow. Kill, if it is set, is called instead, and does not
	// return.
	At   int
	Err  error
	Kill func()
	// Each says that everything has to be synchronised by itself.
	Each bool

	mu     sync.Mutex
	n      int
	failed string
	parts  string                // the directory of parts
	seen   map[string]regular.ID // parts, as they were last looked at
}

// N is the number of operations so far.
func (f *Faulty) N() int { return f.n }

// Failed is the operation that failed, or "".
func (f *Faulty) Failed() string { return f.failed }

// note traces an operation. f.mu is held.
func (f *Faulty) note(op string, paths ...string) {
	if _, err := io.WriteString(f.Trace, strings.Join(append([]string{op}, paths...), "\t")+"\n"); err != nil {
		panic(err) // a test without its trace would prove nothing
	}
}

// look notes that a part has got bytes since it was last looked at: transfers write
// to parts by themselves. What has a second link was looked at when it got that.
func (f *Faulty) look(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if filepath.Dir(path) != f.parts {
		return
	}
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() || fi.Sys().(*syscall.Stat_t).Nlink > 1 {
		return
	}
	id := regular.IDOf(fi)
	if f.seen[path] != id {
		f.note("write-part", path)
	}
	if f.seen == nil {
		f.seen = make(map[string]regular.ID)
	}
	f.seen[path] = id
}

func (f *Faulty) lookAll() {
	names, _ := filepath.Glob(filepath.Join(f.parts, "*"))
	for _, path := range names {
		f.look(path)
	}
}

// do does one operation, unless it is to fail.
func (f *Faulty) do(act func() error, op string, paths ...string) error {
	f.mu.Lock()
	f.n++
	fails := f.n == f.At || f.Err == ErrKilled && f.At > 0 && f.n > f.At
	if f.n == f.At {
		f.failed = op
		if f.Kill != nil {
			f.Kill()
		}
	}
	f.mu.Unlock()
	if fails {
		return &fs.PathError{Op: op, Path: strings.Join(paths, " "), Err: f.Err}
	}
	err := act()
	if err == nil {
		f.mu.Lock()
		f.note(op, paths...)
		f.mu.Unlock()
	}
	return err
}

func (f *Faulty) Link(src, dst string) error {
	f.look(src)
	return f.do(func() error { return f.FS.Link(src, dst) }, "link", src, dst)
}

func (f *Faulty) Symlink(target, path string) error {
	return f.do(func() error { return f.FS.Symlink(target, path) }, "symlink", target, path)
}

func (f *Faulty) Rename(src, dst string) error {
	f.look(src)
	return f.do(func() error { return f.FS.Rename(src, dst) }, "rename", src, dst)
}

func (f *Faulty) Move(src, dst string) error {
	f.look(src)
	return f.do(func() error { return f.FS.Move(src, dst) }, "rename", src, dst)
}

func (f *Faulty) Mkdir(dir string) error {
	if filepath.Base(dir) == "parts" {
		f.parts = dir // no other directory of an archive has that name
	}
	return f.do(func() error { return f.FS.Mkdir(dir) }, "mkdir", dir)
}

func (f *Faulty) Remove(path string) error {
	return f.do(func() error { return f.FS.Remove(path) }, "unlink", path)
}

func (f *Faulty) Rmdir(dir string) error {
	return f.do(func() error { return f.FS.Rmdir(dir) }, "rmdir", dir)
}

func (f *Faulty) Create(path string, perm fs.FileMode) (file *os.File, err error) {
	err = f.do(func() (err error) {
		file, err = f.FS.Create(path, perm)
		return err
	}, "write-part", path)
	return file, err
}

func (f *Faulty) Sync(file *os.File) error {
	f.look(file.Name())
	return f.do(func() error { return f.FS.Sync(file) }, "fsync", file.Name())
}

func (f *Faulty) SyncDir(dir string) error {
	return f.do(func() error { return f.FS.SyncDir(dir) }, "fsync-dir", dir)
}

func (f *Faulty) SyncAll(dir *os.File) error {
	return f.do(func() error {
		f.lookAll()
		f.mu.Lock()
		f.note("syncfs-begin")
		f.mu.Unlock()
		return f.FS.SyncAll(dir)
	}, "syncfs")
}

func (f *Faulty) Whole() bool { return !f.Each && f.FS.Whole() }

// Free stands for the change of the ledger that follows.
func (f *Faulty) Free(dir string) (bytes, files int64, err error) {
	err = f.do(func() (err error) {
		bytes, files, err = f.FS.Free(dir)
		return err
	}, "ledger-commit")
	return bytes, files, err
}

func (f *Faulty) Reserve(path string, size int64) error {
	return f.do(func() error { return f.FS.Reserve(path, size) }, "replace", path)
}

func (f *Faulty) Replace(path, temp string, write func(w io.Writer) error) error {
	return f.do(func() error { return f.FS.Replace(path, temp, write) }, "replace", path)
}

func (f *Faulty) Take(tree regular.Tree, rel string, was regular.ID) error {
	return f.do(func() error { return f.FS.Take(tree, rel, was) }, "unlink", filepath.Join(tree.Root(), rel))
}
