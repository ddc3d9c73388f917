//go:build !linux

package snapshot

import (
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// syncCopies says that copied files are to be synchronised one by one.
const syncCopies = true

// durable returns when everything in the snapshot is on the disk. Only Linux has
// syncfs(2): here each directory is synchronised by itself.
func durable(ctx context.Context, view *dir) error {
	if err := view.rewind(); err != nil {
		return err
	}
	err := view.each(func(entries []fs.DirEntry) error {
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			sub, err := view.open(e.Name())
			if err != nil {
				return err
			}
			if err := errors.Join(durable(ctx, sub), sub.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, view.Sync())
}

func openBelow(fd int, name string, flags int) (int, error) {
	return unix.Openat(fd, name, flags, 0)
}
