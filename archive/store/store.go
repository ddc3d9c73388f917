// Package store keeps the files of an archive: it publishes verified content
// under every path of the layouts and below by_cipher, all hard links to one
// inode, moves what is deleted to recycle, and makes changes durable.
//
// It knows nothing of catalogs or of the ledger. The order in which its
// callers use it is the commit protocol of package archive.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// ErrFull means that the file system of the archive has too little room.
var ErrFull = errors.New("too little free space")

// A Store is the published tree and the directories beside it. Its methods may
// be called concurrently, except those that publish or remove files, which
// belong to one goroutine at a time.
type Store struct {
	published string
	state     string
	work      string    // parent of parts, recycle and quarantine: on the file system of published
	owners    [2]uint32 // whose files are ours, see Foreign
	layouts   layout.Conf
	disk      *disk
	fs        FS // disk, or what was put around it
	sync      syncer
	temps     atomic.Int64 // numbers temporary links

	unsettled bool   // something was linked and could not be made durable
	failed    bool   // syncAll has
	removed   dirSet // directories that SyncRemoved has to look after

	supplanting sync.Mutex // held while a path is given another inode

	mu       sync.Mutex
	spare    map[digest.Digest]string // paths of inodes to link to, of contents whose first cannot be linked
	replaced []string                 // see Replaced
}

// Open opens the store whose published half is the directory distfiles and
// whose other half is the directory state, creating both. When they are on two
// file systems, parts, recycle and quarantine are kept in the directory
// "<distfiles>.work" beside the published half, so that files can be linked
// into it; if that is on another file system as well, Open fails.
//
// around, if not nil, puts something around the file system through which the store
// makes all its changes.
func Open(distfiles, state string, layouts layout.Conf, around func(FS) FS) (*Store, error) {
	s := &Store{
		published: filepath.Clean(distfiles), state: filepath.Clean(state), layouts: layouts,
		removed: make(dirSet), spare: make(map[digest.Digest]string),
	}
	s.disk = newDisk(s.published, s.state, WorkDir(s.published))
	if s.fs = s.disk; around != nil {
		s.fs = around(s.disk)
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	return s, nil
}

func (s *Store) open() error {
	for _, d := range []string{s.published, s.state, s.ReportDir()} {
		if err := makeDirs(s.fs, d); err != nil {
			return err
		}
	}
	here, err := mountOf(s.published)
	if err != nil {
		return err
	}
	other, err := mountOf(s.state)
	if err != nil {
		return err
	}
	if s.work = s.state; other != here {
		s.work = WorkDir(s.published)
	}
	for _, d := range []string{s.PartsDir(), s.RecycleDir(), s.QuarantineDir()} {
		if err := makeDirs(s.fs, d); err != nil {
			return err
		}
		if other, err := mountOf(d); err != nil {
			return err
		} else if other != here {
			return fmt.Errorf("%s and %s are on different file systems, so that files cannot be hard-linked between them: make %s a directory below the mount point, not the mount point itself", d, s.published, s.published)
		}
	}
	if err := unix.Access(s.published, unix.W_OK); err != nil {
		return &fs.PathError{Op: "write", Path: s.published, Err: err}
	}
	if s.owners, err = s.ownersHere(); err != nil {
		return err
	}
	s.sync, err = newSyncer(s.published)
	s.sync.whole = s.sync.whole && s.fs.Whole()
	return err
}

// Close lets go of the store's resources. Nobody writes to parts any more. After
// a synchronisation of the file system has failed they are removed: nobody knows
// which of them it was about, and the next one would not fail for them again.
func (s *Store) Close() error {
	var errs []error
	if s.failed {
		entries, err := os.ReadDir(s.PartsDir())
		errs = append(errs, err)
		for _, e := range entries {
			errs = append(errs, s.remove(filepath.Join(s.PartsDir(), e.Name())))
		}
	}
	return errors.Join(append(errs, s.sync.dir.Close())...)
}

// syncAll makes everything durable that the file system has.
func (s *Store) syncAll() error {
	err := s.fs.SyncAll(s.sync.dir)
	s.failed = s.failed || err != nil
	return err
}

// Replace is regular.Replace, for what is written beside the distfiles.
func (s *Store) Replace(path, temp string, write func(w io.Writer) error) error {
	return s.fs.Replace(path, temp, write)
}

// Take removes the file rel of a directory that is not the store's, unless it is no
// longer the one that was there, as regular.Tree.Remove does.
func (s *Store) Take(tree regular.Tree, rel string, was regular.ID) error {
	return s.fs.Take(tree, rel, was)
}

// Settle makes durable whatever is in the store, by whomever it was put there.
func (s *Store) Settle() error {
	if s.sync.whole {
		return s.syncAll()
	}
	dirs := dirSet{filepath.Dir(s.published): {}, filepath.Dir(s.state): {}, s.state: {}, s.work: {}}
	here, err := mountOf(s.published)
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	for _, root := range []string{s.published, s.RecycleDir(), s.QuarantineDir()} {
		if err := addTree(dirs, root, here); err != nil {
			return fmt.Errorf("settle: %w", err)
		}
	}
	return s.syncDirs(dirs)
}

// addTree adds dir and all directories below it on its file system, those behind
// symbolic links, which an operator may have put there, included. What this
// process cannot read it has not written to.
func addTree(dirs dirSet, dir string, on mount) error {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil // a link to nowhere, or to itself
	}
	if _, ok := dirs[real]; ok {
		return nil
	}
	if at, err := mountOf(real); err != nil || at != on {
		return nil
	}
	if rel, err := filepath.Rel(real, dir); real != dir && err == nil && filepath.IsLocal(rel) {
		return nil // a link to a directory that it is in
	}
	entries, err := os.ReadDir(real)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	} else if err != nil {
		return err
	}
	dirs[real] = struct{}{}
	for _, e := range entries {
		if e.IsDir() || e.Type() == fs.ModeSymlink {
			if err := addTree(dirs, filepath.Join(real, e.Name()), on); err != nil {
				return err
			}
		}
	}
	return nil
}

