package snapshot

import (
	"context"
	"io/fs"

	"golang.org/x/sys/unix"
)

// syncCopies says that copied files are to be synchronised one by one.
const syncCopies = false

// durable returns when everything in the snapshot is on the disk. One syncfs is as
// dear as a few fsyncs, and a snapshot has a directory for each content. File
// systems that have nothing to do in it (NFS, FUSE) get the bytes of copies by
// it, and have got the names already.
func durable(_ context.Context, view *dir) error {
	if err := unix.Syncfs(view.fd); err != nil {
		return &fs.PathError{Op: "syncfs", Path: view.Name(), Err: err}
	}
	return nil
}

// openBelow is openat that does not cross mounts either: a bind mount inside a
// snapshot would otherwise lose its files with the snapshot.
func openBelow(fd int, name string, flags int) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags), Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH}
	for {
		got, err := unix.Openat2(fd, name, &how)
		switch err {
		case unix.EINTR:
		case unix.ENOSYS, unix.EPERM:
			// A kernel before 5.6, or a sandbox that does not know it.
			return unix.Openat(fd, name, flags, 0)
		default:
			return got, err
		}
	}
}
