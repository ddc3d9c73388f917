package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"distkeep/archive/layout"
	"distkeep/archive/store"
)

const (
	// maxCopy is the size up to which a file that somebody may be writing to
	// is copied: pages, keys and notes beside the distfiles. What is larger is
	// a distfile that the archive has not taken over yet, and copying all of
	// them would double the archive.
	maxCopy = 1 << 20
	// maxReads is how often a directory is read that changes all the time.
	maxReads = 3
	// maxCopies is how often a file is copied that changes all the time.
	maxCopies = 3
)

// A creation is a snapshot that is being made. It walks the published tree twice:
// first for what names other files, then for these.
type creation struct {
	o       CreateOptions
	ctx     context.Context
	group   *errgroup.Group
	indexes bool // it is the first walk
	view    *dir
	prev    *dir // the newest snapshot before this one, or nil

	files, vanished atomic.Int64

	mu       sync.Mutex
	contents inodes
	bytes    int64
	// spare has the paths in the snapshot of copies of inodes that have as many
	// links as the file system allows, by inode.
	spare map[uint64]string
}

// read puts what is in src into dst. rel is their path in the tree.
func (c *creation) read(src, dst *dir, rel string) error {
	for n := range maxReads {
		before, err := changed(src)
		if err != nil {
			return err
		}
		err = src.each(func(entries []fs.DirEntry) error {
			if c.ctx.Err() != nil {
				return context.Cause(c.ctx)
			}
			if c.o.Room != nil {
				if err := c.o.Room(); err != nil {
					return err
				}
			}
			for _, e := range entries {
				if err := c.add(src, dst, rel, e, n > 0); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		// POSIX leaves open whether a name that is replaced or added while
		// its directory is read is seen. A second reading finds it.
		if after, err := changed(src); err != nil || after == before {
			return err
		}
		if err := src.rewind(); err != nil {
			return err
		}
	}
	return nil
}

// changed returns when the entries of d changed last.
func changed(d *dir) (int64, error) {
	fi, err := d.Stat()
	if err != nil {
		return 0, err
	}
	return fi.ModTime().UnixNano(), nil
}

// add puts one entry of src, which is at parent in the tree, into dst. again
// says that src was read before.
func (c *creation) add(src, dst *dir, parent string, e fs.DirEntry, again bool) error {
	rel := filepath.Join(parent, e.Name())
	switch {
	case rel == recordName || rel == "lost+found" || rel == layout.GenerationsDir:
		return nil
	case e.IsDir():
		if rel == layout.ByCipherDir && (c.indexes || c.o.NoByCipher) {
			return nil
		}
		return c.addDir(src, dst, rel, again)
	case e.Type() == fs.ModeSymlink:
		return c.addLink(src, dst, parent, rel, again)
	case isFirst(rel) != c.indexes:
		return nil
	case e.Type().IsRegular() && isOwn(rel):
		return c.copyOwn(src, dst, rel)
	case e.Type().IsRegular():
		return c.link(src, dst, rel)
	}
	return nil // a socket or the like: nothing that could be kept
}

// addDir descends into a directory, in another goroutine if one is free.
func (c *creation) addDir(src, dst *dir, rel string, again bool) error {
	name := filepath.Base(rel)
	var st unix.Stat_t
	if again && dst.stat(name, &st) == nil {
		return nil // it was walked when src was read before
	}
	from, err := src.open(name)
	if gone(err) {
		// The first walk may have made it, for nothing.
		_ = dst.remove(name, unix.AT_REMOVEDIR)
	}
	if err != nil {
		return c.unlessGone(err)
	}
	return c.descend(from, dst, rel)
}

// addLink adds a symbolic link: as it is where it means the same in the snapshot, or
// as a directory with what it leads to, which another link could change.
func (c *creation) addLink(src, dst *dir, parent, rel string, again bool) error {
	if rel == layout.ByCipherDir && (c.indexes || c.o.NoByCipher) {
		return nil
	}
	name := filepath.Base(rel)
	from, err := src.follow(name, parent)
	if err != nil {
		return c.unlessGone(err)
	}
	if from == nil {
		if isFirst(rel) != c.indexes {
			return nil
		}
		return c.link(src, dst, rel)
	}
	var st unix.Stat_t
	if again && dst.stat(name, &st) == nil {
		return from.Close()
	}
	return c.descend(from, dst, rel)
}

// descend walks from, which it closes, into the directory rel, which is in dst.
func (c *creation) descend(from, dst *dir, rel string) error {
	to, err := mkdirLike(from, dst, filepath.Base(rel))
	if err != nil {
		return errors.Join(err, from.Close())
	}
	walk := func() error {
		return errors.Join(c.read(from, to, rel), from.Close(), to.Close())
	}
	if c.group.TryGo(walk) {
		return nil
	}
	return walk()
}

// unlessGone turns the error of a name that went away into a number.
func (c *creation) unlessGone(err error) error {
	if gone(err) {
		c.vanished.Add(1)
		return nil
	}
	return err
}

// link links a file, or copies it if somebody may write to it.
func (c *creation) link(src, dst *dir, rel string) error {
	name := filepath.Base(rel)
	err := linkat(src, name, dst, name)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil // src is read again
	case errors.Is(err, unix.EMLINK):
		return c.linkSpare(src, dst, rel)
	case err != nil:
		return c.linkFailed(err, src, name)
	}
	// Only now is it certain which file it is: src may change at any time.
	var st unix.Stat_t
	if err := dst.stat(name, &st); err != nil {
		return err
	}
	switch fileType(&st) {
	case unix.S_IFREG:
	case unix.S_IFLNK:
		c.count(rel, &st)
		return nil
	default:
		c.vanished.Add(1)
		return dst.remove(name, 0)
	}
	// Published distfiles are read-only, unless the archive has taken them
	// over as they were: then they had two links already, one in by_cipher.
	if st.Mode&0o222 != 0 && st.Nlink == 2 && st.Size <= maxCopy {
		return c.unshare(dst, rel)
	}
	c.count(rel, &st)
	return nil
}

func linkat(src *dir, from string, dst *dir, to string) error {
	if err := unix.Linkat(src.fd, from, dst.fd, to, 0); err != nil {
		return &os.LinkError{Op: "link", Old: src.path(from), New: dst.path(to), Err: err}
	}
	return nil
}

// linkFailed explains why an entry of src cannot be linked.
func (c *creation) linkFailed(err error, src *dir, name string) error {
	switch {
	case errors.Is(err, unix.EXDEV):
		return fmt.Errorf("%w: hard links cannot leave a file system or a mount: keep snapshots on that of the published tree (--snapshots), and mount nothing inside it", err)
	case errors.Is(err, unix.EPERM):
		var st unix.Stat_t
		if err := src.stat(name, &st); gone(err) || err == nil && fileType(&st) == unix.S_IFDIR {
			c.vanished.Add(1)
			return nil
		}
		return fmt.Errorf("%w: it belongs to somebody else (fs.protected_hardlinks) or is immutable, or the file system has no hard links", err)
	}
	return c.unlessGone(err)
}

// count notes that rel is in the snapshot.
func (c *creation) count(rel string, st *unix.Stat_t) {
	if !inByCipher(rel) {
		c.files.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.contents.add(st.Ino) {
		c.bytes += st.Size
	}
}

// linkSpare does what link does for an inode that has as many links as the
// file system allows, 65,000 on ext4: the snapshot gets its own copy of it.
func (c *creation) linkSpare(src, dst *dir, rel string) error {
	name := filepath.Base(rel)
	f, err := src.openFile(name)
	if err != nil {
		return c.unlessGone(err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return src.fail("stat", name, err)
	}
	ino := st.Ino
	c.mu.Lock()
	spare, ok := c.spare[ino]
	c.mu.Unlock()
	if ok && linkat(c.view, spare, dst, name) == nil {
		return c.counted(dst, rel)
	}
	if err := c.copy(f, dst, rel); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare[ino] = rel
	return nil
}

// counted counts what is at rel, which is in dst.
func (c *creation) counted(dst *dir, rel string) error {
	var st unix.Stat_t
	if err := dst.stat(filepath.Base(rel), &st); err != nil {
		return err
	}
	c.count(rel, &st)
	return nil
}

// unshare puts a copy in the place of the link rel, which is in dst.
func (c *creation) unshare(dst *dir, rel string) error {
	name := filepath.Base(rel)
	f, err := dst.openFile(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := dst.remove(name, 0); err != nil {
		return err
	}
	return c.copy(f, dst, rel)
}

// copyOwn copies a file that the archive or its operator writes.
func (c *creation) copyOwn(src, dst *dir, name string) error {
	f, err := src.openFile(name)
	if err != nil {
		return c.unlessGone(err)
	}
	defer f.Close()
	return c.copy(f, dst, name)
}

// copy makes rel, which is in dst, a read-only copy of f. Is f the same as in
// the snapshot before, it is a link to the copy there.
func (c *creation) copy(f *os.File, dst *dir, rel string) error {
	name := filepath.Base(rel)
	if c.prev != nil && c.linkPrevious(f, dst, rel) {
		return c.counted(dst, rel)
	}
	for n := 1; ; n++ {
		same, err := copyFile(f, dst, name)
		if errors.Is(err, fs.ErrExist) {
			return nil // src is read again
		} else if err != nil {
			return err
		}
		// What never rests, such as a log, is what it was at some time.
		if same || n == maxCopies {
			return c.counted(dst, rel)
		}
		if err := dst.remove(name, 0); err != nil {
			return err
		}
	}
}

// copyFile copies f to the new file name in dst, with its modification time. It
// reports whether f stayed the same meanwhile.
func copyFile(f *os.File, dst *dir, name string) (same bool, err error) {
	before, err := f.Stat()
	if err != nil {
		return false, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	out, err := dst.create(name)
	if err != nil {
		return false, err
	}
	// No further than it was long: it may be growing.
	if _, err = io.Copy(out, io.LimitReader(f, before.Size())); err == nil {
		t := unix.NsecToTimespec(before.ModTime().UnixNano())
		if err = unix.UtimesNanoAt(dst.fd, name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err == nil {
			err = finish(out, before.Mode().Perm()&^0o222)
		}
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return false, fmt.Errorf("copy %s: %w", f.Name(), err)
	}
	after, err := f.Stat()
	if err != nil {
		return false, err
	}
	return after.Size() == before.Size() && after.ModTime().Equal(before.ModTime()), nil
}

// linkPrevious links rel of the snapshot before if it has the time and the bytes
// of f. Whatever stands in the way, a copy will do.
func (c *creation) linkPrevious(f *os.File, dst *dir, rel string) bool {
	old, err := c.prev.openFile(rel)
	if err != nil {
		return false
	}
	defer old.Close()
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := old.Stat()
	if err != nil || a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || b.Mode()&0o222 != 0 {
		return false
	}
	if same, err := store.SameBytes(f, old); err != nil || !same {
		return false
	}
	return linkat(c.prev, rel, dst, filepath.Base(rel)) == nil
}

// inodes is a set of inode numbers. File systems give them out in runs, so
// that a million fit into some hundred KiB.
type inodes map[uint64]*[8]uint64

// add adds ino and reports whether it is new.
func (s inodes) add(ino uint64) bool {
	page := s[ino>>9]
	if page == nil {
		page = new([8]uint64)
		s[ino>>9] = page
	}
	word, bit := ino>>6&7, uint64(1)<<(ino&63)
	if page[word]&bit != 0 {
		return false
	}
	page[word] |= bit
	return true
}
