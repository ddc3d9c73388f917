package store

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"distkeep/catalog"
)

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
	left, err := s.Parts.LeftOvers(now)
	if err != nil || len(left) != 2 {
		t.Fatalf("LeftOvers = %v, %v; want two", left, err)
	}
	if _, err := s.Parts.Sweep(now); err != nil {
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

func TestPartPath(t *testing.T) {
	t.Parallel()
	s := open(t)
	want := aWant
	if got := filepath.Base(s.Parts.Path("a-1.tar", want)); got != "a-1.tar."+want+".part" {
		t.Errorf("part = %q", got)
	}
	long := strings.Repeat("x", 255)
	seen := make(map[string]catalog.Name)
	for _, n := range []catalog.Name{"x", "sub/x", "sub2/x", catalog.Name(long), catalog.Name(long[:254] + "y"), catalog.Name(long[:240])} {
		p := s.Parts.Path(n, want)
		if len(filepath.Base(p)) > 255 {
			t.Errorf("part of %.10s… has %d bytes", n, len(filepath.Base(p)))
		}
		if filepath.Dir(p) != s.PartsDir() || !strings.HasSuffix(p, ".part") {
			t.Errorf("part = %q", p)
		}
		if o, dup := seen[p]; dup {
			t.Errorf("%.20s and %.20s have one part", o, n)
		}
		seen[p] = n
	}
	publish(t, s, catalog.Name(long), "long")
	if got, err := os.ReadFile(s.Path(long)); err != nil || string(got) != "long" {
		t.Errorf("long name: %q, %v", got, err)
	}
}

func TestSweepParts(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	age := func(path string, d time.Duration) {
		if err := os.Chtimes(path, now.Add(-d), now.Add(-d)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(s.PartsDir(), name) }

	fresh, old := part(t, s, "fresh", "f"), part(t, s, "old", "o")
	age(fresh.Part, 14*24*time.Hour)
	age(old.Part, 14*24*time.Hour+time.Second)
	linked := in("linked.part") // as a commit leaves it that was killed
	publish(t, s, "linked", "l")
	if err := os.Link(s.Path("linked"), linked); err != nil {
		t.Fatal(err)
	}
	age(linked, 0)
	// A distfile whose own name looks like that of a temporary link.
	tricky := part(t, s, "link.1", "t")
	age(tricky.Part, 0)
	write(t, in("link.7"), "")
	age(in("link.7"), 0)
	if err := os.Symlink("/nowhere", in("symlink")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(in("directory"), 0o755); err != nil {
		t.Fatal(err)
	}
	age(in("directory"), 1000*24*time.Hour)
	future := part(t, s, "future", "f")
	age(future.Part, -1000*24*time.Hour)

	whole, err := s.Parts.Sweep(now)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(whole, []string{linked}) {
		t.Errorf("whole = %q, want %q", whole, linked)
	}
	for path, want := range map[string]bool{
		fresh.Part: true, old.Part: false, linked: true, tricky.Part: true, future.Part: true,
		in("link.7"): false, in("directory"): true,
	} {
		if exists(path) != want {
			t.Errorf("%s is kept: %v, want %v", filepath.Base(path), !want, want)
		}
	}
}
