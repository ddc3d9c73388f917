package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distkeep/catalog/digest"
)

func TestScrub(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	data := strings.Repeat("0123456789", 100_000)
	write(t, path, data)
	for name, text := range map[string]string{"empty": "", "several reads": data} {
		write(t, path, text)
		waited := 0
		sum, fi, err := Scrub(t.Context(), path, func(_ context.Context, n int) error { waited += n; return nil })
		if err != nil || sum != digest.SHA256.Sum([]byte(text)) || fi.Size() != int64(len(text)) {
			t.Errorf("%s: Scrub = %v, %v, %v", name, sum, fi, err)
		}
		if waited < len(text) {
			t.Errorf("%s: waited for %d of %d bytes", name, waited, len(text))
		}
	}
	stop := errors.New("stop")
	if _, _, err := Scrub(t.Context(), path, func(context.Context, int) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of wait: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, _, err := Scrub(ctx, path, nil); !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
	grow := func(context.Context, int) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("more")
		return errors.Join(err, f.Close())
	}
	if _, _, err := Scrub(t.Context(), path, grow); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
		t.Errorf("growing file: %v", err)
	}
	if _, _, err := Scrub(t.Context(), t.TempDir(), nil); err == nil {
		t.Error("a directory was read")
	}
}

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
	kept, err := s.SetAside("damaged.x", stat(one), []string{one, link, other, s.Path("missing")})
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
	if again, err := s.SetAside("damaged.x", stat(one), []string{one}); err != nil || again != kept {
		t.Errorf("the same file again: %q, %v", again, err)
	}
	write(t, one, "worse")
	second, err := s.SetAside("damaged.x", stat(one), []string{one})
	if err != nil || second != filepath.Join(s.QuarantineDir(), "damaged.x.1") {
		t.Errorf("another file: %q, %v", second, err)
	}
	for path, want := range map[string]string{kept: "bad", second: "worse"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", path, got, err, want)
		}
	}
	if none, err := s.SetAside("damaged.x", stat(kept), []string{other}); err != nil || none != "" {
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
	if _, err := s.SetAside("unknown", fi, []string{path}); err != nil {
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

// TestLeftOvers: it names just what SweepParts removes.
func TestLeftOvers(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Now()
	for name, age := range map[string]time.Duration{"old.part": partAge + time.Hour, "new.part": time.Hour, tempPrefix + "1": 0} {
		path := filepath.Join(s.PartsDir(), name)
		write(t, path, "x")
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	left, err := s.LeftOvers(now)
	if err != nil || len(left) != 2 {
		t.Fatalf("LeftOvers = %v, %v; want two", left, err)
	}
	if _, err := s.SweepParts(now); err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("SweepParts has left %s", path)
		}
	}
	if _, err := os.Lstat(filepath.Join(s.PartsDir(), "new.part")); err != nil {
		t.Error(err)
	}
}
