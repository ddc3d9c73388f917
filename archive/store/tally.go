package store

import (
	"errors"
	"io/fs"
	"os"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
)

// Tally counts the files of a directory of the archive, such as that of the parts, with
// the bytes that they have. What goes meanwhile is not counted.
func (*Store) Tally(dir string) (c layout.Count, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	for _, e := range entries {
		if fi, err := e.Info(); err == nil && fi.Mode().IsRegular() {
			c.Add(fi.Size())
		}
	}
	return c, nil
}

// Free returns how many bytes may still be written where the published tree is, and
// where the state is.
func (s *Store) Free() (published, state int64, err error) {
	if published, _, err = disk.Free(s.published); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: s.published, Err: err}
	}
	if state, _, err = disk.Free(s.state); err != nil {
		return 0, 0, &fs.PathError{Op: "statfs", Path: s.state, Err: err}
	}
	return published, state, nil
}
