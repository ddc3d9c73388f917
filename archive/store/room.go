package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/archive/disk"
)

// errFull means that the file system of the archive has too little room.
var errFull = errors.New("too little free space")

// LedgerRoom is what must be free beside the ledger before it is written to, and
// before it is closed: badger may flush both memtables and compact on its account.
const LedgerRoom = 64 << 20

// ledgerFiles is how many files badger may make meanwhile, and those that lists
// beside it are written to before they are renamed.
const ledgerFiles = 32

// Room is Room of the package for the published half.
func (s *Store) Room(need, keep int64) error { return Room(s.published, need, keep) }

// Room returns an error that is Broken unless need bytes can be written to the file
// system of dir and keep bytes, and what the ledger needs, are still free afterwards.
func Room(dir string, need, keep int64) error {
	keep = max(keep, LedgerRoom)
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

// StateRoom returns an error that is Broken unless need bytes can be written where
// the ledger is. Nothing can when a file system has turned itself read-only because
// it met an error, or was made so.
func (s *Store) StateRoom(need int64) error {
	if err := unix.Access(s.LedgerDir(), unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "write", Path: s.LedgerDir(), Err: err}
	}
	bytes, files, err := s.shared.fs.Free(s.state)
	switch {
	case err != nil:
		return &fs.PathError{Op: "statfs", Path: s.state, Err: err}
	case bytes < need:
		return fmt.Errorf("%s: %w: %d MiB free, the ledger needs %d MiB", s.state, errFull, bytes>>20, need>>20)
	}
	return enough(s.state, files)
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
