package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// A smallDisk is a small file system with an archive.
type smallDisk struct {
	*victim
	dir  string
	size int // MiB
}

// newDisk mounts a disk of so many MiB that has room for so many names, its root
// among them; 0 is for any number.
func newDisk(t *testing.T, s *site, name string, size, names int) *smallDisk {
	t.Helper()
	d := &smallDisk{&victim{site: s, archive: filepath.Join(name, "archive")}, filepath.Join(s.dir, name), size}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, d.options(names)); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *smallDisk) options(names int) string {
	return fmt.Sprintf("size=%dm,nr_inodes=%d", d.size, names)
}

// enlarge makes room for any number of names.
func (d *smallDisk) enlarge() {
	d.t.Helper()
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT, d.options(0)); err != nil {
		d.t.Fatal(err)
	}
}

// fill takes all of the disk but so many bytes.
func (d *smallDisk) fill(but int64) {
	f, err := os.Create(filepath.Join(d.dir, "filler"))
	if err != nil {
		d.t.Error(err)
		return
	}
	defer f.Close()
	var st unix.Statfs_t
	if err = unix.Fstatfs(int(f.Fd()), &st); err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Frsize-but)
	}
	if err != nil {
		d.t.Error(err)
	}
}

// attempt runs the program on a disk that may run full. It reports whether it
// came to its end; otherwise it has said why.
func (d *smallDisk) attempt(args ...string) bool {
	d.t.Helper()
	ctx, stop := context.WithTimeout(d.t.Context(), time.Minute)
	defer stop()
	cmd := d.command(args...)
	context.AfterFunc(ctx, func() { cmd.Process.Kill() }) // it may have ended
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	switch status := cmd.ProcessState.ExitCode(); {
	case status == 0, status == 1 && strings.Contains(out.String(), "(disk "):
		return status == 0 // what did not fit has failed alone
	case status != 5:
		d.t.Fatalf("%v: %v, want status 5\n%s%s", args, cmd.ProcessState, out.String(), errs.String())
	}
	msg := errs.String()
	// That the reserve is given up is said once, before.
	if first, rest, _ := strings.Cut(msg, "\n"); strings.Contains(first, "its reserve is used up now") {
		msg = rest
	}
	if strings.Count(msg, "\n") != 1 || !strings.Contains(msg, "no space left on device") && !strings.Contains(msg, "too little free space") {
		d.t.Errorf("%v: want one line that names the cause, got:\n%s", args, msg)
	}
	return false
}

// goOn checks what an attempt has left, and that the next run, for which there
// is room, makes calm of it without fetching again what was stored.
func (d *smallDisk) goOn(calm map[string]listed, args ...string) {
	d.t.Helper()
	d.up.take() // the attempt's
	d.look()
	d.run(0, d.mirrorArgs(d.archive, args...)...)
	d.checkRequests()
	if diff := cmp.Diff(calm, contentsOf(published(d.t, filepath.Join(d.dir, "archive", "distfiles"))), cmpopts.EquateComparable(listed{})); diff != "" {
		d.t.Errorf("not the archive of an undisturbed run (-want +got):\n%s", diff)
	}
	d.run(0, "doctor", "--archive", d.archive)
	d.run(0, "verify", "--archive", d.archive)
}

// fullStep is how many steps further the disk is full in the next attempt: at each in
// the sweep.
func fullStep() int {
	if os.Getenv(sweepVar) != "" {
		return 1
	}
	return 4
}

