// Package store keeps the files of an archive: it publishes verified content
// under every path of the layouts and below by_cipher, all hard links to one
// inode, moves what is deleted to recycle, and makes changes durable.
//
// A Store has a part for each of these: begin reading at Tree.Commit, the way in,
// and Recycle, the way out. It knows nothing of catalogs or of the ledger: package
// vault calls it in the order that keeps all three true.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// A Store has the files of an archive, in parts by what is done with them. Methods
// may be called concurrently, except those that publish or remove files, which
// belong to one goroutine at a time.
type Store struct {
	*Places
	Tree       *Tree       // what is published by the layouts and below by_cipher
	Views      *Views      // what else is published: the directories of package managers
	Parts      *Parts      // what is on its way in
	Recycle    *Recycle    // what was deleted
	Quarantine *Quarantine // wrong bytes
	*shared

	device  uint64      // of the published tree: no hard link leads out of it
	readers fs.FileMode // the mode of the published tree
}

// Open opens the store whose published half is the directory distfiles and
// whose other half is the directory state, creating both. When they are on two
// file systems, parts, recycle and quarantine are kept in the directory
// "<distfiles>.work" beside the published half, so that files can be linked
// into it; if that is on another file system as well, Open fails.
//
// around, if not nil, puts something around the file system through which the store
// makes all its changes.
func Open(distfiles, state string, layouts layout.Conf, around func(disk.FS) disk.FS) (*Store, error) {
	sh := &shared{at: &Places{published: filepath.Clean(distfiles), state: filepath.Clean(state)}, removed: make(dirSet)}
	sh.disk = disk.New(sh.at.published, sh.at.state, WorkDir(sh.at.published))
	if sh.fs = sh.disk; around != nil {
		sh.fs = around(sh.disk)
	}
	q := &Quarantine{shared: sh}
	p := &placer{shared: sh, quarantine: q}
	tree := &Tree{placer: p, layouts: layouts, spare: make(map[digest.Digest]string)}
	s := &Store{
		Places: sh.at, shared: sh, Tree: tree, Recycle: &Recycle{placer: p, tree: tree},
		Quarantine: q, Parts: &Parts{sh}, Views: &Views{p},
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	return s, nil
}

func (s *Store) open() error {
	for _, d := range []string{s.published, s.state, s.ReportDir()} {
		if err := disk.MakeDirs(s.fs, d); err != nil {
			return err
		}
	}
	here, err := disk.MountOf(s.published)
	if err != nil {
		return err
	}
	other, err := disk.MountOf(s.state)
	if err != nil {
		return err
	}
	if s.work = s.state; other != here {
		s.work = WorkDir(s.published)
	}
	s.parts = filepath.Join(s.work, partsDir)
	for _, d := range []string{s.PartsDir(), s.RecycleDir(), s.QuarantineDir()} {
		if err := disk.MakeDirs(s.fs, d); err != nil {
			return err
		}
		if other, err := disk.MountOf(d); err != nil {
			return err
		} else if other != here {
			return fmt.Errorf("%s and %s are on different file systems, so that files cannot be hard-linked between them: make %s a directory below the mount point, not the mount point itself", d, s.published, s.published)
		}
	}
	if err := unix.Access(s.published, unix.W_OK); err != nil {
		return &fs.PathError{Op: "write", Path: s.published, Err: err}
	}
	if s.Tree.owners, err = s.Tree.ownersHere(); err != nil {
		return err
	}
	fi, err := os.Stat(s.PartsDir())
	if err != nil {
		return err
	}
	s.device = InodeOf(fi).Dev
	if fi, err = os.Stat(s.published); err != nil {
		return err
	}
	s.readers = fi.Mode().Perm()
	s.sync, err = disk.NewSyncer(s.published)
	s.sync.Whole = s.sync.Whole && s.fs.Whole()
	return err
}

// Close closes the store. Nobody writes to parts any more. They are removed when
// the file system could not be synchronised: nobody knows which of them it failed
// for, and the next synchronisation would not fail for them again.
func (s *Store) Close() error {
	var errs []error
	if s.failed {
		entries, err := os.ReadDir(s.PartsDir())
		errs = append(errs, err)
		for _, e := range entries {
			errs = append(errs, s.remove(filepath.Join(s.PartsDir(), e.Name())))
		}
	}
	return errors.Join(append(errs, s.sync.Dir.Close())...)
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

// Sync makes durable whatever is in the store, by whomever it was put there.
func (s *Store) Sync() error {
	if s.sync.Whole {
		return s.syncAll()
	}
	dirs := dirSet{filepath.Dir(s.published): {}, filepath.Dir(s.state): {}, s.state: {}, s.work: {}}
	here, err := disk.MountOf(s.published)
	if err != nil {
		return fmt.Errorf("sync archive: %w", err)
	}
	for _, root := range []string{s.published, s.RecycleDir(), s.QuarantineDir()} {
		if err := addTree(dirs, root, here); err != nil {
			return fmt.Errorf("sync archive: %w", err)
		}
	}
	return s.syncDirs(dirs)
}

// addTree adds dir and all directories below it on its file system, those behind
// symbolic links, which an operator may have put there, included. What this
// process cannot read it has not written to.
func addTree(dirs dirSet, dir string, on disk.Mount) error {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil // a link to nowhere, or to itself
	}
	if _, ok := dirs[real]; ok {
		return nil
	}
	if at, err := disk.MountOf(real); err != nil || at != on {
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

// Unsynced reports whether something was linked that a failure has kept from
// being made durable.
func (s *Store) Unsynced() bool { return s.unsynced }

// Layouts are those that the store publishes by.
func (s *Store) Layouts() layout.Conf { return s.Tree.layouts }

// PublishBy makes the store publish by other layouts, from now on.
func (s *Store) PublishBy(layouts layout.Conf) { s.Tree.layouts = layouts }

// Prune removes the directory dir, of the published tree or of recycle, if it
// is empty, with the parents that become empty by that. It reports whether dir
// is gone. SyncRemoved makes it durable.
func (s *Store) Prune(dir string) bool {
	s.pruneAny(dir)
	_, err := s.lstat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// SyncRemoved makes durable what Unpublish, Unlink, Withdraw, Purge and SetAside have
// removed since its last call. Whoever records that something is gone calls it
// before: after a power failure the file would be back, known to nobody.
func (s *Store) SyncRemoved() error {
	for dir := range s.removed {
		if fi, err := os.Stat(dir); isGone(err) || err == nil && !fi.IsDir() {
			delete(s.removed, dir) // somebody else has removed it as well
		}
	}
	if err := s.syncDirs(s.removed); err != nil {
		return fmt.Errorf("sync removals: %w", err)
	}
	clear(s.removed)
	return nil
}
