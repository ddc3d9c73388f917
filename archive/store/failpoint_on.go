//go:build failpoint

package store

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// failpoint is where the process is to be killed.
var failpoint = sync.OnceValue(func() (p struct {
	name string
	left *atomic.Int64
}) {
	name, count, _ := strings.Cut(os.Getenv("DISTKEEP_FAILPOINT"), ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		n = 1
	}
	p.name, p.left = name, new(atomic.Int64)
	p.left.Store(n)
	return p
})

// Failpoint kills the process with SIGKILL when the environment variable
// DISTKEEP_FAILPOINT is "name" or "name:n" and it is called the n-th time with
// that name. Without the build tag failpoint it does nothing.
func Failpoint(name string) {
	if p := failpoint(); p.name != name || p.left.Add(-1) != 0 {
		return
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing may happen between the signal and its delivery
}

// trace is the file that DISTKEEP_TRACE names, or nil. A single write to a file
// opened for appending is one piece: no lock is needed.
var trace = sync.OnceValue(func() *os.File {
	path := os.Getenv("DISTKEEP_TRACE")
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err) // a crash test without its trace would prove nothing
	}
	return f
})

// Trace appends a line "OP", or "OP<TAB>PATH" with further paths, to the file
// that the environment variable DISTKEEP_TRACE names. An operation is traced
// when it has succeeded; "syncfs" also has a line "syncfs-begin", because what
// other goroutines do meanwhile is not covered by it. Without the build tag
// failpoint it does nothing.
//
// Package store traces write-part, fsync, syncfs, link, rename, mkdir,
// fsync-dir, unlink and rmdir.
func Trace(op string, paths ...string) {
	f := trace()
	if f == nil {
		return
	}
	if _, err := f.WriteString(strings.Join(append([]string{op}, paths...), "\t") + "\n"); err != nil {
		panic(err)
	}
}

// syncEachFile reports whether the environment variable DISTKEEP_SYNC_EACH is
// set: then syncfs is not used, as on file systems where it is not known to
// work. Without the build tag failpoint it is false.
func syncEachFile() bool { return os.Getenv("DISTKEEP_SYNC_EACH") != "" }

// traced returns f, the operations of which it traces when they have succeeded.
func traced(f FS) FS { return tracedFS{f} }

type tracedFS struct{ FS }

func trace1(err error, op string, paths ...string) error {
	if err == nil {
		Trace(op, paths...)
	}
	return err
}

func (t tracedFS) Link(src, dst string) error { return trace1(t.FS.Link(src, dst), "link", src, dst) }
func (t tracedFS) Rename(src, dst string) error {
	return trace1(t.FS.Rename(src, dst), "rename", src, dst)
}
func (t tracedFS) Mkdir(dir string) error   { return trace1(t.FS.Mkdir(dir), "mkdir", dir) }
func (t tracedFS) Remove(path string) error { return trace1(t.FS.Remove(path), "unlink", path) }
func (t tracedFS) Rmdir(dir string) error   { return trace1(t.FS.Rmdir(dir), "rmdir", dir) }
func (t tracedFS) Sync(f *os.File) error    { return trace1(t.FS.Sync(f), "fsync", f.Name()) }
func (t tracedFS) SyncDir(dir string) error { return trace1(t.FS.SyncDir(dir), "fsync-dir", dir) }

func (t tracedFS) Create(path string, perm fs.FileMode) (*os.File, error) {
	f, err := t.FS.Create(path, perm)
	return f, trace1(err, "write-part", path)
}

func (t tracedFS) SyncAll(dir *os.File) error {
	Trace("syncfs-begin")
	return trace1(t.FS.SyncAll(dir), "syncfs")
}
