package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLog: other programs parse these lines.
func TestLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("of an earlier run\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Added("app-misc/foo-1.0", "foo-1.0.tar.gz", 1234)
	l.Removed("unknown", "a%2Fb@v1.zip")
	l.Failed("app-misc/foo-1.0", "x?action=y&z=1.jar", "gone: 404\tNot\nFound\x7f")
	l.Failed("o", "latin1-\xe4-ä", "r")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := "of an earlier run\n" +
		"app-misc/foo-1.0\tfoo-1.0.tar.gz\tadded 1234 bytes\n" +
		"unknown\ta%2Fb@v1.zip\tremoved\n" +
		"app-misc/foo-1.0\tx?action=y&z=1.jar\tgone: 404 Not Found \n" +
		"o\tlatin1-\xe4-ä\tr\n"
	if got := read(t, path); got != want {
		t.Errorf("log = %q\nwant  %q", got, want)
	}
}

func TestLogConcurrently(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	a, err := OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenLog(path) // success and failure log may be one file
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var want []string
	for i := range 200 {
		name := strings.Repeat("x", i)
		want = append(want, fmt.Sprintf("o\t%s\tadded %d bytes", name, i), fmt.Sprintf("o\t%s\tr", name))
		wg.Go(func() {
			a.Added("o", name, int64(i))
			b.Failed("o", name, "r")
		})
	}
	wg.Wait()
	if err := errors.Join(a.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(read(t, path), "\n"), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Error("lines are missing or mixed")
	}
}

func TestLogFails(t *testing.T) {
	t.Parallel()
	if _, err := OpenLog(filepath.Join(t.TempDir(), "missing", "log")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error = %v, want ErrNotExist", err)
	}
	l, err := OpenLog("/dev/full")
	if err != nil {
		t.Skip("needs /dev/full")
	}
	l.Added("o", "f", 1)
	l.Removed("o", "f")
	if err := l.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error = %v, want ENOSPC", err)
	}
}

func TestDeletionLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	at := func(d, h int) time.Time { return time.Date(2026, 11, d, h, 0, 0, 0, time.UTC) }
	west := time.FixedZone("west", -5*3600)
	ds := []Deletion{
		{Name: "z", Owner: "c/z-1::gentoo", State: Scheduled, Due: at(30, 0)},
		{Name: "b", Owner: "c/b-2", State: Scheduled, Due: at(29, 23)},
		{Name: "b", Owner: "c/b-1", State: Scheduled, Due: at(29, 1)},
		{Name: "a", State: Scheduled, Due: time.Date(2026, 11, 28, 20, 0, 0, 0, west)}, // the 29th in UTC
		{Name: "late", Owner: "c/l-1", State: Scheduled, Due: at(1, 0)},
		{Name: "recycled", Owner: "c/r-1", State: Recycled, Due: at(29, 0)},
		{Name: "x\ty", Owner: "c/\n", State: Scheduled, Due: at(30, 1)},
	}
	want := "2026-11-21\n\tlate\tc/l-1\n" +
		"2026-11-29\n\ta\tunknown\n\tb\tc/b-1\n\tb\tc/b-2\n" +
		"2026-11-30\n\tx y\tc/ \n\tz\tc/z-1\n"
	for range 2 { // replaced, not appended to
		if err := WriteDeletionLog(path, ds, now); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != want {
			t.Errorf("log = %q\nwant  %q", got, want)
		}
		slices.Reverse(ds)
	}
	if err := WriteDeletionLog(path, nil, now); err != nil || read(t, path) != "" {
		t.Errorf("nothing scheduled: %v, %q", err, read(t, path))
	}
}

// TestDeletionLogTarget: the path is the operator's.
func TestDeletionLogTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, link, fifo := filepath.Join(dir, "real"), filepath.Join(dir, "link"), filepath.Join(dir, "fifo")
	if err := errors.Join(os.WriteFile(real, nil, 0o600), os.Symlink(real, link), syscall.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	ds := []Deletion{{Name: "a", State: Scheduled, Due: day}}
	want := "2026-11-21\n\ta\tunknown\n"
	if err := WriteDeletionLog(link, ds, day); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(link); err != nil || fi.Mode().Type() != fs.ModeSymlink {
		t.Errorf("the symbolic link was replaced: %v", err)
	}
	if fi, err := os.Stat(real); err != nil || fi.Mode() != 0o600 || read(t, real) != want {
		t.Errorf("the file has mode %v and says %q: %v", fi.Mode(), read(t, real), err)
	}

	r, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := WriteDeletionLog(fifo, ds, day); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(fifo); err != nil || fi.Mode().Type() != fs.ModeNamedPipe {
		t.Fatalf("the FIFO was replaced: %v", err)
	}
	buf := make([]byte, 100)
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != want {
		t.Errorf("through the FIFO came %q, %v", buf[:n], err)
	}
	if err := WriteDeletionLog(dir, ds, day); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a directory: %v", err)
	}
	if err := WriteDeletionLog(filepath.Join(dir, "missing", "log"), ds, day); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}
