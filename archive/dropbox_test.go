package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// TestExpireDropsLooksAgain: a run may take hours. What is in the drop box at its
// end is not what was listed at its beginning, unless it looks the same still.
func TestExpireDropsLooksAgain(t *testing.T) {
	t.Parallel()
	const text = "the file that was taken"
	for name, c := range map[string]struct {
		change  func(path string) error
		stays   bool
		refused string
	}{
		"as it was": {change: func(string) error { return nil }},
		"refused":   {func(string) error { return nil }, true, "it is not what the tree wants"},
		"longer":    {func(path string) error { return os.WriteFile(path, []byte(text+" and more"), 0o644) }, true, ""},
		"another of its size and time": {func(path string) error {
			other := path + ".other"
			return errors.Join(os.WriteFile(other, []byte("THE FILE THAT WAS TAKEN"), 0o644), os.Chtimes(other, archivetest.T0, archivetest.T0), os.Rename(other, path))
		}, true, ""},
		"later": {func(path string) error { return os.Chtimes(path, archivetest.T0, archivetest.T0.Add(time.Second)) }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := archivetest.New(t, layout.Flat())
			key := box.Put("n", catalog.Gentoo, true, text)
			drop := t.TempDir()
			path := filepath.Join(drop, "n")
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, archivetest.T0, archivetest.T0)); err != nil {
				t.Fatal(err)
			}
			box.Do(func(a *vault.Vault) {
				m, err := change(t.Context(), a, "test")
				if err != nil {
					t.Fatal(err)
				}
				if m.facts.Drops, err = listDrops(drop, m.v.Warn, a.Distfiles, a.State); err != nil {
					t.Fatal(err)
				}
				var b ledger.Batch
				b.PutDropped(&ledger.Dropped{Name: "n", File: m.facts.Drops["n"].ID, SHA256: key.SHA256, Since: archivetest.T0, Refused: c.refused})
				if err := errors.Join(m.v.Commit(&b), c.change(path), m.expireDrops(t.Context())); err != nil {
					t.Fatal(err)
				}
			})
			if _, err := os.Lstat(path); (err == nil) != c.stays {
				t.Errorf("the file in the drop box: %v", err)
			}
		})
	}
}

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
			part := filepath.Join(base, "part")
			if sums, _, err := new(mirror).importDrop(t.Context(), &plan.Reading{Drop: f}, part); !errors.Is(err, regular.ErrForeignLink) {
				t.Errorf("read %v, %v", sums, err)
			}
			if _, err := os.Lstat(part); err == nil {
				t.Error("a part is left")
			}
			fi, err := os.Lstat(filepath.Join(secret, "f"))
			if err != nil {
				t.Fatal(err)
			}
			tree, rel := treeOf(f)
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
