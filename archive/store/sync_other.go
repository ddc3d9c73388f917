//go:build !linux

package store

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// A syncer cannot do anything here: only Linux has syncfs(2), so that every
// file and directory is synchronised by itself.
type syncer struct{ whole bool }

func newSyncer(string) (syncer, error) { return syncer{}, nil }
func (syncer) filesystem() error       { return nil }
func (syncer) close() error            { return nil }

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
