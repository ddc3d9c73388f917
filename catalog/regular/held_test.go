package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// descriptors counts the descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// TestHeld makes changes in directories that are held, whatever becomes of those.
func TestHeld(t *testing.T) {
	dir, at := newTree(t)
	tree := NewTree(at(""))
	before := descriptors(t)
	h := new(Held)
	mkdir := func(rel string) error {
		return h.Within(tree, rel, func(dir int, base string) error { return unix.Mkdirat(dir, base, 0o755) })
	}
	there := func(rel string) bool {
		_, err := os.Lstat(at(rel))
		return err == nil
	}
	var g sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		g.Go(func() {
			for rel := "sub"; len(rel) < 16; {
				rel += "/" + name
				if err := mkdir(rel); err != nil || !there(rel) {
					t.Errorf("%s: %v", rel, err)
				}
			}
		})
	}
	g.Wait()
	// sub, and below it three in each of four, are held with the root.
	if n := len(h.dirs); n != 1+1+4*2 {
		t.Errorf("%d directories are held", n)
	}
	if err := mkdir("none/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
	if err := mkdir("sub/f/x"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("in a file: %v", err)
	}
	if err := mkdir("../x"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("outside: %v", err)
	}

	// What was removed and made anew is the new one.
	check(t, os.RemoveAll(at("sub")), os.MkdirAll(at("sub/a/a"), 0o755))
	if err := mkdir("sub/a/new"); err != nil || !there("sub/a/new") {
		t.Errorf("in a directory that was made anew: %v", err)
	}
	// What is a link of somebody else now is not followed, nor is it on the way.
	check(t, os.Rename(at("sub"), at("was")), os.Symlink(filepath.Join(dir, "secret"), at("sub")))
	chown(t, at("sub"))
	if err := mkdir("sub/secret"); err == nil && !there("was/secret") {
		t.Error("led elsewhere by a link")
	}
	other := new(Held)
	if err := other.Within(tree, "sub/x", func(int, string) error { return nil }); !errors.Is(err, ErrForeignLink) {
		t.Errorf("through somebody else's link: %v", err)
	}
	other.Close()

	h.Close()
	if n := descriptors(t); n != before {
		t.Errorf("%d descriptors, there were %d", n, before)
	}
	if err := mkdir("was/after"); err != nil || descriptors(t) != before {
		t.Errorf("closed: %v, %d descriptors", err, descriptors(t))
	}
}

// TestHeldBound: whoever comes through very many directories holds some of them.
func TestHeldBound(t *testing.T) {
	_, at := newTree(t)
	before := descriptors(t)
	h := new(Held)
	defer h.Close()
	for i := range 2 * maxHeld {
		rel := "sub/" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		check(t, os.Mkdir(at(rel), 0o755), h.Within(NewTree(at("")), rel+"/x", func(dir int, base string) error { return unix.Mkdirat(dir, base, 0o755) }))
	}
	if n := descriptors(t); n > before+maxHeld {
		t.Errorf("%d descriptors are open, %d were", n, before)
	}
}
