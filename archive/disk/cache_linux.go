package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// Uncache asks the kernel to drop the pages of f that are not to be written.
// It is advice: an error means that they stay.
func Uncache(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) }
