//go:build !linux

package serve

import (
	"os"

	"golang.org/x/sys/unix"
)

// readDir calls add with each entry of the directory f, which is at path. The file of a
// root would look at every file in it: this one does where the file system does not tell
// what is a directory.
func readDir(f *os.File, path string, add func(name []byte, dir bool)) error {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	d := os.NewFile(uintptr(fd), path)
	defer d.Close()
	entries, err := d.ReadDir(-1)
	for _, e := range entries {
		add([]byte(e.Name()), e.IsDir())
	}
	return err
}
