package regular

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// An ID tells a file in one state from every other file and every other state. Two
// are compared with ==. Times are in Unix nanoseconds.
type ID struct {
	Dev, Inode uint64
	Size       int64
	ModTime    int64
	// Changed is when anything about the file was changed last. Nobody can set it.
	Changed int64
}

// IDOf returns the ID of a file, zero where the system has none.
func IDOf(fi fs.FileInfo) ID {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}
	}
	return ID{uint64(st.Dev), st.Ino, fi.Size(), fi.ModTime().UnixNano(), changed(st)}
}

// IDOfStat is IDOf for what a system call has told of a file.
func IDOfStat(st *unix.Stat_t) ID {
	return ID{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}
