package regular

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// newTree makes the tree DIR/t with the file sub/f, and DIR/secret/f beside it.
func newTree(t *testing.T) (dir string, at func(string) string) {
	t.Helper()
	dir = t.TempDir()
	at = func(rel string) string { return filepath.Join(dir, "t", rel) }
	check(t, os.MkdirAll(at("sub"), 0o755), os.Mkdir(filepath.Join(dir, "secret"), 0o700),
		os.WriteFile(at("sub/f"), []byte("content"), 0o644), os.WriteFile(filepath.Join(dir, "secret", "f"), []byte("secret"), 0o600))
	return dir, at
}

func TestTree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		put            func(t *testing.T, dir string, at func(string) string)
		trusts, strict error // nil: "content" is read; errRead: "secret" is
	}{
		{"as it is", func(*testing.T, string, func(string) string) {}, nil, nil},
		{"nothing", func(t *testing.T, _ string, at func(string) string) { check(t, os.RemoveAll(at("sub"))) }, fs.ErrNotExist, fs.ErrNotExist},
		{"file", func(t *testing.T, _ string, at func(string) string) {
			check(t, os.RemoveAll(at("sub")), os.WriteFile(at("sub"), nil, 0o644))
		}, syscall.ENOTDIR, syscall.ENOTDIR},
		{"FIFO", func(t *testing.T, _ string, at func(string) string) {
			check(t, os.RemoveAll(at("sub")), syscall.Mkfifo(at("sub"), 0o644))
		}, syscall.ENOTDIR, syscall.ENOTDIR},
		{"FIFO in the place of the file", func(t *testing.T, _ string, at func(string) string) {
			check(t, os.Remove(at("sub/f")), syscall.Mkfifo(at("sub/f"), 0o644))
		}, ErrIrregular, ErrIrregular},
		{"link in the place of the file", func(t *testing.T, _ string, at func(string) string) {
			check(t, os.Rename(at("sub/f"), at("g")), os.Symlink(at("g"), at("sub/f")))
		}, ErrIrregular, ErrIrregular},
		{"our link, absolute", func(t *testing.T, dir string, at func(string) string) {
			check(t, os.RemoveAll(at("sub")), os.Symlink(filepath.Join(dir, "secret"), at("sub")))
		}, errSecret, ErrForeignLink},
		{"our link, relative, by way of another", func(t *testing.T, _ string, at func(string) string) {
			check(t, os.RemoveAll(at("sub")), os.Mkdir(at("d"), 0o755), os.Symlink("../../secret/../secret", at("d/l")), os.Symlink("d/l", at("sub")))
		}, errSecret, ErrForeignLink},
		{"our link to itself", func(t *testing.T, _ string, at func(string) string) {
			check(t, os.RemoveAll(at("sub")), os.Symlink("sub", at("sub")))
		}, syscall.ELOOP, ErrForeignLink},
		{"somebody else's link", func(t *testing.T, dir string, at func(string) string) {
			check(t, os.RemoveAll(at("sub")), os.Symlink(filepath.Join(dir, "secret"), at("sub")))
			chown(t, at("sub"))
		}, ErrForeignLink, ErrForeignLink},
		{"our link to somebody else's", func(t *testing.T, dir string, at func(string) string) {
			check(t, os.RemoveAll(at("sub")), os.Symlink(filepath.Join(dir, "secret"), at("l")), os.Symlink("l", at("sub")))
			chown(t, at("l"))
		}, ErrForeignLink, ErrForeignLink},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, at := newTree(t)
			c.put(t, dir, at)
			for tree, want := range map[Tree]error{NewTree(at("")): c.trusts, NewStrictTree(at("")): c.strict} {
				got := read(tree, "sub/f")
				if !errors.Is(got, want) {
					t.Errorf("%+v: %v, want %v", tree, got, want)
				}
				if errors.Is(want, ErrForeignLink) && !errors.Is(got, syscall.ENOTDIR) {
					t.Errorf("%v is not ENOTDIR", got)
				}
			}
		})
	}
}

var errSecret = errors.New("secret")

func read(tree Tree, rel string) error {
	f, err := tree.Open(rel)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if string(text) == "secret" {
		return errSecret
	}
	return err
}

// TestTreeRemove: a file is removed when it is the one that was looked at, and
// nothing outside the tree ever is.
func TestTreeRemove(t *testing.T) {
	t.Parallel()
	dir, at := newTree(t)
	tree := NewStrictTree(at(""))
	look := func() ID {
		fi, err := os.Lstat(at("sub/f"))
		check(t, err)
		return IDOf(fi)
	}
	was := look()
	fi, err := os.Lstat(at("sub/f"))
	check(t, err, os.WriteFile(at("new"), []byte("CONTENT"), 0o644), os.Chtimes(at("new"), fi.ModTime(), fi.ModTime()), os.Rename(at("new"), at("sub/f")))
	if err := tree.Remove("sub/f", was); !errors.Is(err, ErrChanged) {
		t.Errorf("another file of the same size and time: %v", err)
	}
	was = look()
	check(t, os.Rename(at("sub"), at("old")), os.Symlink("old", at("sub")))
	if err := tree.Remove("sub/f", was); !errors.Is(err, ErrForeignLink) {
		t.Errorf("through a symbolic link: %v", err)
	}
	check(t, os.Remove(at("sub")), os.Rename(at("old"), at("sub")))
	check(t, tree.Remove("sub/f", was))
	if err := tree.Remove("sub/f", was); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is gone: %v", err)
	}
	for _, rel := range []string{"..", ".", "sub/..", "../t/.."} {
		if err := tree.Remove(rel, was); err == nil || strings.Contains(err.Error(), "changed") {
			t.Errorf("%q: %v", rel, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "secret", "f")); err != nil {
		t.Error(err)
	}
}
