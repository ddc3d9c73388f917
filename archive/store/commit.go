package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// An Item is one content to be published.
type Item struct {
	layout.Content
	// Part is the verified file in PartsDir. Release removes it.
	Part string
	// Have, when set, is a file of the archive that is known to hold the
	// content: a published path or one in recycle. Its inode is linked, or a
	// copy of it where that is Foreign, and Part is not looked at.
	Have Source

	// Former, when set, is a file of the archive that keeps the content whose
	// names the item takes: another file with its bytes is the archive's own,
	// as a copy of an archive has it that did not keep the hard links.
	Former string

	// ModTime is that of the stored file, set by Commit.
	ModTime time.Time
	// Err is why this one item could not be published, set by Commit.
	Err error

	durable bool // its bytes are
}

// A Source is a file that holds a content.
type Source struct {
	Path string
	// Was is the file when it was found to hold the content. If it is another
	// one by now, or was written to, nothing is linked to it.
	Was fs.FileInfo
	// Read says that its bytes were read: they are not doubted.
	Read bool
}

// Look returns the file at path as a source that is as it is now.
func Look(path string) (Source, error) {
	fi, err := os.Lstat(path)
	return Source{Path: path, Was: fi}, err
}

// check returns why the file of the source, which is fi now, is not the one that
// it was.
func (src *Source) check(fi fs.FileInfo) error {
	if src.Was == nil || !os.SameFile(fi, src.Was) || fi.Size() != src.Was.Size() || !fi.ModTime().Equal(src.Was.ModTime()) {
		return fmt.Errorf("%s: changed since it was looked at", src.Path)
	}
	return nil
}

// source is the file whose inode is published.
func (it *Item) source() string {
	if it.Have.Path != "" {
		return it.Have.Path
	}
	return it.Part
}

func (it *Item) hasPart() bool { return it.Have.Path == "" }

// syncEach is the number of files up to which each is synchronised by itself,
// and syncEachDir that of directories. Above it the whole file system is, once
// for the data and once for the links: it costs as much as a few files do, but
// also waits for what others write. BenchmarkCommit has the numbers.
const (
	syncEach    = 16
	syncEachDir = 32
)

