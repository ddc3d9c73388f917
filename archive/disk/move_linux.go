package disk

import (
	"errors"

	"golang.org/x/sys/unix"
)

func move(from int, old string, to int, name string) error {
	err := unix.Renameat2(from, old, to, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // the file system, or the kernel, cannot
		return linkAndRemove(from, old, to, name)
	}
	return err
}
