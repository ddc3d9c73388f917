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
	if files = st.F_favail; st.F_files == 0 || files < 0 { // some say -1 for no bound
		files = math.MaxInt64
	}
	return st.F_bavail * int64(st.F_bsize), files, nil
}