// Commit publishes items and makes them durable: first the bytes of all, then
// their links, so that no reader ever sees, even after a power failure, a file
// that is not whole. A path that holds another inode is replaced by rename; if
// it was the only link to that, the inode goes to quarantine (see Replaced).
// Whatever a run that was killed has linked before is made durable, too. No two
// items may have the same name with different contents.
//
// The bytes of next, which a later Commit is to publish, are made durable with
// the links of items where one synchronisation does both.
//
// What is wrong with a single item is in its Err, and the others are published.
// The paths of an item are looked at before the first of them is linked. That a
// file holds a content is doubted where it would take the place of one with
// other bytes and the same size: then it is read, and the item's Err wraps
// ErrDamaged, and all its paths stay as they are, unless it is right.
// The error of Commit itself means that nothing may be recorded: the file
// system is full or failing. Parts whose bytes may not have reached the disk
// are then removed, because the kernel reports that once and afterwards takes
// what it has in memory for good.
func (s *Store) Commit(items, next []*Item) error {
	if err := s.syncData(items); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	dirs, err := s.publishAll(items)
	if s.settled(err) != nil {
		return fmt.Errorf("commit %w", err)
	}
	if err := s.settled(s.syncLinks(dirs, next)); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// syncData makes the bytes of items durable.
func (s *Store) syncData(items []*Item) error {
	bySource := make(map[string][]*Item, len(items))
	var sources []string
	for _, it := range items {
		src := it.source()
		if it.durable {
			continue
		}
		if bySource[src] == nil {
			sources = append(sources, src)
		}
		bySource[src] = append(bySource[src], it)
	}
	each := len(sources) <= syncEach || !s.sync.whole
	for _, src := range sources {
		its := bySource[src]
		err := s.prepare(src, its[0].hasPart(), each)
		if lost := (*unsyncedError)(nil); errors.As(err, &lost) || err != nil && Broken(err) {
			return err
		}
		for _, it := range its {
			it.Err = err
		}
	}
	if each {
		return nil
	}
	return s.syncWhole(items)
}

// syncLinks makes what has changed in dirs durable.
func (s *Store) syncLinks(dirs dirSet, next []*Item) error {
	if len(dirs) <= syncEachDir || !s.sync.whole {
		return s.syncDirs(dirs)
	}
	ready := next[:0:0]
	for _, it := range next {
		if s.prepare(it.source(), it.hasPart(), false) == nil {
			ready = append(ready, it)
		}
	}
	if err := s.syncWhole(ready); err != nil {
		return err
	}
	for _, it := range ready {
		it.durable = true
	}
	return nil
}

// syncWhole makes durable what the file system has, the bytes of items among it.
func (s *Store) syncWhole(items []*Item) error {
	err := s.syncAll()
	if err == nil {
		return nil
	}
	for _, it := range items {
		if it.hasPart() && !it.durable {
			err = errors.Join(err, s.remove(it.Part))
		}
	}
	return err
}

// An unsyncedError means that the bytes of a file may not be on the disk.
type unsyncedError struct{ error }

func (e *unsyncedError) Unwrap() error { return e.error }

// prepare makes the file src fit for publication.
func (s *Store) prepare(src string, part, sync bool) error {
	if !part && !sync {
		return nil
	}
	f, err := regular.OpenItself(src)
	if err != nil {
		return err
	}
	defer f.Close()
	if part {
		if err := f.Chmod(0o444); err != nil { // published files are never written to again
			return err
		}
	}
	if !sync {
		return nil
	}
	err = s.fs.Sync(f)
	if err != nil && part {
		err = errors.Join(err, s.remove(src))
	}
	if err != nil {
		return &unsyncedError{err}
	}
	return nil
}

// linkers is how many goroutines link a large batch: more of them only wait for
// the lock of the directory that all names are in.
const linkers = 4

// publishAll links items to their paths and returns the directories that have
// changed. Its error means that the file system fails.
//
// All items get their paths below by_cipher before any gets one of a layout, and
// those of a layout are links to what is below by_cipher. So a path is only given
// another inode while nothing is linked from it unless it is named by the digest
// of what it holds before and after: whatever names change their contents in one
// batch, none gets the bytes of another.
func (s *Store) publishAll(items []*Item) (dirSet, error) {
	shares := make([][]*Item, linkers)
	for _, it := range items {
		n := 0
		if len(items) > syncEach {
			// What shares an inode is for one of them.
			n = int(it.SHA256().Raw()[0]) % linkers
		}
		shares[n] = append(shares[n], it)
	}
	dirs := make([]dirSet, linkers)
	for n := range dirs {
		dirs[n] = make(dirSet)
	}
	var err error
	for _, step := range []func(*Item, dirSet) error{s.linkDigest, s.linkNames} {
		var g errgroup.Group
		for n, share := range shares {
			g.Go(func() error { return publishShare(share, step, dirs[n]) })
		}
		if err = g.Wait(); err != nil {
			break
		}
	}
	for _, d := range dirs[1:] {
		maps.Copy(dirs[0], d)
	}
	return dirs[0], err
}

// publishShare does one step of publishing with those items that had no error.
func publishShare(items []*Item, step func(*Item, dirSet) error, dirs dirSet) error {
	for _, it := range items {
		if it.Err != nil {
			continue
		}
		it.Err = step(it, dirs)
		if it.Err != nil && Broken(it.Err) {
			return fmt.Errorf("%s: %w", it.Name, it.Err)
		}
	}
	return nil
}

// publish links one item to all its paths.
func (s *Store) publish(it *Item, dirs dirSet) error {
	err := s.linkDigest(it, dirs)
	if err == nil {
		err = s.linkNames(it, dirs)
	}
	return err
}

// linkDigest links one item to its paths below by_cipher, after it has looked at
// all its paths.
func (s *Store) linkDigest(it *Item, dirs dirSet) error {
	paths, err := s.layouts.Paths(&it.Content)
	if err != nil {
		return err
	}
	src := it.source()
	fi, err := s.lstat(src)
	if err != nil {
		return err
	}
	if !it.hasPart() {
		if err := it.Have.check(fi); err != nil {
			return err
		}
	}
	for _, rel := range paths {
		if err := s.mayTake(it, s.Path(rel), src, fi); err != nil {
			return err
		}
	}
	if !it.hasPart() && s.Foreign(fi) {
		return s.spreadCopy(it, src, it.Content.CipherPaths(), dirs)
	}
	return s.spread(it, src, it.Content.CipherPaths(), dirs)
}

// linkNames links one item that is below by_cipher to its paths in the layouts.
func (s *Store) linkNames(it *Item, dirs dirSet) error {
	paths, err := s.layouts.Paths(&it.Content)
	if err != nil {
		return err
	}
	ciphers := it.Content.CipherPaths()
	src := s.Path(ciphers[0])
	err = s.linkAll(it, src, paths[len(ciphers):], dirs)
	if errors.Is(err, syscall.EMLINK) {
		return s.spread(it, src, paths, dirs)
	}
	return err
}

// spread makes paths, of which the first is below by_cipher, links to src or,
// when that has as many as the file system allows, 65,000 on ext4, all of them
// links to another inode.
func (s *Store) spread(it *Item, src string, paths []string, dirs dirSet) error {
	err := s.linkAll(it, src, paths, dirs)
	if errors.Is(err, syscall.EMLINK) {
		return s.spreadCopy(it, src, paths, dirs)
	}
	return err
}

// spreadCopy is spread with a copy of src: that of another name of the content
// while it can have more links.
func (s *Store) spreadCopy(it *Item, src string, paths []string, dirs dirSet) error {
	sum := it.SHA256()
	if spare := s.spareOf(sum); spare != "" {
		err := s.linkAll(it, spare, paths, dirs)
		if !errors.Is(err, syscall.EMLINK) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	spare, err := s.duplicate(src, sum)
	if err != nil {
		return err
	}
	if err = s.linkAll(it, spare, paths, dirs); err == nil {
		s.mu.Lock()
		s.spare[sum] = s.Path(paths[0])
		s.mu.Unlock()
	}
	return errors.Join(err, s.remove(spare))
}

func (s *Store) spareOf(sum digest.Digest) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spare[sum]
}

// linkAll makes paths links to src.
func (s *Store) linkAll(it *Item, src string, paths []string, dirs dirSet) error {
	fi, err := s.lstat(src)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Size() != it.Size {
		return fmt.Errorf("%s: not a regular file of %d bytes", src, it.Size)
	}
	for _, rel := range paths {
		// New content has a directory of its own to come below by_cipher.
		fresh := src == it.Part && it.hasPart()
		if err := s.link(src, fi, rel, it.Former, fresh, dirs); err != nil {
			return err
		}
	}
	it.ModTime = fi.ModTime()
	return nil
}

// link makes the path rel of the published tree a link to src. What is there
// with another inode is replaced in one step. fresh tells that the directory of
// rel is likely to be missing.
func (s *Store) link(src string, fi fs.FileInfo, rel, former string, fresh bool, dirs dirSet) error {
	dst := s.Path(rel)
	err := fs.ErrNotExist
	if !fresh {
		err = s.fs.Link(src, dst)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.mkdir(filepath.Dir(dst)); err == nil {
			err = s.fs.Link(src, dst)
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		err = s.supplant(src, fi, dst, former)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s: a file is in the place of a directory", layout.ErrPath, dst)
	}
	if err != nil {
		return err
	}
	dirs.add(dst, s.published)
	return nil
}

// mkdir makes the directory dir of the published tree with its missing parents.
// Whoever puts something into it notes all of them.
func (s *Store) mkdir(dir string) error {
	err := s.fs.Mkdir(dir)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			return fmt.Errorf("%w: %s is not a directory", layout.ErrPath, dir)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist) && dir != s.published:
		if err := s.mkdir(filepath.Dir(dir)); err != nil {
			return err
		}
		return s.mkdir(dir)
	}
	return err
}
