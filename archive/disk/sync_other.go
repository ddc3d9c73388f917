//go:build !linux

package disk

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"distkeep/catalog/regular"
)

// A Syncer cannot do anything here: only Linux has syncfs(2), so that every
// file and directory is synchronised by itself.
type Syncer struct {
	Whole bool
	Dir   *os.File
}

func NewSyncer(dir string) (Syncer, error) {
	f, err := regular.OpenDir(dir)
	return Syncer{Dir: f}, err
}

func syncfs(*os.File) error { return errors.ErrUnsupported }

var Damaged []error

// A Mount is where files can be hard-linked to each other.
type Mount struct{ dev uint64 }

// MountOf returns the mount that dir is on.
func MountOf(dir string) (Mount, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return Mount{}, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return Mount{uint64(st.Dev)}, nil
}
