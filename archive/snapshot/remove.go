package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A Removed is a snapshot that is gone.
type Removed struct {
	Name string `json:"name"`
	// Files is the number of its files and symbolic links, by_cipher included.
	Files int64 `json:"removed_files"`
	// Freed is the size of the contents that nothing else has.
	Freed int64 `json:"freed_bytes"`
}

// Remove removes snapshots, one after the other, the oldest first, and each once.
// Before the first it makes sure that all are there. Each vanishes from sight in one
// step, and latest never points at one that is gone.
//
// Nothing outside the snapshot is touched: neither symbolic links nor mounts are
// followed. When ctx is done, it stops after a snapshot; what it returns are
// those that are removed.
func (d *Dir) Remove(ctx context.Context, names ...string) (removed []Removed, err error) {
	unlock, err := d.lock("distkeep snapshot remove")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return d.remove(ctx, names)
}

// remove does what Remove says, under the lock.
func (d *Dir) remove(ctx context.Context, names []string) (removed []Removed, err error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, name := range names {
		if _, err := d.get(name); err != nil {
			return nil, fmt.Errorf("remove snapshot: %w", err)
		}
	}
	top, err := d.open()
	if err != nil {
		return nil, err
	}
	defer top.Close()
	if err := d.pointLatest(names...); err != nil {
		return nil, fmt.Errorf("remove snapshot: %w", err)
	}
	for _, name := range names {
		var r Removed
		err := context.Cause(ctx)
		if err == nil {
			r, err = d.removeOne(top, name)
		}
		if err != nil {
			return removed, errors.Join(fmt.Errorf("remove snapshot %s: %w", name, err), d.pointLatest())
		}
		removed = append(removed, r)
	}
	return removed, nil
}

func (d *Dir) removeOne(top *dir, name string) (Removed, error) {
	if err := d.root.Rename(name, oldPrefix+name); err != nil {
		return Removed{}, err
	}
	if err := d.sync(); err != nil {
		return Removed{}, err
	}
	r, err := removeSnapshot(top, oldPrefix+name)
	r.Name = name
	return r, err
}

// removeSnapshot removes the directory name of top with everything in it. That it
// is not there is no error.
func removeSnapshot(top *dir, name string) (Removed, error) {
	d, err := top.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Removed{}, nil
	} else if err != nil {
		return Removed{}, err
	}
	// Twice as many as there are processors: most wait for the disk.
	r := &removal{free: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
	err = r.dir(top, d, name)
	return Removed{Files: r.files.Load(), Freed: r.freed.Load()}, err
}

// A removal is a snapshot that is being removed, by several goroutines.
type removal struct {
	free         chan struct{} // has room when another goroutine may begin
	files, freed atomic.Int64
	// inodes are locked while one of their links is removed, so that it is
	// seen which was the last: many share a lock.
	inodes [64]sync.Mutex
}

// dir removes the directory d, which is name in parent, and closes it.
func (r *removal) dir(parent, d *dir, name string) (err error) {
	defer func() { err = errors.Join(err, d.Close()) }()
	for {
		n := 0
		var subs errgroup.Group
		err := d.each(func(entries []fs.DirEntry) error {
			n += len(entries)
			for _, e := range entries {
				if err := r.entry(d, e, &subs); err != nil {
					return err
				}
			}
			return nil
		})
		if err = errors.Join(err, subs.Wait()); err != nil {
			return err
		}
		// Some file systems skip entries while others are being removed.
		err = parent.remove(name, unix.AT_REMOVEDIR)
		if n == 0 || !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
			return err
		}
		if err := d.rewind(); err != nil {
			return err
		}
	}
}

// entry removes an entry of d: a directory in another goroutine of subs if one
// is free.
func (r *removal) entry(d *dir, e fs.DirEntry, subs *errgroup.Group) error {
	name := e.Name()
	if e.IsDir() {
		sub, err := d.open(name)
		if err != nil {
			return err
		}
		select {
		case r.free <- struct{}{}:
			subs.Go(func() error {
				defer func() { <-r.free }()
				return r.dir(d, sub, name)
			})
			return nil
		default:
			return r.dir(d, sub, name)
		}
	}
	if d.depth == 1 && name == recordName {
		return d.remove(name, 0)
	}
	r.files.Add(1)
	return r.unlink(d, name)
}

// unlink removes a file or a symbolic link of d.
func (r *removal) unlink(d *dir, name string) error {
	var st unix.Stat_t
	if err := d.stat(name, &st); err != nil {
		return err
	}
	mu := &r.inodes[st.Ino%uint64(len(r.inodes))]
	mu.Lock()
	defer mu.Unlock()
	if err := d.stat(name, &st); err != nil {
		return err
	}
	if err := d.remove(name, 0); err != nil {
		return err
	}
	if st.Nlink == 1 {
		r.freed.Add(st.Size)
	}
	return nil
}
