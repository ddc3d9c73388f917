package gentoo

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mountsVar is set in the process that has mounts of its own.
const mountsVar = "DISTKEEP_TEST_MOUNTS"

// TestStampsSeeMounts mounts other directories and files over those of a package: what
// is there now is read, and what is there when they are gone again.
func TestStampsSeeMounts(t *testing.T) {
	if os.Getenv(mountsVar) == "" {
		exe, err := os.Executable()
		check(t, err)
		cmd := exec.Command(exe, "-test.run=^TestStampsSeeMounts$", "-test.v")
		cmd.Env = append(os.Environ(), mountsVar+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
			t.Skipf("no mounts of its own for a test here: %v", err)
		} else if err != nil || !strings.Contains(string(out), "PASS: TestStampsSeeMounts/category") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		at    string // below the tree
		mount func(from, at string) error
	}{
		"directory": {"a/x", func(from, at string) error { return unix.Mount(from, at, "", unix.MS_BIND, "") }},
		"file":      {stampManifest, func(from, at string) error { return unix.Mount(from, at, "", unix.MS_BIND, "") }},
		"category":  {"a", func(from, at string) error { return unix.Mount(from, at, "", unix.MS_BIND, "") }},
		"cache":     {cacheDir, func(from, at string) error { return unix.Mount(from, at, "", unix.MS_BIND, "") }},
		"another file system": {"a/x", func(from, at string) error {
			return errors.Join(unix.Mount("none", at, "tmpfs", 0, ""), os.CopyFS(at, os.DirFS(from)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, o := stampTree(t)
			at := filepath.Join(dir, c.at)
			other := filepath.Join(t.TempDir(), "other")
			before := scan(t, dir, o)
			if fi, err := os.Stat(at); err != nil {
				t.Fatal(err)
			} else if fi.IsDir() {
				check(t, os.CopyFS(other, os.DirFS(at)))
			} else {
				b, err := os.ReadFile(at)
				check(t, err, os.WriteFile(other, b, 0o644))
			}
			for path, old := range map[string]string{"": "d41d", "Manifest": "d41d", "x/Manifest": "d41d", "a/x-1": "example.org"} {
				if fi, err := os.Stat(filepath.Join(other, path)); err == nil && fi.Mode().IsRegular() {
					inPlace(t, filepath.Join(other, path), old, old[:len(old)-1]+"0")
				}
			}
			check(t, c.mount(other, at))
			mounted := true
			defer func() {
				if mounted {
					check(t, unix.Unmount(at, 0))
				}
			}()
			if name == "another file system" {
				inPlace(t, filepath.Join(at, "Manifest"), "d410", "d41f")
			}
			bare := o
			bare.Stamps = ""
			got := scan(t, dir, o)
			if d := difference(scan(t, dir, bare), got); d != "" || difference(before, got) == "" {
				t.Errorf("mounted: -without stamps +with:\n%s", d)
			}
			check(t, unix.Unmount(at, 0))
			mounted = false
			if d := difference(before, scan(t, dir, o)); d != "" {
				t.Errorf("unmounted:\n%s", d)
			}
		})
	}
}
