package regular

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chown gives what is at path, no link followed, to somebody else, or skips the
// test: only root can.
func chown(t *testing.T, path string) {
	t.Helper()
	if err := os.Lchown(path, 12345, 12345); err != nil {
		t.Skip(err)
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestOpen opens what can be in the place of a file. None of it keeps anybody
// waiting, which is what a test that ends shows.
func TestOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		put    func(t *testing.T, path string)
		want   error // nil for the content "content"
		itself error // of OpenItself
	}{
		{"file", func(t *testing.T, path string) {}, nil, nil},
		{"nothing", func(t *testing.T, path string) { check(t, os.Remove(path)) }, fs.ErrNotExist, fs.ErrNotExist},
		{"FIFO", func(t *testing.T, path string) { check(t, os.Remove(path), syscall.Mkfifo(path, 0o644)) }, ErrIrregular, ErrIrregular},
		{"directory", func(t *testing.T, path string) { check(t, os.Remove(path), os.Mkdir(path, 0o755)) }, ErrIrregular, ErrIrregular},
		{"socket", func(t *testing.T, path string) {
			check(t, os.Remove(path))
			l, err := net.Listen("unix", path)
			check(t, err)
			t.Cleanup(func() { l.Close() })
		}, ErrIrregular, ErrIrregular},
		{"link", func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".real"), os.Symlink(filepath.Base(path)+".real", path))
		}, nil, ErrIrregular},
		{"two links", func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".real"), os.Symlink(path+".real", path+".link"), os.Symlink("../"+filepath.Base(filepath.Dir(path))+"/f.link", path))
		}, nil, ErrIrregular},
		{"link to a FIFO", func(t *testing.T, path string) {
			check(t, os.Remove(path), syscall.Mkfifo(path+".real", 0o644), os.Symlink(path+".real", path))
		}, ErrIrregular, ErrIrregular},
		{"link to nothing", func(t *testing.T, path string) { check(t, os.Remove(path), os.Symlink("nothing", path)) }, fs.ErrNotExist, ErrIrregular},
		{"link to itself", func(t *testing.T, path string) { check(t, os.Remove(path), os.Symlink(path, path)) }, syscall.ELOOP, ErrIrregular},
		{"somebody else's link", func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".real"), os.Symlink(path+".real", path))
			chown(t, path)
		}, ErrForeignLink, ErrIrregular},
		{"our link to somebody else's", func(t *testing.T, path string) {
			check(t, os.Rename(path, path+".real"), os.Symlink(path+".real", path+".link"), os.Symlink(path+".link", path))
			chown(t, path+".link")
		}, ErrForeignLink, ErrIrregular},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			check(t, os.WriteFile(path, []byte("content"), 0o644))
			c.put(t, path)
			text, err := Read(path, 7)
			if !errors.Is(err, c.want) || c.want == nil && string(text) != "content" {
				t.Errorf("Read: %q, %v; want error %v", text, err, c.want)
			}
			f, err := OpenItself(path)
			if f != nil {
				f.Close()
			}
			if !errors.Is(err, c.itself) {
				t.Errorf("OpenItself: %v, want %v", err, c.itself)
			}
			w, err := OpenFile(path, os.O_WRONLY)
			if w != nil {
				w.Close()
			}
			if !errors.Is(err, c.want) && !errors.Is(err, syscall.EISDIR) {
				t.Errorf("OpenFile: %v, want %v", err, c.want)
			}
		})
	}
}

// TestOpenIn: below a root a link may be anybody's, and leads nowhere else.
func TestOpenIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, "root", name) }
	check(t, os.Mkdir(at(""), 0o755), os.WriteFile(at("f"), []byte("content"), 0o644), os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600),
		os.Symlink("f", at("in")), os.Symlink("../secret", at("out")), syscall.Mkfifo(at("fifo"), 0o644), os.Symlink("fifo", at("tofifo")))
	root, err := os.OpenRoot(at(""))
	check(t, err)
	defer root.Close()
	for name, want := range map[string]error{"f": nil, "in": nil, "fifo": ErrIrregular, "tofifo": ErrIrregular, "none": fs.ErrNotExist} {
		if text, err := ReadIn(root, name, 7); !errors.Is(err, want) || want == nil && string(text) != "content" {
			t.Errorf("%s: %q, %v; want error %v", name, text, err, want)
		}
	}
	if text, err := ReadIn(root, "out", 100); err == nil {
		t.Errorf("a link out of the root: read %q", text)
	}
	if _, err := ReadIn(root, "f", 6); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "f")
	check(t, Write(path, []byte("one"), 0o600), os.Chmod(path, 0o640))
	check(t, Replace(path, temp, func(w io.Writer) error { _, err := io.WriteString(w, "two"); return err }))
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o640 {
		t.Errorf("the permissions became %v, %v", fi.Mode(), err)
	}
	failed := errors.New("failed")
	err := Replace(path, "", func(w io.Writer) error { io.WriteString(w, strings.Repeat("x", 1<<20)); return failed })
	if !errors.Is(err, failed) || !strings.Contains(err.Error(), path) {
		t.Errorf("a writer that fails: %v", err)
	}
	if text, err := Read(path, 10); err != nil || string(text) != "two" {
		t.Errorf("the file has %q, %v", text, err)
	}
	// What a link leads to is not touched.
	link := filepath.Join(dir, "link")
	check(t, os.Symlink(path, link), Write(link, []byte("three"), 0o644))
	if text, err := Read(path, 10); err != nil || string(text) != "two" {
		t.Errorf("through the link: %q, %v", text, err)
	}
	for _, d := range []string{dir, temp} {
		entries, err := os.ReadDir(d)
		check(t, err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("left behind: %s", e.Name())
			}
		}
	}
}

// TestID: a file that was written to in the same moment, or put in the place of
// another with its size and time, has another ID.
func TestID(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	look := func() fs.FileInfo {
		fi, err := os.Lstat(path)
		check(t, err)
		return fi
	}
	check(t, os.WriteFile(path, []byte("one"), 0o644))
	one := look()
	if IDOf(one) != IDOf(look()) {
		t.Error("a file has two IDs")
	}
	at := one.ModTime().Add(-time.Hour) // no clock is that coarse
	check(t, os.Chtimes(path, at, at))
	if two := IDOf(look()); two.Changed == IDOf(one).Changed && two.ModTime == IDOf(one).ModTime {
		t.Error("a file has the same ID after a change")
	}
	check(t, os.WriteFile(path+".new", []byte("one"), 0o644), os.Chtimes(path+".new", one.ModTime(), one.ModTime()), os.Rename(path+".new", path))
	if IDOf(one) == IDOf(look()) {
		t.Error("another file has the same ID")
	}
}
