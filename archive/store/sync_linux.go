package store

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// A syncer makes the whole file system of the published tree durable.
type syncer struct{ dir *os.File }

func newSyncer(dir string) (syncer, error) {
	f, err := os.Open(dir)
	return syncer{f}, err
}

// all reports whether filesystem works on this system.
func (syncer) all() bool { return true }

// filesystem returns when everything written to the file system before the
// call is durable. Since Linux 5.8 it reports write errors as fsync does.
func (s syncer) filesystem() error {
	if err := unix.Syncfs(int(s.dir.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: s.dir.Name(), Err: err}
	}
	return nil
}

func (s syncer) close() error { return s.dir.Close() }
