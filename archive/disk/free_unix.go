//go:build !openbsd && !netbsd

package disk

import (
	"math"

	"golang.org/x/sys/unix"
)

// Free returns how many bytes an unprivileged process may still write, and how
// many files it may still make, as far as the file system has a bound for that.
func Free(dir string) (bytes, files int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	if files = int64(st.Ffree); st.Files == 0 || files < 0 { // some say -1 for no bound
		files = math.MaxInt64
	}
	return int64(st.Bavail) * blockSize(&st), files, nil
}