// Unsettled reports whether something was linked that a failure has kept from
// being made durable.
func (s *Store) Unsettled() bool { return s.unsettled }

// settled notes how it went to make links durable.
func (s *Store) settled(err error) error {
	s.unsettled = s.unsettled || err != nil
	return err
}

// Published is the directory that is served.
func (s *Store) Published() string { return s.published }

// PartsDir holds the .part files of transfers.
func (s *Store) PartsDir() string { return filepath.Join(s.work, partsDir) }

// RecycleDir holds what was deleted.
func (s *Store) RecycleDir() string { return filepath.Join(s.work, recycleDir) }

// QuarantineDir holds wrong bytes for a person to look at.
func (s *Store) QuarantineDir() string { return filepath.Join(s.work, quarantineDir) }

// ReportDir holds what runs export for readers.
func (s *Store) ReportDir() string { return ReportDir(s.state) }

// LedgerDir holds the ledger.
func (s *Store) LedgerDir() string { return filepath.Join(s.state, ledgerDir) }

// Layouts are those that the store publishes by.
func (s *Store) Layouts() layout.Conf { return s.layouts }

// Path returns the absolute path of a path relative to the published tree.
func (s *Store) Path(rel string) string { return filepath.Join(s.published, rel) }

// RecyclePath returns the path of a content in recycle.
func (s *Store) RecyclePath(c *layout.Content) string {
	return filepath.Join(s.RecycleDir(), c.SHA256().Hex(), c.Name.Base())
}

// LedgerRoom is what must be free beside the ledger before it is written to, and
// before it is closed: badger may flush both memtables and compact on its account.
const LedgerRoom = 64 << 20

// ledgerFiles is how many files badger may make meanwhile, and those that lists
// beside it are written to before they are renamed.
const ledgerFiles = 32

// Room is Room of the package for the published half.
func (s *Store) Room(need, keep int64) error { return Room(s.published, need, keep) }

// Room returns an error that wraps ErrFull unless need bytes can be written to
// the file system of dir and keep bytes, and what the ledger needs, are still
// free afterwards.
func Room(dir string, need, keep int64) error {
	keep = max(keep, LedgerRoom)
	bytes, files, err := free(dir)
	switch {
	case err != nil:
		return &fs.PathError{Op: "statfs", Path: dir, Err: err}
	case bytes-need < keep:
		return fmt.Errorf("%s: %w: %d MiB free, %d MiB to write, %d MiB to be kept free (--min-free)",
			dir, ErrFull, bytes>>20, need>>20, keep>>20)
	}
	return enough(dir, files)
}

// StateRoom returns an error that wraps ErrFull unless need bytes can be written
// where the ledger is, and another one that is Broken when nothing can: a file
// system turns itself read-only when it meets an error, or is made so.
func (s *Store) StateRoom(need int64) error {
	if err := unix.Access(s.LedgerDir(), unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "write", Path: s.LedgerDir(), Err: err}
	}
	bytes, files, err := s.fs.Free(s.state)
	switch {
	case err != nil:
		return &fs.PathError{Op: "statfs", Path: s.state, Err: err}
	case bytes < need:
		return fmt.Errorf("%s: %w: %d MiB free, the ledger needs %d MiB", s.state, ErrFull, bytes>>20, need>>20)
	}
	return enough(s.state, files)
}

func enough(dir string, files int64) error {
	if files < ledgerFiles {
		return fmt.Errorf("%s: %w: there are inodes for %d more files, %d are needed", dir, ErrFull, files, ledgerFiles)
	}
	return nil
}

// Broken reports whether err says that the file system itself fails: it is
// full, read-only or damaged. Going on with other files is then of no use.
func Broken(err error) bool {
	is := func(e error) bool { return errors.Is(err, e) }
	return is(ErrFull) || is(syscall.ENOSPC) || is(syscall.EDQUOT) || is(syscall.EROFS) ||
		is(syscall.EIO) || is(syscall.ESTALE) || slices.ContainsFunc(damaged, is)
}
