package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestMake: a file is made with its mode and its bytes, and in the place of nothing.
func TestMake(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	before := descriptors(t)
	for _, data := range []string{"", "some bytes"} {
		if err := Make(path, []byte(data), 0o444); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if fi, serr := os.Lstat(path); err != nil || serr != nil || string(got) != data || fi.Mode() != 0o444 {
			t.Errorf("%q, %v, %v: %v", got, fi.Mode(), err, serr)
		}
		if err := Make(path, []byte("other"), 0o444); !errors.Is(err, fs.ErrExist) {
			t.Errorf("there is one: %v", err)
		}
		check(t, os.Remove(path), os.Symlink("away", path))
		if err := Make(path, nil, 0o444); !errors.Is(err, fs.ErrExist) {
			t.Errorf("by a dangling link: %v", err)
		}
		check(t, os.Remove(path))
	}
	if err := Make(filepath.Join(dir, "none", "f"), nil, 0o444); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors, there were %d", n, before)
	}
}
