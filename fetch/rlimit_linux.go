package fetch

import "golang.org/x/sys/unix"

// limitFiles has the system end a process, and those that it starts from now on,
// when one of its files grows beyond n bytes.
func limitFiles(pid int, n int64) error {
	none := unix.Rlimit{}
	if err := unix.Prlimit(pid, unix.RLIMIT_CORE, &none, nil); err != nil {
		return err
	}
	most := unix.Rlimit{Cur: uint64(n), Max: uint64(n)}
	return unix.Prlimit(pid, unix.RLIMIT_FSIZE, &most, nil)
}
