package serve

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// A directory entry as getdents64(2) has it: the inode and a position of eight bytes
// each, the length of the entry, its type, and its name up to a zero.
const direntLen, direntType, direntName = 16, 18, 19

// readDir calls add with each entry of the directory f. Beside the names it looks at
// nothing but what is of no known type: there may be 100,000 of them.
func readDir(f *os.File, path string, add func(name []byte, dir bool)) error {
	fd := int(f.Fd())
	buf := make([]byte, 256<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return &os.PathError{Op: "read", Path: path, Err: err}
		case n <= 0:
			return nil
		}
		for b := buf[:n]; len(b) > 0; {
			length := binary.NativeEndian.Uint16(b[direntLen:])
			name, _, _ := bytes.Cut(b[direntName:length], []byte{0})
			dir := b[direntType] == unix.DT_DIR
			if b[direntType] == unix.DT_UNKNOWN {
				var st unix.Stat_t
				if err := unix.Fstatat(fd, string(name), &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
					dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
				}
			}
			if string(name) != "." && string(name) != ".." {
				add(name, dir)
			}
			b = b[length:]
		}
	}
}
