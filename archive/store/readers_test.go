package store

import (
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"distkeep/archive/disk"
)

// An owned file system has files of somebody else.
type owned struct{ disk.FS }

func (owned) Chmod(path string, _ fs.FileMode) error {
	return &os.PathError{Op: "chmod", Path: path, Err: syscall.EPERM}
}

// TestLetInMany: that readers are kept out of many files is said in one line.
func TestLetInMany(t *testing.T) {
	t.Parallel()
	s := openAt(t, t.TempDir(), conf(t))
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(s.Path(name), []byte(name), 0o200); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.shared.fs = owned{s.shared.fs}
	if err := l.LetIn(); err == nil || strings.Count(err.Error(), s.Published()) != 1 || !strings.Contains(err.Error(), "and 2 more") {
		t.Errorf("error is %v", err)
	}
}
