package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

// An Item is one content to be published.
type Item struct {
	layout.Content
	// Part is the verified file in PartsDir. Release removes it, unless Commit has
	// made it a published file: then Part is empty, and Have set.
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

	durable bool        // its bytes are
	ready   fs.FileInfo // the part, once it is fit for publication
	linked  fs.FileInfo // the part, once it is below by_cipher
	ciphers []string    // its paths below by_cipher, and those in the layouts: all of
	names   []string    // them as Places.Path makes them
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
func (t *Tree) Commit(items, next []*Item) error {
	if err := t.syncData(items); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	dirs, err := t.publishAll(items)
	if t.noteSync(err) != nil {
		return fmt.Errorf("commit %w", err)
	}
	if err := t.noteSync(t.syncLinks(dirs, next)); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// syncData makes the bytes of items durable.
func (t *Tree) syncData(items []*Item) error {
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
	each := len(sources) <= syncEach || !t.sync.Whole
	for _, src := range sources {
		its := bySource[src]
		err := t.prepareItem(its[0], each)
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
	return t.syncWhole(items)
}

// prepareItem makes the file of an item fit for publication, and with sync durable.
func (t *Tree) prepareItem(it *Item, sync bool) error {
	if it.hasPart() && !sync {
		// Transfers have given it this mode when it was verified.
		if fi, err := os.Lstat(it.Part); err == nil && fi.Mode() == publishedMode {
			it.ready = fi
			return nil
		}
	}
	return t.prepare(it.source(), it.hasPart(), sync)
}

// syncLinks makes what has changed in dirs durable.
func (t *Tree) syncLinks(dirs dirSet, next []*Item) error {
	if len(dirs) <= syncEachDir || !t.sync.Whole {
		return t.syncDirs(dirs)
	}
	ready := next[:0:0]
	for _, it := range next {
		if t.prepareItem(it, false) == nil {
			ready = append(ready, it)
		}
	}
	if err := t.syncWhole(ready); err != nil {
		return err
	}
	for _, it := range ready {
		it.durable = true
	}
	return nil
}

// syncWhole makes durable what the file system has, the bytes of items among it.
func (t *Tree) syncWhole(items []*Item) error {
	err := t.syncAll()
	if err == nil {
		return nil
	}
	for _, it := range items {
		if it.hasPart() && !it.durable {
			err = errors.Join(err, t.remove(it.Part))
		}
	}
	return err
}

// An unsyncedError means that the bytes of a file may not be on the disk.
type unsyncedError struct{ error }

func (e *unsyncedError) Unwrap() error { return e.error }

// linkers is how many goroutines link a large batch: more of them only wait for
// the lock of the directory that all names are in.
const linkers = 2

// publishAll links items to their paths and returns the directories that have
// changed. Its error means that the file system fails.
//
// All items get their paths below by_cipher before any gets one of a layout, and
// those of a layout are links to what is below by_cipher. So a path is only given
// another inode while nothing is linked from it unless it is named by the digest
// of what it holds before and after: whatever names change their contents in one
// batch, none gets the bytes of another.
func (t *Tree) publishAll(items []*Item) (dirSet, error) {
	defer t.disk.Hold()()
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
	for _, step := range []func(*Item, dirSet) error{t.linkDigest, t.linkNames} {
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
func (t *Tree) publish(it *Item, dirs dirSet) error {
	err := t.linkDigest(it, dirs)
	if err == nil {
		err = t.linkNames(it, dirs)
	}
	return err
}

// linkDigest links one item to its paths below by_cipher, after it has looked at
// all its paths.
func (t *Tree) linkDigest(it *Item, dirs dirSet) error {
	paths, err := t.layouts.Paths(&it.Content)
	if err != nil {
		return err
	}
	src := it.source()
	fi := it.ready
	if fi == nil || !it.hasPart() {
		if fi, err = t.lstat(src); err != nil {
			return err
		}
	}
	if !it.hasPart() {
		if err := it.Have.check(fi); err != nil {
			return err
		}
	}
	n := 1
	if it.Kind.Base64() {
		n = 2
	}
	for i, rel := range paths {
		paths[i] = t.at.Path(rel)
		if i == 0 && it.hasPart() {
			continue // linking it comes first and says the same
		}
		if err := t.mayTake(it, paths[i], src, fi); err != nil {
			return err
		}
	}
	it.ciphers, it.names = paths[:n:n], paths[n:]
	if !it.hasPart() && t.Foreign(fi) {
		return t.spreadCopy(it, src, it.ciphers, dirs)
	}
	return t.spread(it, src, fi, it.ciphers, dirs)
}

// linkNames links one item that is below by_cipher to its paths in the layouts. A part
// that is there as well becomes the last of them: by now nothing is linked from it.
func (t *Tree) linkNames(it *Item, dirs dirSet) (err error) {
	src, names := it.ciphers[0], it.names
	fi := it.linked
	if fi == nil || !it.hasPart() {
		if fi, err = t.lstat(src); err != nil {
			return err
		}
	} else if len(names) > 0 {
		last := len(names) - 1
		moved, err := t.move(it.Part, names[last], dirs)
		if err != nil {
			return err
		}
		if moved {
			it.Part, it.Have = "", Source{Path: src, Was: fi, Read: true}
			names = names[:last]
		}
	}
	err = t.linkAll(it, src, fi, names, dirs)
	if errors.Is(err, syscall.EMLINK) {
		return t.spread(it, src, fi, slices.Concat(it.ciphers, it.names), dirs)
	}
	return err
}

// spread makes paths, of which the first is below by_cipher, links to src or,
// when that has as many as the file system allows, 65,000 on ext4, all of them
// links to another inode.
func (t *Tree) spread(it *Item, src string, fi fs.FileInfo, paths []string, dirs dirSet) error {
	err := t.linkAll(it, src, fi, paths, dirs)
	if errors.Is(err, syscall.EMLINK) {
		return t.spreadCopy(it, src, paths, dirs)
	}
	return err
}

// spreadCopy is spread with a copy of src: that of another name of the content
// while it can have more links.
func (t *Tree) spreadCopy(it *Item, src string, paths []string, dirs dirSet) error {
	sum := it.SHA256()
	if spare := t.spareOf(sum); spare != "" {
		err := t.linkAllTo(it, spare, paths, dirs)
		if !errors.Is(err, syscall.EMLINK) && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	spare, err := t.duplicate(src, sum)
	if err != nil {
		return err
	}
	if err = t.linkAllTo(it, spare, paths, dirs); err == nil {
		t.mu.Lock()
		t.spare[sum] = paths[0]
		t.mu.Unlock()
	}
	return errors.Join(err, t.remove(spare))
}

func (t *Tree) spareOf(sum digest.Digest) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spare[sum]
}

func (t *Tree) linkAllTo(it *Item, src string, paths []string, dirs dirSet) error {
	fi, err := t.lstat(src)
	if err != nil {
		return err
	}
	return t.linkAll(it, src, fi, paths, dirs)
}

// linkAll makes paths links to src, which is fi.
func (t *Tree) linkAll(it *Item, src string, fi fs.FileInfo, paths []string, dirs dirSet) error {
	if !fi.Mode().IsRegular() || fi.Size() != it.Size {
		return fmt.Errorf("%s: not a regular file of %d bytes", src, it.Size)
	}
	// New content has a directory of its own to come below by_cipher.
	fresh := src == it.Part && it.hasPart()
	for _, dst := range paths {
		if err := t.link(src, fi, dst, it.Former, fresh, dirs); err != nil {
			return err
		}
	}
	if it.ModTime = fi.ModTime(); fresh {
		it.linked = fi
	}
	return nil
}

// mayTake returns why src, which is fi, cannot be published at dst as the content of
// it, or nil. If dst has the same size and other bytes, either of the two may be the
// one that has rotted, as in an archive that was copied without its hard links:
// neither size nor time tell. Then src is read.
func (t *Tree) mayTake(it *Item, dst, src string, fi fs.FileInfo) error {
	if t.disk.Missing(dst) {
		return nil
	}
	old, err := t.lstat(dst)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s: a file is in the place of a directory", layout.ErrPath, dst)
	case err != nil:
		return err
	case old.IsDir():
		return fmt.Errorf("%w: %s is a directory", layout.ErrPath, dst)
	case it.hasPart() || it.Have.Read:
		return nil
	case !old.Mode().IsRegular() || old.Size() != fi.Size() || os.SameFile(old, fi) || t.same(src, dst):
		return nil
	}
	sums, _, err := t.read(context.Background(), src, nil, nil)
	if err != nil {
		return err
	}
	if sum := sums.Get(digest.SHA256); sum != it.SHA256() {
		return fmt.Errorf("%s: %w: its SHA256 is %s, want %s; %s has other bytes", src, ErrDamaged, sum.Hex(), it.SHA256().Hex(), dst)
	}
	it.Have.Read = true
	return nil
}

// duplicate makes a durable file in PartsDir with the content and the time of src,
// which has the SHA-256 sum.
func (t *Tree) duplicate(src string, sum digest.Digest) (path string, err error) {
	path = t.temp()
	if err := t.remove(path); err != nil {
		return "", err
	}
	dst, err := t.fs.Create(path, publishedMode)
	if err != nil {
		return "", err
	}
	sums, fi, err := t.read(context.Background(), src, dst, nil)
	if err == nil && sums.Get(digest.SHA256) != sum {
		err = fmt.Errorf("%s: %w: its SHA256 is %s, want %s", src, ErrDamaged, sums.Get(digest.SHA256).Hex(), sum.Hex())
	}
	if err == nil {
		err = errors.Join(dst.Chmod(publishedMode), os.Chtimes(path, time.Time{}, fi.ModTime()), t.fs.Sync(dst))
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return "", errors.Join(err, t.remove(path))
	}
	return path, nil
}
