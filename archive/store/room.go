package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"distkeep/archive/disk"
)

// errFull means that the file system of the archive has too little room.
var errFull = errors.New("too little free space")

// leastFree is what transfers leave free in any case: the ledger has to record what
// has come.
const leastFree = 64 << 20

// ledgerFiles is how many files badger may make meanwhile, and those that lists
// beside it are written to before they are renamed.
const ledgerFiles = 32

// Room is Room of the package for the published half.
func (s *Store) Room(need, keep int64) error { return Room(s.published, need, keep) }

// Room returns an error that is Broken unless need bytes can be written to the file
// system of dir and keep bytes, and what the ledger needs, are still free afterwards.
func Room(dir string, need, keep int64) error {
	keep = max(keep, leastFree)
	bytes, files, err := disk.Free(dir)
	switch {
	case err != nil:
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	case bytes-need < keep:
		return fmt.Errorf("%s: %w: %d MiB free, %d MiB to write, %d MiB to be kept free (--min-free)",
			dir, errFull, bytes>>20, need>>20, keep>>20)
	}
	return enough(dir, files)
}

func enough(dir string, files int64) error {
	if files < ledgerFiles {
		return fmt.Errorf("%s: %w: there are inodes for %d more files, %d are needed", dir, errFull, files, ledgerFiles)
	}
	return nil
}

// Broken reports whether err says that the file system itself fails: it is
// full, read-only or damaged. Going on with other files is then of no use.
func Broken(err error) bool {
	is := func(e error) bool { return errors.Is(err, e) }
	return is(errFull) || is(syscall.ENOSPC) || is(syscall.EDQUOT) || is(syscall.EROFS) ||
		is(syscall.EIO) || is(syscall.ESTALE) || slices.ContainsFunc(disk.Damaged, is)
}
