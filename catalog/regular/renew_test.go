package regular

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestRenew: the file is the new one as a whole, or the old one, and what a killed
// process has left is in nobody's way.
func TestRenew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	text := func(s string, err error) func(w io.Writer) error {
		return func(w io.Writer) error {
			_, werr := io.WriteString(w, s)
			return errors.Join(werr, err)
		}
	}
	for _, step := range []struct {
		before func() error
		write  func(w io.Writer) error
		err    error
		want   string
	}{
		{nil, text("one", nil), nil, "one"},
		{nil, text("two", syscall.ENOSPC), syscall.ENOSPC, "one"},
		{func() error { return os.WriteFile(path+".new", []byte("left"), 0o444) }, text("three", nil), nil, "three"},
		{func() error { return os.Symlink("/dev/full", path+".new") }, text("four", nil), nil, "four"},
		{func() error { return syscall.Mkfifo(path+".new", 0o644) }, text("five", nil), nil, "five"},
	} {
		if step.before != nil {
			if err := step.before(); err != nil {
				t.Fatal(err)
			}
		}
		if err := Renew(path, step.write); !errors.Is(err, step.err) {
			t.Errorf("%v, want %v", err, step.err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != step.want {
			t.Errorf("it is %q, %v; want %q", got, err, step.want)
		}
		if fs, err := os.ReadDir(dir); err != nil || len(fs) != 1 {
			t.Errorf("%v is there, %v", fs, err)
		}
	}
}
