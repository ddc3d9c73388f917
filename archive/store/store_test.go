package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// conf makes the layouts of specs, flat when there are none.
func conf(t testing.TB, specs ...string) layout.Conf {
	t.Helper()
	if len(specs) == 0 {
		return layout.Conf{layout.Flat()}
	}
	var c layout.Conf
	for _, spec := range specs {
		l, err := layout.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		c = append(c, l)
	}
	return c
}

// openAt opens the store of an archive in the directory dir.
func openAt(t testing.TB, dir string, layouts layout.Conf) *Store {
	t.Helper()
	s, err := Open(filepath.Join(dir, "distfiles"), filepath.Join(dir, "state"), layouts, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t testing.TB, specs ...string) *Store {
	t.Helper()
	return openAt(t, t.TempDir(), conf(t, specs...))
}

// content describes data under name.
func content(name catalog.Name, data string) layout.Content {
	h := digest.NewHasher(digest.BLAKE2B, digest.SHA512)
	h.Write([]byte(data))
	return layout.Content{Name: name, Digests: h.Sum(), Size: int64(len(data)), Named: true, Kind: catalog.Gentoo}
}

// part writes data to a part and returns the item that publishes it.
func part(t testing.TB, s *Store, name catalog.Name, data string) *Item {
	t.Helper()
	it := &Item{Content: content(name, data)}
	it.Part = s.Parts.Path(name, aWant)
	write(t, it.Part, data)
	return it
}

func write(t testing.TB, path, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

// commit publishes items and expects that to succeed.
func commit(t testing.TB, s *Store, items ...*Item) {
	t.Helper()
	if err := s.Tree.Commit(items, nil); err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if it.Err != nil {
			t.Fatal(it.Err)
		}
	}
}

// look returns the source at path, which may not be there.
func look(path string) Source {
	src, _ := Look(path)
	return src
}

// publish commits one content and removes its part.
func publish(t testing.TB, s *Store, name catalog.Name, data string) *layout.Content {
	t.Helper()
	it := part(t, s, name, data)
	commit(t, s, it)
	if err := s.Parts.Release([]*Item{it}); err != nil {
		t.Fatal(err)
	}
	return &it.Content
}

func paths(t testing.TB, s *Store, c *layout.Content) []string {
	t.Helper()
	ps, err := s.Tree.layouts.Paths(c)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// tree lists what is below dir, one a line: directories with a slash at the end,
// files with their content.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err != nil || rel == "." {
			return err
		}
		if d.IsDir() {
			lines = append(lines, rel+"/")
			return nil
		}
		data, err := os.ReadFile(path)
		lines = append(lines, rel+"="+string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func inode(t testing.TB, path string) uint64 {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(fi.Sys().(*syscall.Stat_t).Ino)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestOpenMakesDirectories(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "archive")
	s := openAt(t, dir, conf(t))
	for _, d := range []string{s.Published(), s.PartsDir(), s.RecycleDir(), s.QuarantineDir(), s.ReportDir()} {
		if fi, err := os.Stat(d); err != nil || !fi.IsDir() {
			t.Errorf("%s: %v", d, err)
		}
	}
	if got, want := s.PartsDir(), filepath.Join(dir, "state", "parts"); got != want {
		t.Errorf("parts are in %s, want %s", got, want)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	_, err := Open(filepath.Join(dir, "file"), filepath.Join(dir, "state"), conf(t), nil)
	if !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("a file as published tree: error = %v, want ENOTDIR", err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(dir, "dangling", "distfiles"), filepath.Join(dir, "state"), conf(t), nil); err == nil {
		t.Error("a dangling link as archive is accepted")
	}
}

// TestOpenApart: parts have to be where they can be linked from.
func TestOpenApart(t *testing.T) {
	t.Parallel()
	dir, shm := t.TempDir(), "/dev/shm"
	here, err := disk.MountOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	if there, err := disk.MountOf(shm); err != nil || there == here {
		t.Skip("needs /dev/shm on another file system than the temporary directory")
	}
	other, err := os.MkdirTemp(shm, "distkeep")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(other) })

	s, err := Open(filepath.Join(dir, "distfiles"), other, conf(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := s.PartsDir(), filepath.Join(dir, "distfiles.work", "parts"); got != want {
		t.Errorf("parts are in %s, want %s", got, want)
	}
	if got, want := s.LedgerDir(), filepath.Join(other, "ledger"); got != want {
		t.Errorf("ledger is in %s, want %s", got, want)
	}
	publish(t, s, "a", "data")

	// What is mounted, or a link to another file system, cannot be linked
	// into: the error says so and harms no other item.
	if err := os.Symlink(other, s.Path("dir")); err != nil {
		t.Fatal(err)
	}
	bad, good := part(t, s, "dir/x", "x"), part(t, s, "y", "y")
	if err := s.Tree.Commit([]*Item{bad, good}, nil); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(bad.Err, syscall.EXDEV) || good.Err != nil {
		t.Errorf("errors = %v, %v, want EXDEV and none", bad.Err, good.Err)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	s := open(t, "flat", "filename-hash BLAKE2B 8", "content-hash SHA512 8:8")
	c := content("a%2Fb@v1.zip", "hello")
	const sha = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	sha512 := c.Digests.Get(digest.SHA512).Hex()
	want := []string{
		"by_cipher/sha256/2c/" + sha + "/a%2Fb@v1.zip",
		"a%2Fb@v1.zip",
		digest.BLAKE2B.Sum([]byte("a%2Fb@v1.zip")).Hex()[:2] + "/a%2Fb@v1.zip",
		sha512[:2] + "/" + sha512[2:4] + "/" + sha512,
	}
	if got := paths(t, s, &c); !slices.Equal(got, want) {
		t.Errorf("paths = %q, want %q", got, want)
	}
	c.Named = false
	if got := paths(t, s, &c); !slices.Equal(got, want[:1]) {
		t.Errorf("paths without name = %q, want %q", got, want[:1])
	}

	unknown := content("x", "x")
	unknown.Digests = digest.Set{unknown.SHA256()}
	if _, err := s.Tree.layouts.Paths(&unknown); !errors.Is(err, layout.ErrPath) {
		t.Errorf("without SHA512: error = %v, want ErrPath", err)
	}
	for _, name := range []catalog.Name{"layout.conf", "distinfo", "history", "by_cipher", "by_cipher/x", "lastsync"} {
		c := content(name, "x")
		if _, err := s.Tree.layouts.Paths(&c); !errors.Is(err, layout.ErrPath) {
			t.Errorf("%s: error = %v, want ErrPath", name, err)
		}
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	s := open(t)
	if err := s.Room(1, 0); err != nil {
		t.Errorf("one byte: %v", err)
	}
	for _, c := range []struct{ need, keep int64 }{{math.MaxInt64, 0}, {0, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}} {
		err := s.Room(c.need, c.keep)
		if !errors.Is(err, errFull) || !Broken(err) {
			t.Errorf("Room(%d, %d) = %v, want errFull", c.need, c.keep, err)
		}
	}
}

func TestBroken(t *testing.T) {
	t.Parallel()
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO, syscall.ESTALE, errFull} {
		if !Broken(fmt.Errorf("x: %w", &fs.PathError{Op: "write", Path: "x", Err: e})) {
			t.Errorf("%v is not broken", e)
		}
	}
	for _, e := range []error{nil, syscall.ENOENT, syscall.EACCES, syscall.EXDEV, syscall.EMLINK, layout.ErrPath, ErrLocked} {
		if Broken(e) {
			t.Errorf("%v is broken", e)
		}
	}
}

func TestDirSet(t *testing.T) {
	t.Parallel()
	got := make(dirSet)
	got.add("/r/a/b/c", "/r")
	got.add("/r/a/x", "/r")
	got.add("/other", "/r") // ends at the top of the file system
	want := []string{"/", "/r", "/r/a", "/r/a/b"}
	if dirs := slices.Sorted(maps.Keys(got)); !slices.Equal(dirs, want) {
		t.Errorf("dirs = %q, want %q", dirs, want)
	}
}

// aWant is the want of some content.
const aWant = "0123456789abcdef"
