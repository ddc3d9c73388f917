package disk

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/catalog/regular"
)

// A Syncer makes the whole file system of the published tree durable.
type Syncer struct {
	// Whole says that syncfs does what it promises here. Otherwise every
	// file and directory has to be synchronised by itself.
	Whole bool
	Dir   *os.File
}

// syncable are the file systems whose syncfs is known to write data and
// metadata to the disk and to report errors. Others, FUSE among them, may tell
// nobody behind them; overlayfs keeps the errors of its upper layer to itself.
var syncable = []int64{
	unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC,
	unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC,
	0xca451a4e, // bcachefs
	0x2fc12fc1, // ZFS
}

func NewSyncer(dir string) (Syncer, error) {
	f, err := regular.OpenDir(dir)
	if err != nil {
		return Syncer{}, err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		f.Close()
		return Syncer{}, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return Syncer{syncfsReports() && slices.Contains(syncable, int64(st.Type)), f}, nil
}

// syncfsReports reports whether syncfs returns the errors of writing, as it
// does since Linux 5.8.
func syncfsReports() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); n != 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}

// syncfs returns when everything written to the file system of dir before the call
// is durable. An error of writing since dir was opened, whosever data it was, is
// returned once.
func syncfs(dir *os.File) error {
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return &fs.PathError{Op: "syncfs", Path: dir.Name(), Err: err}
	}
	return nil
}

// Damaged are the errors of a file system that has found itself inconsistent.
var Damaged = []error{syscall.EUCLEAN, syscall.EBADMSG}

// A Mount is where files can be hard-linked to each other.
type Mount struct{ dev, id uint64 }

// MountOf returns the mount that dir is on. A bind mount of the same file
// system is another one: link(2) does not cross it.
func MountOf(dir string) (Mount, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return Mount{}, &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	m := Mount{dev: uint64(st.Dev)}
	var stx unix.Statx_t
	// Kernels before 5.8 do not know the mount; the device has to do.
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_MNT_ID, &stx); err == nil && stx.Mask&unix.STATX_MNT_ID != 0 {
		m.id = stx.Mnt_id
	}
	return m, nil
}

// blockSize is the unit of free room, which some file systems have smaller than their
// blocks.
func blockSize(st *unix.Statfs_t) int64 { return int64(st.Frsize) }
