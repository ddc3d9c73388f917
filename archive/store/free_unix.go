//go:build !openbsd && !linux

package store

import "golang.org/x/sys/unix"

// freeBytes is what an unprivileged process may still write.
func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	err := unix.Statfs(dir, &st)
	return int64(st.Bavail) * int64(st.Bsize), err
}
