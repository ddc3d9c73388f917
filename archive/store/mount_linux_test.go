package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

// mountAt mounts something for the time of the test.
func mountAt(t *testing.T, source, dir, kind string, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount(source, dir, kind, flags, options); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestOpenBindMount: two mounts of one file system have one device, and
// link(2) does not cross them all the same.
func TestOpenBindMount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.MkdirAll(filepath.Join(state, "parts"), 0o755); err != nil {
		t.Fatal(err)
	}
	mountAt(t, state, state, "", syscall.MS_BIND, "")
	s := openAt(t, dir, conf(t))
	if got, want := s.PartsDir(), filepath.Join(dir, "distfiles.work", "parts"); got != want {
		t.Errorf("parts are in %s, want %s", got, want)
	}
	publish(t, s, "a", "data")

	work := filepath.Join(dir, "distfiles.work", "parts")
	mountAt(t, work, work, "", syscall.MS_BIND, "")
	_, err := Open(filepath.Join(dir, "distfiles"), state, conf(t), nil)
	if err == nil || !strings.Contains(err.Error(), work) || !strings.Contains(err.Error(), "different file systems") {
		t.Errorf("parts as a mount of their own: %v", err)
	}
}

// TestDiskFull lets the file system run full at every step in turn: tmpfs
// counts names.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mountAt(t, "tmpfs", dir, "tmpfs", 0, "size=1m,nr_inodes=400")
	filler := filepath.Join(dir, "filler")
	if err := os.Mkdir(filler, 0o755); err != nil {
		t.Fatal(err)
	}
	// full takes all names but free.
	full := func(free int) {
		var made []string
		for i := 0; ; i++ {
			path := filepath.Join(filler, fmt.Sprint(i))
			f, err := os.Create(path)
			if errors.Is(err, syscall.ENOSPC) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			f.Close()
			made = append(made, path)
		}
		if len(made) < free {
			t.Fatalf("only %d names were free", len(made))
		}
		for _, path := range made[len(made)-free:] {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	stops := 0
	for free := 0; ; free++ {
		s := openAt(t, filepath.Join(dir, fmt.Sprint("archive", free%2)), conf(t, "flat", "filename-hash BLAKE2B 8"))
		publish(t, s, "c", "former")
		var items []*Item
		whole := make(map[string]bool)
		for _, name := range []catalog.Name{"a", "b/x", "c"} {
			items = append(items, part(t, s, name, "content of "+string(name)))
			whole["content of "+string(name)] = true
		}
		whole["former"] = true
		full(free)
		err := s.Tree.Commit(items, nil)
		if err != nil && (!Broken(err) || !errors.Is(err, syscall.ENOSPC)) {
			t.Fatalf("%d names left: error = %v, want ENOSPC and Broken", free, err)
		}
		for line := range strings.SplitSeq(tree(t, s.Published()), "\n") {
			if _, data, _ := strings.Cut(line, "="); !strings.HasSuffix(line, "/") && !whole[data] {
				t.Errorf("%d names left: visible is %q", free, line)
			}
		}
		if e := os.RemoveAll(filler); e != nil {
			t.Fatal(e)
		}
		if e := os.Mkdir(filler, 0o755); e != nil {
			t.Fatal(e)
		}
		if _, e := s.Parts.Sweep(items[0].ModTime); e != nil {
			t.Fatal(e)
		}
		commit(t, s, items...)
		for _, it := range items {
			for _, rel := range paths(t, s, &it.Content) {
				if inode(t, s.Path(rel)) != inode(t, it.source()) {
					t.Errorf("%d names left: afterwards %s is not right", free, rel)
				}
			}
		}
		if e := os.RemoveAll(filepath.Dir(s.Published())); e != nil {
			t.Fatal(e)
		}
		if err == nil {
			break
		}
		stops++
	}
	if stops < 15 {
		t.Errorf("the disk was full at %d steps, want at least 15", stops)
	}

	s := openAt(t, dir, conf(t))
	src, part := filepath.Join(t.TempDir(), "big"), filepath.Join(s.PartsDir(), "big.part")
	write(t, src, strings.Repeat("x", 2<<20))
	if _, _, err := importFrom(t.Context(), s, src, part); !Broken(err) || exists(part) {
		t.Errorf("import: error = %v, want one that is Broken; part is left: %v", err, exists(part))
	}
	if err := s.Room(2<<20, 0); !errors.Is(err, errFull) {
		t.Errorf("room: %v", err)
	}
}

// TestReadOnly: a file system that has turned itself read-only is damaged.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mountAt(t, "tmpfs", dir, "tmpfs", 0, "size=1m")
	s := openAt(t, dir, conf(t))
	c := publish(t, s, "a", "data")
	it := part(t, s, "b", "data of b")
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	_, err := Open(s.Published(), filepath.Join(dir, "state"), conf(t), nil)
	_, _, rerr := s.Recycle.Keep([]*layout.Content{c})
	fi, err2 := os.Lstat(s.Path("a"))
	if err2 != nil {
		t.Fatal(err2)
	}
	_, aerr := s.Quarantine.SetAside("changed", fi, []string{s.Path("a")})
	for what, err := range map[string]error{
		"open": err, "recycle": rerr, "commit": s.Tree.Commit([]*Item{it}, nil),
		"release": s.Parts.Release([]*Item{{Part: it.Part}}), "quarantine": aerr,
	} {
		if !errors.Is(err, syscall.EROFS) || !Broken(err) {
			t.Errorf("%s: error = %v, want EROFS and Broken", what, err)
		}
	}
}

// TestMountInside: an error that a mount inside the archive makes says where it is and
// what to do.
func TestMountInside(t *testing.T) {
	t.Parallel()
	s := openAt(t, t.TempDir(), conf(t))
	publish(t, s, "a", "data")
	dir := filepath.Join(s.Published(), "dir")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mountAt(t, "tmpfs", dir, "tmpfs", 0, "size=1m")
	for op, f := range map[string]func(src, dst string) error{"link": s.shared.fs.Link, "rename": s.shared.fs.Rename} {
		dst := filepath.Join(dir, "a")
		if err := f(s.Path("a"), dst); err == nil || !strings.Contains(err.Error(), dst) || !strings.Contains(err.Error(), "nothing may be mounted") {
			t.Errorf("%s: error is %v", op, err)
		}
	}
}
