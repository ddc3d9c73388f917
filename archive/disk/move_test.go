package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMove: what moves is there and nowhere else, and replaces nothing.
func TestMove(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(from int, old string, to int, name string) error{"in one": move, "in two": linkAndRemove} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			put := func(name string) {
				if err := os.WriteFile(at(name), []byte(name), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			put("a")
			put("b")
			d := New(dir)
			move := func(src, dst string) error { return d.rename(at(src), at(dst), how) }
			if err := move("a", "b"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("onto a file: %v", err)
			}
			if err := os.Link(at("a"), at("same")); err != nil {
				t.Fatal(err)
			}
			if err := move("a", "same"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("onto a link to itself: %v", err)
			}
			if err := move("a", "b/x"); !errors.Is(err, unix.ENOTDIR) {
				t.Errorf("below a file: %v", err)
			}
			if err := move("none", "c"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("from nothing: %v", err)
			}
			if err := move("a", "c"); err != nil {
				t.Error(err)
			}
			for name, want := range map[string]string{"a": "", "b": "b", "c": "a"} {
				if got, _ := os.ReadFile(at(name)); string(got) != want {
					t.Errorf("%s has %q, want %q", name, got, want)
				}
			}
		})
	}
}
