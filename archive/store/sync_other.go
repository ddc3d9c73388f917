//go:build !linux

package store

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"distkeep/catalog/regular"
)

// A syncer cannot do anything here: only Linux has syncfs(2), so that every
// file and directory is synchronised by itself.
type syncer struct {
	whole bool
	dir   *os.File
}

func newSyncer(dir string) (syncer, error) {
	f, err := regular.OpenDir(dir)
	return syncer{dir: f}, err
}

func syncfs(*os.File) error { return errors.ErrUnsupported }

var damaged []error

// A mount is where files can be hard-linked to each other.
type mount struct{ dev uint64 }

// mountOf returns the mount that dir is on.
func mountOf(dir string) (mount, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return mount{}, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return mount{uint64(st.Dev)}, nil
}