// TestFullNames gives an archive a disk with room for ever more names: every
// step of init and of a run meets the last one.
func TestFullNames(t *testing.T) {
	t.Parallel()
	s := newSite(t, smallFiles(6), nil)
	calm := newDisk(t, s, "calm", 1024, 0).undisturbed()
	stops, done := 0, false
	each := fullStep()
	for names := 2; !done && !t.Failed(); names += each {
		d := newDisk(t, s, fmt.Sprint("names", names), 1024, names)
		begun := d.attempt(d.initArgs()...)
		done = begun && d.attempt(d.mirrorArgs(d.archive, "--min-free", "0")...)
		if begun && !done {
			stops++
		}
		d.enlarge()
		if !begun {
			d.run(0, d.initArgs()...)
		}
		d.goOn(calm, "--min-free", "0")
		if t.Failed() {
			t.Fatalf("with room for %d names", names)
		}
	}
	if stops < 60/each {
		t.Errorf("the disk was full at %d steps of a run, want at least %d", stops, 60/each)
	}
}

// TestFullLock has a disk without room for the lock file, which somebody has
// removed.
func TestFullLock(t *testing.T) {
	t.Parallel()
	s := newSite(t, smallFiles(3), nil)
	d := newDisk(t, s, "full", 1024, 60)
	d.run(0, d.initArgs()...)
	if err := os.Remove(filepath.Join(d.dir, "archive", "state", "lock")); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil; i++ {
		err = os.Mkdir(filepath.Join(d.dir, fmt.Sprint("filler", i)), 0o755)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	add := []string{"whitelist", "add", "--archive", d.archive, "--author", "A <a@example.org>", "--reason", "Kept.", "a.tar.gz"}
	for _, args := range [][]string{d.initArgs(), d.mirrorArgs(d.archive), {"doctor", "--archive", d.archive}, add} {
		if d.attempt(args...) {
			t.Errorf("%v: there is no room for a lock", args)
		}
	}
}

// TestFullOutput has a disk without room for what a command prints.
func TestFullOutput(t *testing.T) {
	t.Parallel()
	s := newSite(t, smallFiles(3), nil)
	s.run(0, "init", "--archive", "archive")
	s.run(0, s.mirrorArgs("archive")...)
	s.run(0, "snapshot", "create", "--archive", "archive")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, args := range [][]string{
		{"status"}, {"status", "--json"}, {"why", "small-0001.tar.gz"}, {"doctor", "--json"}, {"doctor", "--export", "-"},
		{"verify"}, {"snapshot", "list"}, {"mirror", "--repo", "gentoo:" + s.tree}, {"init"},
	} {
		cmd := s.command(args...)
		cmd.Env = append(cmd.Env, "DISTKEEP_ARCHIVE=archive")
		cmd.Stdout = full
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != 5 {
			t.Errorf("%v: %v, want status 5", args, err)
		}
	}
}

// useUp takes the reserve, as somebody has done who met a full disk before.
func (d *smallDisk) useUp() {
	if err := os.Remove(filepath.Join(d.dir, "archive", "state", "reserve")); err != nil && !os.IsNotExist(err) {
		d.t.Error(err)
	}
}

// TestFullBytes has a disk without its reserve run full in the middle of a transfer,
// and at ever more bytes after it.
func TestFullBytes(t *testing.T) {
	t.Parallel()
	files := smallFiles(6)
	for i := range 3 {
		name := fmt.Sprintf("large-%d.tar.xz", i)
		files[name] = randomBytes(name, 300<<10)
	}
	var fill atomic.Pointer[func()]
	s := newSite(t, files, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		if f := fill.Load(); f != nil {
			(*f)()
		}
		slowly(ctx, w, rest, 128<<10, 0)
	})
	calm := newDisk(t, s, "calm", 300, 0).undisturbed()
	// The ledger must have 4 MiB and some, a transfer must leave 64 MiB.
	const little, enough = 4 << 20, 8 << 20
	var left []int64
	for i := range int64(10) {
		left = append(left, i*96<<10, little+i*256<<10, 64<<20+(i-1)*128<<10)
	}
	ends := 0
	for _, but := range append(left, enough, 72<<20) {
		d := newDisk(t, s, fmt.Sprint("bytes", but), 300, 0)
		d.run(0, d.initArgs()...)
		once := sync.OnceFunc(func() {
			d.useUp()
			d.fill(but)
		})
		fill.Store(&once)
		done := d.attempt(d.mirrorArgs(d.archive, "--min-free", "0")...)
		fill.Store(nil)
		if done {
			ends++
		}
		if done && but < 64<<20 || !done && but >= 72<<20 {
			t.Errorf("the run has come to its end: %v", done)
		}
		for _, args := range [][]string{{"doctor", "--archive", d.archive}, {"verify", "--archive", d.archive}} {
			if ok := d.attempt(args...); ok && but < little-1<<20 || !ok && but >= enough {
				t.Errorf("%v: the ledger had room: %v", args, ok)
			}
		}
		if err := os.Remove(filepath.Join(d.dir, "filler")); err != nil {
			t.Fatal(err)
		}
		d.goOn(calm, "--min-free", "0")
		if t.Failed() {
			t.Fatalf("with %d bytes left", but)
		}
	}
	if ends < 1 || ends > 13 {
		t.Errorf("%d runs have come to their end", ends)
	}
}

