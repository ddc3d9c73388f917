package store

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// TestSetAsideForeign: the kernel does not let us link a file of somebody else.
func TestSetAsideForeign(t *testing.T) {
	t.Parallel()
	if text, err := os.ReadFile("/proc/sys/fs/protected_hardlinks"); err != nil || string(text) != "1\n" || os.Getuid() != 0 {
		t.Skip("needs root, and fs.protected_hardlinks")
	}
	dir, err := os.MkdirTemp("/tmp", "foreign")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := openAt(t, dir, conf(t))
	one, link := s.Path("one"), s.Path("ab/link")
	write(t, one, "bad")
	const nobody = 65534
	err = errors.Join(os.Mkdir(s.Path("ab"), 0o755), os.Link(one, link), os.Chmod(dir, 0o755))
	for _, path := range []string{s.Published(), s.Path("ab"), s.QuarantineDir()} {
		err = errors.Join(err, os.Chown(path, nobody, nobody))
	}
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(one)
	if err != nil {
		t.Fatal(err)
	}
	as := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // the thread ends with the goroutine
			if err := errors.Join(syscall.Setfsgid(nobody), syscall.Setfsuid(nobody)); err != nil {
				t.Error(err)
				return
			}
			f()
		}()
		<-done
	}
	as(func() {
		if err := os.Link(one, filepath.Join(s.QuarantineDir(), "x")); !errors.Is(err, syscall.EPERM) {
			t.Errorf("link: %v, want EPERM", err)
		}
		kept, err := s.Quarantine.SetAside("damaged.x", fi, []string{one, link})
		if err != nil || kept != filepath.Join(s.QuarantineDir(), "damaged.x.0") || exists(one) || exists(link) {
			t.Errorf("SetAside = %q, %v", kept, err)
		}
		if got, err := os.ReadFile(kept); string(got) != "bad" {
			t.Errorf("%s = %q, %v", kept, got, err)
		}
	})
	// Nor is the directory ours.
	write(t, one, "bad")
	if fi, err = os.Lstat(one); err == nil {
		err = os.Chown(s.Published(), 0, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	as(func() {
		if kept, err := s.Quarantine.SetAside("damaged.y", fi, []string{one}); !errors.Is(err, ErrStuck) || Broken(err) || kept != "" || !exists(one) {
			t.Errorf("SetAside = %q, %v; want ErrStuck", kept, err)
		}
	})
}
