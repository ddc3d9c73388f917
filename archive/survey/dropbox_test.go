package survey

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"distkeep/archive/plan"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// TestDropBoxLed: whoever fills the drop box may replace a directory in it after
// it was listed. Nothing that a symbolic link leads to is read or removed.
func TestDropBoxLed(t *testing.T) {
	t.Parallel()
	for _, led := range []string{"outside", "inside"} {
		t.Run(led, func(t *testing.T) {
			t.Parallel()
			base := t.TempDir()
			box, sub := filepath.Join(base, "box"), filepath.Join(base, "box", "sub")
			secret := map[string]string{"outside": filepath.Join(base, "secret"), "inside": filepath.Join(box, ".hidden")}[led]
			for _, dir := range []string{sub, secret} {
				if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "f"), []byte("secret"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			drops, err := listDrops(box, t.Errorf)
			f := drops["sub/f"]
			if err != nil || len(drops) != 1 || f == nil {
				t.Fatalf("%v, %v", drops, err)
			}
			if err := errors.Join(os.Rename(sub, sub+".old"), os.Symlink(secret, sub)); err != nil {
				t.Fatal(err)
			}
			if file, err := OpenDrop(f); !errors.Is(err, regular.ErrForeignLink) {
				t.Errorf("opened %v, %v", file, err)
			}
			fi, err := os.Lstat(filepath.Join(secret, "f"))
			if err != nil {
				t.Fatal(err)
			}
			tree, rel := TreeOf(f)
			if err := tree.Remove(rel, regular.IDOf(fi)); !errors.Is(err, regular.ErrForeignLink) {
				t.Errorf("removal: %v", err)
			}
			if _, err := os.Lstat(filepath.Join(secret, "f")); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestListDrops: what is no regular file is left alone, and nobody waits for it.
func TestListDrops(t *testing.T) {
	t.Parallel()
	box := t.TempDir()
	at := func(rel string) string { return filepath.Join(box, rel) }
	err := errors.Join(os.MkdirAll(at("a/b"), 0o755), os.Mkdir(at(".git"), 0o755), os.WriteFile(at("x"), nil, 0o644), os.WriteFile(at("a/b/y"), []byte("y"), 0o644),
		os.WriteFile(at(".git/z"), nil, 0o644), os.WriteFile(at(".z"), nil, 0o644), os.Symlink("x", at("link")), os.Symlink("a", at("dir")))
	if err != nil {
		t.Fatal(err)
	}
	var warned []string
	drops, err := listDrops(box, func(format string, args ...any) { warned = append(warned, fmt.Sprintf(format, args...)) })
	var names []catalog.Name
	for _, f := range plan.SortedDrops(drops) {
		names = append(names, f.Name)
	}
	if got := fmt.Sprint(names, err, len(warned)); got != "[a/b/y x] <nil> 2" {
		t.Errorf("got %s; warnings: %q", got, warned)
	}
}
