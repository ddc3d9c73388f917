package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/archive/disk"
)

// LeastReserve is the least size of the reserve, a file that holds room for a full
// disk. Deleting, linking and repairing free room in the end, but need some at first:
// for the ledger, for directories and for the lists of the run.
const LeastReserve = 32 << 20

func (p *Places) reserve() string { return filepath.Join(p.state, reserveFile) }

// KeepReserve makes the reserve of at least so many bytes where there is none, unless
// that takes most of what is free.
func (s *Store) KeepReserve(size int64) error {
	size = max(size, LeastReserve)
	fi, err := os.Lstat(s.reserve())
	if err == nil && fi.Size() >= size {
		return nil
	}
	bytes, files, err := disk.Free(s.state)
	if err != nil || bytes < 3*size || files < 2*ledgerFiles {
		return nil
	}
	err = s.fs.Reserve(s.reserve(), size)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return nil // somebody else was faster
	}
	return err
}

// GivenUp reports whether the reserve was given up, for want of room.
func (s *Store) GivenUp() bool { return s.givenUp }

// StateRoom returns an error that is Broken unless need bytes can be written where
// the ledger is. Nothing can when a file system has turned itself read-only because
// it met an error, or was made so. When there is too little room, the reserve is
// given up.
func (s *Store) StateRoom(need int64) error {
	if err := unix.Access(s.LedgerDir(), unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "write", Path: s.LedgerDir(), Err: err}
	}
	for {
		err := s.SpareRoom(need)
		if !errors.Is(err, errFull) || s.remove(s.reserve()) != nil || s.givenUp {
			return err
		}
		s.givenUp = true // and there may be room now
	}
}

// SpareRoom is StateRoom for what can be done without: it gives up nothing.
func (s *Store) SpareRoom(need int64) error {
	bytes, files, err := s.shared.fs.Free(s.state)
	switch {
	case err != nil:
		return &fs.PathError{Op: "statfs", Path: s.state, Err: err}
	case bytes < need:
		return fmt.Errorf("%s: %w: %d MiB free, the ledger needs %d MiB: "+
			"remove snapshots, what is in %s, or other files of this disk; once the ledger can be opened, distkeep mirror --delete frees more",
			s.state, errFull, bytes>>20, (need+1<<20-1)>>20, s.QuarantineDir())
	}
	return enough(s.state, files)
}
