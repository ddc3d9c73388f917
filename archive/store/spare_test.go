package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
)

// A fullDisk has a MiB free once it is full.
type fullDisk struct {
	disk.FS
	full bool
}

func (d *fullDisk) Free(dir string) (bytes, files int64, err error) {
	if d.full {
		return 1 << 20, 1 << 20, nil
	}
	return d.FS.Free(dir)
}

// TestSpareRoom: for what can be done without, the reserve is not given up, for what
// cannot, it is.
func TestSpareRoom(t *testing.T) {
	t.Parallel()
	dir, d := t.TempDir(), new(fullDisk)
	distfiles, state := filepath.Join(dir, "distfiles"), filepath.Join(dir, "state")
	if err := errors.Join(os.Mkdir(distfiles, 0o755), os.Mkdir(state, 0o755)); err != nil {
		t.Fatal(err)
	}
	s, err := Open(distfiles, state, layout.Conf{layout.Flat()}, func(under disk.FS) disk.FS { d.FS = under; return d })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := errors.Join(s.KeepReserve(1), s.SpareRoom(2<<20)); err != nil {
		t.Fatal(err)
	}
	d.full = true
	if err := s.SpareRoom(2 << 20); !Broken(err) || s.GivenUp() {
		t.Errorf("SpareRoom: %v, the reserve was given up: %v", err, s.GivenUp())
	}
	if err := s.SpareRoom(1 << 20); err != nil {
		t.Errorf("SpareRoom for what there is: %v", err)
	}
	if err := s.StateRoom(2 << 20); !Broken(err) || !s.GivenUp() {
		t.Errorf("StateRoom: %v, the reserve was given up: %v", err, s.GivenUp())
	}
}
