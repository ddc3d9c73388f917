package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

func pathsOf(l *Listing) []string {
	names := make(map[string]bool)
	l.All(func(rel string, _ layout.File) bool {
		names[rel] = true
		return true
	})
	return slices.Sorted(maps.Keys(names))
}

func TestList(t *testing.T) {
	t.Parallel()
	s := open(t, "flat", "filename-hash BLAKE2B 8", "content-hash SHA512 8:8")
	a := publish(t, s, "a", "data")
	for _, f := range []string{"layout.conf", "lastsync", "distinfo", "history", ".hidden", "zz/not a bucket", "ab/.hidden", "ab/cd/ef/too deep"} {
		write(t, s.Path(f), f)
	}
	write(t, s.Path("sub/x"), "openbsd")
	if err := os.Symlink("a", s.Path("symlink")); err != nil {
		t.Fatal(err)
	}
	l, err := s.List(t.Context(), s.Layouts()...)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(paths(t, s, a)[1:]))
	if got := pathsOf(l); !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	fi, err := os.Stat(s.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	// by_cipher, sub-directories and hidden names are looked up.
	for _, rel := range append(want, a.CipherPaths()[0]) {
		if f, ok := l.Get(rel); !ok || f.Size != 4 || !f.ModTime.Equal(fi.ModTime()) {
			t.Errorf("Get(%q) = %v, %v", rel, f, ok)
		}
	}
	for rel, want := range map[string]bool{"sub/x": true, ".hidden": true, "sub": false, "symlink": false, "missing": false, "sub/missing": false} {
		if _, ok := l.Get(rel); ok != want {
			t.Errorf("Get(%q) = %v, want %v", rel, ok, want)
		}
	}
	// What is in the way of a file is known without another look.
	for rel, want := range map[string]layout.Blocked{"sub": layout.ByDir, "sub/x/y": layout.ByFile, "ab/cd": layout.ByDir, "a": 0, "symlink": 0, "missing": 0, "sub/x": 0} {
		if f, _ := l.Get(rel); f.Blocked != want {
			t.Errorf("Get(%q) is blocked by %v, want %v", rel, f.Blocked, want)
		}
	}
	// Misses and hits are remembered until Set says otherwise.
	write(t, s.Path("sub/missing"), "")
	if _, ok := l.Get("sub/missing"); ok {
		t.Error("the listing has changed by itself")
	}
	now := time.Now().UTC().Round(0)
	for _, f := range []layout.File{{Size: 8, ModTime: now, Links: 2}, {Size: 9, ModTime: now}, {Size: 10, ModTime: now, Foreign: true}, {Size: 0, ModTime: now}} {
		l.Set("put", f)
		if got, ok := l.Get("put"); !ok || got != f || !slices.Contains(pathsOf(l), "put") {
			t.Errorf("Set %v, and got %v", f, got)
		}
	}
	l.Set("put", layout.File{Size: -1})
	if _, ok := l.Get("put"); ok || slices.Contains(pathsOf(l), "put") {
		t.Error("put is listed after Set said that it is gone")
	}
	l.Set("sub/missing", layout.File{Size: 7})
	l.Set("a", layout.File{Size: -1})
	if f, ok := l.Get("sub/missing"); !ok || f.Size != 7 {
		t.Errorf("after Set: %v, %v", f, ok)
	}
	if _, ok := l.Get("a"); ok || slices.Contains(pathsOf(l), "a") {
		t.Error("a is listed after Set said that it is gone")
	}
	calls := 0
	l.All(func(string, layout.File) bool { calls++; return false })
	if calls != 1 {
		t.Errorf("All went on after false: %d calls", calls)
	}
}

// TestListMany crosses the size of the pieces that are looked at in parallel.
func TestListMany(t *testing.T) {
	t.Parallel()
	s := open(t, "flat", "filename-hash BLAKE2B 4")
	want := make(map[string]int64)
	for i := range 5000 {
		name := fmt.Sprintf("f%04d", i)
		if i%2 == 0 {
			l := s.Layouts()[1]
			name, _ = l.Path(catalog.Name(name), nil)
		}
		write(t, s.Path(name), name[:i%3])
		want[name] = int64(i % 3)
	}
	l, err := s.List(t.Context(), s.Layouts()...)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int64)
	l.All(func(rel string, f layout.File) bool { got[rel] = f.Size; return true })
	if !maps.Equal(got, want) {
		t.Errorf("listed %d files, want %d", len(got), len(want))
	}
}

func TestListFails(t *testing.T) {
	t.Parallel()
	s := open(t)
	write(t, s.Path("a"), "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.List(ctx, layout.Flat()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := os.RemoveAll(s.Published()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(t.Context(), layout.Flat()); err == nil {
		t.Error("a published tree that is gone is taken for an empty one")
	}
	if err := os.MkdirAll(filepath.Join(s.Published()), 0o755); err != nil {
		t.Fatal(err)
	}
}
