package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// A locked site is one whose archive has files that the program may not read.
type locked struct {
	*site
	distfiles, quarantine string
}

// newLocked makes a site with an archive of so many files, f00 and on.
func newLocked(t *testing.T, files int) *locked {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	contents := make(map[string][]byte)
	for i := range files {
		name := fmt.Sprintf("f%02d.tar", i)
		contents[name] = randomBytes(name, 100)
	}
	s := newSite(t, contents, nil)
	s.run(0, "init", "--archive", "archive")
	s.run(0, s.mirrorArgs("archive")...)
	s.up.take()
	return &locked{s, filepath.Join(s.dir, "archive", "distfiles"), filepath.Join(s.dir, "archive", "state", "quarantine")}
}

// restore does what a backup does that is played back by another user: the files
// below dir that match pattern get another owner, no mode for us, and new times.
func (l *locked) restore(pattern string) {
	l.t.Helper()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	err := filepath.WalkDir(l.distfiles, func(path string, e fs.DirEntry, err error) error {
		if ok, _ := filepath.Match(pattern, e.Name()); err != nil || !ok || e.IsDir() {
			return err
		}
		return errors.Join(os.Chown(path, 65534, 65534), os.Chmod(path, 0o600), os.Chtimes(path, now, now))
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// open lets everybody read everything again.
func (l *locked) open() {
	l.t.Helper()
	err := filepath.WalkDir(filepath.Join(l.dir, "archive"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type() == fs.ModeSymlink {
			return err
		}
		mode := fs.FileMode(0o644)
		if e.IsDir() {
			mode = 0o755
		}
		return errors.Join(os.Chown(path, 0, 0), os.Chmod(path, mode))
	})
	if err != nil {
		l.t.Fatal(err)
	}
}

// powerless runs the program as a root whom modes and owners stop.
func (l *locked) powerless(status int, args ...string) (stdout, stderr string) {
	l.t.Helper()
	cmd := l.command(args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		for _, c := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_CHOWN} {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				done <- err
				return
			}
		}
		done <- cmd.Run()
	}()
	err := <-done
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		l.t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		l.t.Fatalf("distkeep %v: status %d, want %d\n%s%s", args, got, status, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// mirror runs mirror; nothing must be fetched, and nothing put into quarantine.
func (l *locked) mirror(status int, args ...string) (stdout, stderr string) {
	l.t.Helper()
	stdout, stderr = l.powerless(status, l.mirrorArgs("archive", args...)...)
	l.untouched()
	return stdout, stderr
}

func (l *locked) untouched() {
	l.t.Helper()
	if asked := l.up.take(); len(asked) > 0 {
		l.t.Errorf("asked for %v", asked)
	}
	if es, err := os.ReadDir(l.quarantine); err != nil || len(es) > 0 {
		l.t.Errorf("quarantine has %v, %v", es, err)
	}
}

// TestUnreadableArchive: an archive most of which cannot be read is left alone.
func TestUnreadableArchive(t *testing.T) {
	t.Parallel()
	l := newLocked(t, 12)
	calm := published(t, l.distfiles)
	l.restore("*.tar")
	_, stderr := l.mirror(5)
	if !strings.Contains(stderr, "12 of 12 recorded files") || !strings.Contains(stderr, "permission denied") {
		t.Errorf("stderr: %s", stderr)
	}
	l.open()
	stdout, _ := l.mirror(0)
	if !strings.Contains(stdout, "12 held before") && !strings.Contains(stdout, "wanted       12 files") {
		t.Errorf("stdout: %s", stdout)
	}
	if diff := cmp.Diff(calm, published(t, l.distfiles), cmpopts.EquateComparable(listed{})); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
}

// TestUnreadableFile: a file that cannot be read keeps its record, and is a
// failure until it can; the same for one on the whitelist, and for one behind a
// directory.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	l := newLocked(t, 12)
	l.run(0, "whitelist", "add", "--archive", "archive", "--author", "A. Person <a@example.org>", "--reason", "Needed.", "f00.tar")
	if err := os.RemoveAll(filepath.Join(l.tree, "app-misc", "p00001")); err != nil { // f00 to f02
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(l.tree, "metadata", "md5-cache", "app-misc", "p00001-1")); err != nil {
		t.Fatal(err)
	}
	l.restore("f0[03].tar")
	for status := range 2 {
		l.mirror(1 - status)
		stdout, _ := l.run(0, "failures", "--archive", "archive")
		for _, name := range []string{"f00.tar", "f03.tar"} {
			if !strings.Contains(stdout, name) || strings.Count(stdout, "local") != 2 || !strings.Contains(stdout, "permission denied") {
				t.Errorf("failures:\n%s", stdout)
			}
		}
	}
	l.powerless(5, "verify", "--archive", "archive")
	l.powerless(5, "doctor", "--repair", "--archive", "archive")
	l.untouched()
	l.open()
	l.mirror(0)
	if stdout, _ := l.run(0, "failures", "--archive", "archive"); stdout != "" {
		t.Errorf("failures:\n%s", stdout)
	}

	// Only by_cipher has it, and that is closed, but ours: doctor opens it.
	if err := errors.Join(os.Remove(filepath.Join(l.distfiles, "f00.tar")), os.Remove(filepath.Join(l.distfiles, "f04.tar"))); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(l.distfiles, "by_cipher", "sha256")
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	l.mirror(1)
	l.powerless(0, "doctor", "--repair", "--archive", "archive")
	l.untouched()
	l.open()
	stdout, _ := l.mirror(0)
	if strings.Contains(stdout, "lost") {
		t.Errorf("stdout: %s", stdout)
	}
	l.run(0, "doctor", "--archive", "archive")
}

// TestUnreadablePlace: what cannot be read where a file is to be published stays
// there, and is a failure.
func TestUnreadablePlace(t *testing.T) {
	t.Parallel()
	l := newLocked(t, 3)
	if err := errors.Join(os.RemoveAll(filepath.Join(l.dir, "archive", "state", "ledger")), os.RemoveAll(filepath.Join(l.distfiles, "by_cipher"))); err != nil {
		t.Fatal(err)
	}
	l.restore("f00.tar")
	l.mirror(1)
	l.open()
	l.mirror(0)
}
