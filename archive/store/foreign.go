package store

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Foreign reports whether somebody else than this process can write to a file:
// its owner, its group or others. What is in the archive stays as it was verified
// only in files that are not.
func (s *Store) Foreign(fi fs.FileInfo) bool {
	uid, ok := ownerOf(fi)
	return fi.Mode().Perm()&0o022 != 0 || ok && uid != s.owners[0] && uid != s.owners[1]
}

// ownersHere are the user of this process and the one that it appears as on the
// file system of the archive: a server may know it by another number. Whoever has
// the directory of parts has the archive.
func (s *Store) ownersHere() (uids [2]uint32, err error) {
	fi, err := os.Stat(s.PartsDir())
	if err != nil {
		return uids, err
	}
	uid, ok := ownerOf(fi)
	if !ok {
		return uids, fmt.Errorf("%s: it has no owner", s.PartsDir())
	}
	return [2]uint32{uint32(os.Geteuid()), uid}, nil
}

func ownerOf(fi fs.FileInfo) (uid uint32, ok bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}
