package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestSetAside: nothing in quarantine is ever replaced, and only links to the
// file that is meant go.
func TestSetAside(t *testing.T) {
	t.Parallel()
	s := open(t)
	stat := func(path string) os.FileInfo {
		t.Helper()
		fi, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fi
	}
	one, link, other := s.Path("one"), s.Path("ab/link"), s.Path("other")
	write(t, one, "bad")
	write(t, other, "good")
	if err := errors.Join(os.Mkdir(s.Path("ab"), 0o755), os.Link(one, link)); err != nil {
		t.Fatal(err)
	}
	kept, err := s.Quarantine.SetAside("damaged.x", stat(one), []string{one, link, other, s.Path("missing")})
	if err != nil || kept != filepath.Join(s.QuarantineDir(), "damaged.x.0") {
		t.Fatalf("SetAside = %q, %v", kept, err)
	}
	for _, gone := range []string{one, link, filepath.Dir(link)} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	stat(other)
	if err := os.Link(kept, one); err != nil { // a crash came before the unlink
		t.Fatal(err)
	}
	if again, err := s.Quarantine.SetAside("damaged.x", stat(one), []string{one}); err != nil || again != kept {
		t.Errorf("the same file again: %q, %v", again, err)
	}
	write(t, one, "worse")
	second, err := s.Quarantine.SetAside("damaged.x", stat(one), []string{one})
	if err != nil || second != filepath.Join(s.QuarantineDir(), "damaged.x.1") {
		t.Errorf("another file: %q, %v", second, err)
	}
	for path, want := range map[string]string{kept: "bad", second: "worse"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", path, got, err, want)
		}
	}
	if none, err := s.Quarantine.SetAside("damaged.x", stat(kept), []string{other}); err != nil || none != "" {
		t.Errorf("no link to it: %q, %v", none, err)
	}
	if err := s.SyncRemoved(); err != nil {
		t.Error(err)
	}
}

// TestSetAsideRecycled: recycle itself stays when its last file goes.
func TestSetAsideRecycled(t *testing.T) {
	t.Parallel()
	s := open(t)
	dir := filepath.Join(s.RecycleDir(), "digest")
	path := filepath.Join(dir, "f")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, path, "bad")
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Quarantine.SetAside("unknown", fi, []string{path}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("the empty directory is still there")
	}
	if _, err := os.Lstat(s.RecycleDir()); err != nil {
		t.Error(err)
	}
	if !s.Prune(dir) {
		t.Error("Prune of what is gone says that it is there")
	}
	write(t, s.Path("f"), "x")
	if s.Prune(s.Published()) {
		t.Error("Prune has removed the published tree")
	}
	if err := s.SyncRemoved(); err != nil {
		t.Error(err)
	}
}