// TestFullReserve has a disk without a free byte: the reserve is enough to look at
// the archive, to link what it has, and to delete.
func TestFullReserve(t *testing.T) {
	t.Parallel()
	files := smallFiles(6)
	s := newSite(t, files, nil)
	fewer := filepath.Join(s.dir, "fewer", "tree")
	kept := maps.Clone(files)
	delete(kept, "small-0001.tar.gz")
	writeTree(t, fewer, s.up.url, kept)
	d := newDisk(t, s, "full", 300, 0)
	d.run(0, d.initArgs()...)
	d.run(0, d.mirrorArgs(d.archive, "--min-free", "0")...)
	d.up.take()
	filler := filepath.Join(d.dir, "filler")
	name := func(base string) string { return filepath.Join(d.dir, "archive", "distfiles", base) }
	deleting := []string{
		"mirror", "--archive", d.archive, "--repo", "gentoo:" + fewer, "--min-free", "0",
		"--delete", "--deletion-delay", "0", "--recycle-delay", "0", "--max-delete", "100%",
	}
	for _, args := range [][]string{
		{"status", "--archive", d.archive}, {"verify", "--archive", d.archive}, {"doctor", "--archive", d.archive},
		d.mirrorArgs(d.archive, "--min-free", "0"), {"doctor", "--archive", d.archive, "--repair"}, deleting, deleting,
	} {
		d.run(0, "verify", "--archive", d.archive) // makes the reserve anew
		if args[0] == "mirror" || len(args) > 3 {  // there is a link to be made
			if err := os.Remove(name("small-0000.tar.gz")); err != nil {
				t.Fatal(err)
			}
		}
		d.fill(0)
		d.run(0, args...)
		if _, err := os.Stat(name("small-0000.tar.gz")); err != nil {
			t.Errorf("%s: %v", args, err)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(name("small-0001.tar.gz")); !os.IsNotExist(err) {
		t.Errorf("deleted: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(d.dir, "archive", "state", "recycle")); err != nil || len(left) > 0 {
		t.Errorf("in recycle: %v, %v", left, err)
	}
	if requests := d.up.take(); len(requests) > 0 {
		t.Errorf("requests: %v", requests)
	}
	// It is for one time: then a person has to help, and is told how.
	d.useUp()
	d.fill(0)
	_, msg := d.run(5, "doctor", "--archive", d.archive)
	if !strings.Contains(msg, "remove snapshots") {
		t.Errorf("no advice: %s", msg)
	}
}

func (d *smallDisk) initArgs() []string {
	return []string{"init", "--archive", d.archive, "--layout", "flat", "--layout", "filename-hash BLAKE2B 8"}
}

// undisturbed is the archive of a run that has the room.
func (d *smallDisk) undisturbed() map[string]listed {
	d.t.Helper()
	d.run(0, d.initArgs()...)
	d.run(0, d.mirrorArgs(d.archive, "--min-free", "0")...)
	d.up.take()
	return contentsOf(published(d.t, filepath.Join(d.dir, "archive", "distfiles")))
}
