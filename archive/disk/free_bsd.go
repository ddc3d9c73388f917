//go:build !openbsd && !netbsd && !linux

package disk

import "golang.org/x/sys/unix"

// blockSize is the unit of free room.
func blockSize(st *unix.Statfs_t) int64 { return int64(st.Bsize) }
