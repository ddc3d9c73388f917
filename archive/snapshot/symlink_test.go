package snapshot

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/layout"
)

// TestLinkedDirectory: what a symbolic link to a directory outside the published
// tree leads to is in the snapshot as it was, whatever becomes of it later.
func TestLinkedDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "aaaa")
	outside := filepath.Join(filepath.Dir(w.tree), "outside")
	w.check(os.MkdirAll(filepath.Join(outside, "deep"), 0o755))
	w.check(os.WriteFile(filepath.Join(outside, "deep", "file"), []byte("old"), 0o444))
	w.check(os.WriteFile(filepath.Join(outside, "core.db"), []byte("index"), 0o444))
	w.check(os.Symlink(outside, filepath.Join(w.tree, "out")))
	w.check(os.Symlink("../outside/deep", filepath.Join(w.tree, "deeper")))
	w.check(os.Symlink("nothing", filepath.Join(w.tree, "dangling")))
	w.check(os.Mkdir(filepath.Join(w.tree, "sub"), 0o755))
	w.check(os.Symlink("../sub", filepath.Join(w.tree, "sub", "self")))
	cipher := filepath.Join(filepath.Dir(w.tree), "cipher")
	w.check(os.Rename(filepath.Join(w.tree, layout.ByCipherDir), cipher))
	w.check(os.Symlink(cipher, filepath.Join(w.tree, layout.ByCipherDir)))

	one := w.create(CreateOptions{})
	view := sums(t, w.view(one))
	for path, want := range map[string]string{
		"out": "dir", "out/deep": "dir", "out/deep/file": hexSum("old"), "out/core.db": hexSum("index"),
		"deeper/file": hexSum("old"), "dangling": "nothing", "sub/self": "../sub", cipherPath(t, "a", "aaaa"): hexSum("aaaa"),
	} {
		if view[path] != want {
			t.Errorf("%s is %q, want %q", path, view[path], want)
		}
	}
	if !one.ByCipher {
		t.Error("the snapshot has by_cipher, and its record says otherwise")
	}
	if diff := changes(t, w, one.Name); diff != "" {
		t.Errorf("differs from the tree:\n%s", diff)
	}
	w.check(os.WriteFile(filepath.Join(outside, "new"), []byte("new"), 0o444))
	w.check(os.Remove(filepath.Join(outside, "deep", "file")))
	if diff := cmp.Diff(view, sums(t, w.view(one))); diff != "" {
		t.Errorf("the snapshot has changed:\n%s", diff)
	}
	if got, want := changes(t, w, one.Name), "- deeper/file\n+ out/new\n- out/deep/file\n"; got != want {
		t.Errorf("changes are:\n%swant:\n%s", got, want)
	}
	two := w.create(CreateOptions{NoByCipher: true})
	if _, err := os.Lstat(filepath.Join(w.view(two), layout.ByCipherDir)); err == nil || two.ByCipher {
		t.Errorf("by_cipher is there, or said to be: %+v", two)
	}
	w.check(os.Remove(filepath.Join(w.tree, layout.ByCipherDir)))
	if three := w.create(CreateOptions{}); three.ByCipher {
		t.Error("there is no by_cipher, and the record says otherwise")
	}
	_, err := w.d.Remove(t.Context(), one.Name, two.Name)
	w.check(err)
	if n := len(listDir(t, outside)); n != 3 {
		t.Errorf("%d entries are left outside, want 3", n)
	}
}

// TestLinkRefused: a link that cannot be followed, and would not mean the same in
// a snapshot, is an error that names it.
func TestLinkRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		link func(w *world) error
		want string
	}{
		"absolute inside": {func(w *world) error { return os.Symlink(filepath.Join(w.tree, "sub"), filepath.Join(w.tree, "bad")) }, "only a relative link"},
		"around":          {func(w *world) error { return os.Symlink("..", filepath.Join(w.tree, "bad")) }, "which it is in"},
		"circle": {func(w *world) error {
			a := filepath.Join(filepath.Dir(w.tree), "a")
			w.check(os.Mkdir(a, 0o755))
			w.check(os.Symlink(".", filepath.Join(a, "bad")))
			return os.Symlink("../a", filepath.Join(w.tree, "a"))
		}, "which it is in"},
		"other file system": {func(w *world) error { return os.Symlink("/proc/self", filepath.Join(w.tree, "bad")) }, "another file system"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish("sub/a", "a")
			w.check(c.link(w))
			if _, err := os.Stat("/proc/self"); err != nil && name == "other file system" {
				t.Skip(err)
			}
			_, err := w.d.Create(t.Context(), w.tree, CreateOptions{})
			if err == nil || !strings.Contains(err.Error(), "/bad: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Create: %v, want %q", err, c.want)
			}
			if left := listDir(t, w.dir); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// changes are those of the published tree since a snapshot.
func changes(t *testing.T, w *world, name string) string {
	t.Helper()
	a, err := w.d.OpenSnapshot(name)
	w.check(err)
	defer a.Close()
	b, err := OpenTree(w.tree)
	w.check(err)
	defer b.Close()
	var text strings.Builder
	w.check(Diff(t.Context(), a, b, func(c Change) error {
		text.WriteString(c.Op + " " + c.Name + "\n")
		return nil
	}))
	return text.String()
}

// TestForeignLink: what a symbolic link leads to that somebody else has put into
// the published tree is not copied, and does not stop the snapshot.
func TestForeignLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "aaaa")
	secret := filepath.Join(filepath.Dir(w.tree), "secret")
	w.check(os.Mkdir(secret, 0o700))
	w.check(os.WriteFile(filepath.Join(secret, "id_rsa"), []byte("private"), 0o600))
	w.check(os.Symlink(secret, filepath.Join(w.tree, "out")))
	if err := os.Lchown(filepath.Join(w.tree, "out"), 12345, 12345); err != nil {
		t.Skip(err)
	}
	one := w.create(CreateOptions{})
	for path, got := range sums(t, w.view(one)) {
		if strings.HasPrefix(path, "out") {
			t.Errorf("%s is %q", path, got)
		}
	}
	if one.Files != 1 {
		t.Errorf("%d files, want 1", one.Files)
	}
	if diff := changes(t, w, one.Name); diff != "" {
		t.Errorf("differs from the tree:\n%s", diff)
	}
}
