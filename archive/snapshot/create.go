package snapshot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"distkeep/archive/layout"
)

// CreateOptions say what a new snapshot is like. The zero value is usable.
type CreateOptions struct {
	// Label, when set, is added to the name; see Name.
	Label string
	// NoByCipher leaves out by_cipher, which needs a directory for each
	// content: 4 KiB and an inode on ext4. BenchmarkSnapshot has times.
	NoByCipher bool
	// Room, when set, is asked for each piece of a directory whether the file
	// system has room for it, by several goroutines at once. Its error ends
	// the creation.
	Room func() error
}

// Create makes a snapshot of the tree published in the directory published and
// points latest at the newest. When it returns, the snapshot is durable.
//
// The archive may be changed meanwhile, and its lock is not needed: an hourly
// run that found it taken would not happen. Every file of the snapshot is whole
// nevertheless; a name that was there all the time is in the snapshot, with one of
// the contents that it had; of those that came or went meanwhile, some are.
// What names other files comes first, the lists of the archive and the
// databases of pacman, so that what they name is there: files are published
// before they are named, and deleted long after. To have the snapshot of a single
// moment, make it between two runs.
//
// Its error wraps fs.ErrExist when there is one of that name and
// store.ErrLocked when another command is changing the snapshots. Nothing of
// the snapshot is left then.
func (d *Dir) Create(ctx context.Context, published string, o CreateOptions) (s Snapshot, err error) {
	now := d.now().UTC().Truncate(time.Second)
	name, err := Name(now, o.Label)
	if err != nil {
		return s, err
	}
	unlock, err := d.lock("distkeep snapshot create")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := d.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &fs.PathError{Op: "create", Path: filepath.Join(d.path, name), Err: fs.ErrExist}
		}
		return s, err
	}
	s = Snapshot{Name: name, Time: now, Label: o.Label}
	if err := d.create(ctx, published, &s, o); err != nil {
		return s, fmt.Errorf("create snapshot %s: %w", name, err)
	}
	if err := d.pointLatest(); err != nil {
		return s, fmt.Errorf("create snapshot %s: it is made, but not the latest: %w", name, err)
	}
	latest, err := d.root.Readlink(latestName)
	s.Latest = latest == name
	return s, err
}

// create makes the snapshot under a hidden name and then gives it its own.
func (d *Dir) create(ctx context.Context, published string, s *Snapshot, o CreateOptions) (err error) {
	src, err := openPublished(published)
	if err != nil {
		return err
	}
	defer src.Close()
	top, err := d.open()
	if err != nil {
		return err
	}
	defer top.Close()
	hidden := newPrefix + s.Name
	defer func() {
		if err != nil {
			_, cleanup := removeSnapshot(top, hidden)
			err = errors.Join(err, cleanup)
		}
	}()
	c := &creation{o: o, contents: make(inodes), spare: make(map[uint64]string)}
	if c.view, err = mkdirLike(src, top, hidden); err != nil {
		return err
	}
	defer c.view.Close()
	if c.prev, err = d.newest(top); err != nil {
		return err
	}
	if c.prev != nil {
		defer c.prev.Close()
	}
	if err := c.fill(ctx, src); err != nil {
		return err
	}
	var st unix.Stat_t
	s.ByCipher = c.view.stat(layout.ByCipherDir, &st) == nil && fileType(&st) == unix.S_IFDIR
	s.Files, s.Vanished, s.Bytes = c.files.Load(), c.vanished.Load(), c.bytes
	if err := c.record(s); err != nil {
		return err
	}
	if err := durable(ctx, c.view); err != nil {
		return err
	}
	if err := d.root.Rename(hidden, s.Name); err != nil {
		return err
	}
	return d.sync()
}

// newest opens the newest snapshot, or returns nil.
func (d *Dir) newest(top *dir) (*dir, error) {
	list, err := d.List()
	s := newest(list)
	if err != nil || s == nil {
		return nil, err
	}
	return top.open(s.Name)
}

// fill links everything into the snapshot.
func (c *creation) fill(ctx context.Context, src *dir) error {
	for _, indexes := range []bool{true, false} {
		g, ctx := errgroup.WithContext(ctx)
		// One more than there are processors: some wait for the disk.
		g.SetLimit(runtime.GOMAXPROCS(0) + 1)
		c.ctx, c.group, c.indexes = ctx, g, indexes
		err := c.read(src, c.view, "")
		if wait := g.Wait(); wait != nil {
			err = wait // the cause; err may be that it was cancelled
		}
		if err != nil {
			return err
		}
		if err := src.rewind(); err != nil {
			return err
		}
	}
	return nil
}

// record writes what says that the directory is a snapshot.
func (c *creation) record(s *Snapshot) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	f, err := c.view.create(recordName)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, finish(f, 0o444), f.Close())
}

// create makes a new file in d.
func (d *dir) create(name string) (*os.File, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, d.fail("create", name, err)
	}
	return os.NewFile(uintptr(fd), d.path(name)), nil
}

// finish gives a new file its mode.
func finish(f *os.File, mode fs.FileMode) error {
	err := f.Chmod(mode)
	if err == nil && syncCopies {
		err = f.Sync()
	}
	return err
}

// mkdirLike makes the directory name in d with the permissions of like, unless
// it is there already, and opens it.
func mkdirLike(like, d *dir, name string) (*dir, error) {
	var st unix.Stat_t
	if err := unix.Fstat(like.fd, &st); err != nil {
		return nil, like.fail("stat", "", err)
	}
	// The owner must be able to fill it and to remove it again.
	mode := uint32(st.Mode)&0o777 | 0o700
	if err := unix.Mkdirat(d.fd, name, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, d.fail("mkdir", name, err)
	}
	return d.open(name)
}
