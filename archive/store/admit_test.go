package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAdmit: a file from elsewhere is linked into recycle, or copied where somebody
// else could write to it, and stays where it is.
func TestAdmit(t *testing.T) {
	t.Parallel()
	s := open(t, "flat")
	dir := t.TempDir()
	old := time.Unix(1700000000, 0)
	for _, c := range []struct {
		name string
		mode os.FileMode
		link bool
	}{{"linked", 0o644, true}, {"copied", 0o664, false}} {
		src := filepath.Join(dir, c.name)
		write(t, src, "data of "+c.name)
		if err := errors.Join(os.Chmod(src, c.mode), os.Chtimes(src, old, old)); err != nil {
			t.Fatal(err)
		}
		x := content("a", "data of "+c.name)
		for range 2 { // again, as after a crash
			if err := s.Recycle.Admit(&x, src, look(src).Was); err != nil {
				t.Fatal(err)
			}
		}
		if got := inode(t, s.RecyclePath(&x)) == inode(t, src); got != c.link {
			t.Errorf("%s: recycle has a link: %v", c.name, got)
		}
		if data, err := os.ReadFile(s.RecyclePath(&x)); string(data) != "data of "+c.name {
			t.Errorf("%s: recycle has %q, %v", c.name, data, err)
		}
		if f := LookAt(s.RecyclePath(&x)); !f.ModTime.Equal(old) {
			t.Errorf("%s: the time in recycle is %v", c.name, f.ModTime)
		}
	}
	if left, _ := os.ReadDir(s.PartsDir()); len(left) > 0 {
		t.Errorf("left in parts: %v", left)
	}
}

// TestAdmitChanged: what is no longer the file that was read does not stay in
// recycle.
func TestAdmitChanged(t *testing.T) {
	t.Parallel()
	s := open(t, "flat")
	for _, mode := range []os.FileMode{0o644, 0o664} {
		src := filepath.Join(t.TempDir(), "a")
		write(t, src, "data")
		was := look(src).Was
		write(t, src, "evil")
		later := was.ModTime().Add(time.Second)
		if err := errors.Join(os.Chmod(src, mode), os.Chtimes(src, later, later)); err != nil {
			t.Fatal(err)
		}
		if mode == 0o664 {
			was = look(src).Was // it will be copied, and read once more
		}
		x := content("a", "data")
		if err := s.Recycle.Admit(&x, src, was); err == nil || exists(s.RecyclePath(&x)) {
			t.Errorf("mode %o: error %v, in recycle: %v", mode, err, exists(s.RecyclePath(&x)))
		}
	}
}
