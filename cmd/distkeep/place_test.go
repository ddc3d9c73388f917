package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// otherFileSystem returns a directory on another file system than dir.
func otherFileSystem(t *testing.T, dir string) string {
	t.Helper()
	device := func(path string) (dev uint64, err error) {
		fi, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		return uint64(fi.Sys().(*syscall.Stat_t).Dev), nil
	}
	here, err := device(dir)
	if err != nil {
		t.Fatal(err)
	}
	const shm = "/dev/shm"
	if there, err := device(shm); err != nil || there == here {
		t.Skipf("%s is no other file system: %v", shm, err)
	}
	other, err := os.MkdirTemp(shm, "distkeep-test-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(other); err != nil {
			t.Error(err)
		}
	})
	return other
}

// TestTwoFileSystems has the two halves of an archive on two file systems: parts
// are beside the published half, so that they can be linked into it.
func TestTwoFileSystems(t *testing.T) {
	t.Parallel()
	s := newSiteIn(t, t.TempDir(), smallFiles(20), nil)
	distfiles := filepath.Join(otherFileSystem(t, s.dir), "distfiles")
	place := []string{"--distfiles", distfiles, "--state", filepath.Join(s.dir, "state")}
	s.run(0, append([]string{"init"}, place...)...)
	mirror := append([]string{"mirror", "--repo", "gentoo:" + s.tree}, place...)
	s.run(0, mirror...)
	for name := range s.up.files {
		links(t, filepath.Join(distfiles, name))
	}
	if n := len(s.up.take()); n != 18 {
		t.Errorf("%d requests, want one for each of 18 contents", n)
	}
	for _, dir := range []string{"parts", "recycle", "quarantine"} {
		if fi, err := os.Stat(filepath.Join(distfiles+".work", dir)); err != nil || !fi.IsDir() {
			t.Errorf("%s.work/%s: %v", distfiles, dir, err)
		}
	}
	if _, err := os.Stat(filepath.Join(distfiles, "distinfo")); err != nil {
		t.Error(err)
	}
	// Deleting works across them, too, and so does the next run.
	for name := range s.up.files {
		if name > "small-0015" {
			delete(s.up.files, name)
		}
	}
	if err := os.RemoveAll(s.tree); err != nil {
		t.Fatal(err)
	}
	writeTree(t, s.tree, s.up.url, s.up.files)
	s.run(0, append(mirror, "--delete", "--deletion-delay", "0", "--max-delete", "100%")...)
	if _, err := os.Stat(filepath.Join(distfiles, "small-0019.tar.gz")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("small-0019.tar.gz was not deleted: %v", err)
	}
	if len(s.up.take()) > 0 {
		t.Error("something was fetched again")
	}
}

// links checks that path is one of at least two links.
func links(t *testing.T, path string) {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Error(err)
		return
	}
	if n := fi.Sys().(*syscall.Stat_t).Nlink; n < 2 {
		t.Errorf("%s has %d links", path, n)
	}
}

// TestUnwritable has an archive that may not be written to.
func TestUnwritable(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	s := newSite(t, smallFiles(3), nil)
	s.run(0, "init", "--archive", "archive")
	for _, dir := range []string{"archive/distfiles", "archive/state", "archive/state/parts", "archive/state/ledger"} {
		path := filepath.Join(s.dir, dir)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, 0o555)); err != nil {
			t.Fatal(err)
		}
		_, stderr := s.run(2, s.mirrorArgs("archive")...)
		if strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "permission denied") {
			t.Errorf("%s: %q", dir, stderr)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.run(0, s.mirrorArgs("archive")...)
}

// TestDamagedLedger damages every file of a ledger in several ways. The next run
// either goes on or says in one line what to do and exits 5; it never fetches
// anything again, and once the ledger is out of the way it needs none.
func TestDamagedLedger(t *testing.T) {
	t.Parallel()
	s := newSite(t, smallFiles(30), nil)
	s.run(0, "init", "--archive", "archive")
	s.run(0, s.mirrorArgs("archive")...)
	s.up.take()
	archive := filepath.Join(s.dir, "archive")
	good, err := filepath.Glob(filepath.Join(archive, "state", "ledger", "*"))
	if err != nil || len(good) == 0 {
		t.Fatalf("no ledger: %v", err)
	}
	damages := map[string]func(data []byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"cut":       func(data []byte) []byte { return data[:len(data)/2] },
		"garbage":   func(data []byte) []byte { return randomBytes("garbage", max(len(data), 100)) },
		"a bit":     func(data []byte) []byte { data = slices.Clone(data); data[len(data)/2] ^= 4; return data },
		"longer":    func(data []byte) []byte { return append(slices.Clone(data), "something behind it"...) },
		"all zeros": func(data []byte) []byte { return make([]byte, len(data)) },
	}
	n := 0
	for _, file := range good {
		for what, damage := range damages {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) == 0 {
				continue
			}
			n++
			other := fmt.Sprintf("archive%d", n)
			t.Run(filepath.Base(file)+" "+what, func(t *testing.T) {
				t.Parallel()
				testDamagedLedger(t, s, archive, filepath.Join(s.dir, other), filepath.Base(file), damage(data))
			})
		}
	}
}

func testDamagedLedger(t *testing.T, s *site, archive, copied, file string, data []byte) {
	if err := copyTree(archive, copied); err != nil {
		t.Fatal(err)
	}
	ledger := filepath.Join(copied, "state", "ledger")
	if err := os.WriteFile(filepath.Join(ledger, file), data, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := s.command(s.mirrorArgs(filepath.Base(copied))...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	switch err := cmd.Run(); {
	case err == nil:
	case cmd.ProcessState.ExitCode() != 5:
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	default:
		if msg := errs.String(); strings.Count(msg, "\n") > 2 || !strings.Contains(msg, "ledger is damaged") {
			t.Errorf("message:\n%s", msg)
		}
		if err := os.Rename(ledger, ledger+".damaged"); err != nil {
			t.Fatal(err)
		}
	}
	s.run(0, s.mirrorArgs(filepath.Base(copied))...)
	for _, r := range s.up.take() {
		t.Errorf("%s was fetched again", r.name)
	}
	if got, want := published(t, filepath.Join(copied, "distfiles")), published(t, filepath.Join(archive, "distfiles")); len(got) != len(want) {
		t.Errorf("%d paths are published, want %d", len(got), len(want))
	}
}

// copyTree copies an archive as a backup program would: hard links become files.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(dst, 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		return errors.Join(os.WriteFile(dst, data, 0o644), os.Chtimes(dst, fi.ModTime(), fi.ModTime()))
	})
}
