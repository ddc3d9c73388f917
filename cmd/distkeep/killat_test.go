package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/archive/disk"
	"distkeep/archive/store/storetest"
)

// The program under test keeps a trace of its changes of the file system in the file
// traceVar, if that is set, kills itself before the operation with the number killVar,
// and synchronises every file by itself when eachVar is set. The program itself does
// not know them.
const killVar, traceVar, eachVar = "DISTKEEP_TEST_KILL", "DISTKEEP_TEST_TRACE", "DISTKEEP_TEST_SYNC_EACH"

// testDisk is the file system that the environment sets, or nil.
func testDisk() func(disk.FS) disk.FS {
	at, _ := strconv.Atoi(os.Getenv(killVar))
	if path := os.Getenv(traceVar); path != "" || at > 0 || os.Getenv(eachVar) != "" {
		trace, err := os.OpenFile(cmp.Or(path, os.DevNull), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			panic(err)
		}
		f := &storetest.Faulty{Trace: trace, At: at, Each: os.Getenv(eachVar) != "", Kill: func() {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing may happen between the signal and its delivery
		}}
		return func(under disk.FS) disk.FS {
			f.FS = under
			return f
		}
	}
	return nil
}

// sweepVar is the environment variable with which runs are killed at every operation,
// and not at a sample of them.
const sweepVar = "DISTKEEP_SWEEP"

// killAtAll calls live, which returns how many runs were killed at their operation k,
// for each k at which one is.
func killAtAll(t *testing.T, live func(t *testing.T, k int) (kills int)) {
	t.Helper()
	for k, step := 1, 1; !t.Failed(); k += step {
		kills := 0
		t.Run(fmt.Sprint(k), func(t *testing.T) { kills = live(t, k) })
		if kills == 0 && k == 1 {
			t.Fatal("nothing was killed")
		} else if kills == 0 {
			t.Logf("no run has %d operations", k)
			return
		}
		if os.Getenv(sweepVar) == "" {
			step += step/2 + 1
		}
	}
}

// TestKills kills whole runs at each of their operations on the file system, or at a
// sample of them, and runs the same command again. Doctor finds nothing after it, no
// power failure on the way could have done harm, and in the end the archive is that
// of runs that nobody has disturbed.
func TestKills(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs hundreds of programs")
	}
	calm := newLife(t, t.TempDir())
	calm.live(0)
	if trace := calm.checkOrder(); !strings.Contains(trace, "\nsyncfs\n") {
		t.Log("this file system is synchronised file by file")
	}
	for name, env := range map[string][]string{"file system": nil, "file by file": {eachVar + "=1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killAtAll(t, func(t *testing.T, k int) (kills int) {
				l := newLife(t, inMemory(t))
				l.env = append(l.env, env...)
				kills = l.live(k)
				if trace := l.checkOrder(); env != nil && strings.Contains(trace, "\nsyncfs\n") {
					t.Error("syncfs was called where it is not known to work")
				}
				l.like(calm)
				return kills
			})
		})
	}
}

// A life is an archive that comes by every step.
type life struct {
	*site
	env   []string // beside that of command
	drop  string
	kills int
	after []map[string]listed // what is published after each step
}

func newLife(t *testing.T, dir string) *life {
	s := newSiteIn(t, dir, smallFiles(30), nil)
	// One trace for all runs: what a killed one has linked is not durable
	// because another one begins.
	return &life{
		site: s, drop: filepath.Join(s.dir, "drop"),
		env: []string{traceVar + "=" + filepath.Join(s.dir, "trace"), "DISTKEEP_DISTFILES_LOCAL=" + filepath.Join(s.dir, "drop")},
	}
}

// live mirrors, changes the tree, the layouts and the drop box, damages a file,
// deletes and purges, and cleans the history. Each run is killed at its operation
// k, if it has as many, and done again. It returns how many were killed.
func (l *life) live(k int) (kills int) {
	l.t.Helper()
	l.must(os.Mkdir(l.drop, 0o755))
	l.step(0, "init", "--archive", "archive")
	mirror := l.mirrorArgs("archive", "--delete", "--deletion-delay", "0", "--recycle-delay", "0", "--max-delete", "100%", "--layout-grace", "0")
	l.step(k, mirror...)

	// Some files are not wanted any more, one has another content, one comes
	// from the drop box, and one is damaged.
	files := maps.Clone(l.up.files)
	for i, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case i == 3:
			files[name] = randomBytes("another "+name, 5000)
			l.up.replace(name, files[name])
		case i >= 20:
			delete(files, name)
		}
	}
	dropped := randomBytes("dropped", 4000)
	files["dropped.tar.gz"] = dropped
	l.must(os.RemoveAll(l.tree))
	writeTree(l.t, l.tree, l.up.url, files)
	l.must(os.WriteFile(filepath.Join(l.drop, "dropped.tar.gz"), dropped, 0o644))
	distfiles := filepath.Join(l.dir, "archive", "distfiles")
	l.must(os.WriteFile(filepath.Join(distfiles, "layout.conf"), []byte("[structure]\n0=filename-hash BLAKE2B 8\n"), 0o644))
	short := filepath.Join(distfiles, "small-0001.tar.gz")
	l.must(os.Truncate(short, 10))
	l.must(os.Chtimes(short, time.Time{}, time.Now().Add(-time.Hour))) // nobody is writing to it
	l.step(k, mirror...)

	// What was replaced and what went to recycle in the last run goes now, and
	// so does what has come from the drop box.
	for range 3 {
		l.step(k, append(mirror, "--local-expiry", "0")...)
	}
	// The layout changes once more: linked, listed, and the old one goes.
	l.step(k, "layout", "set", "--archive", "archive", "content-hash SHA512 8:8", "flat")
	for range 2 {
		l.step(k, mirror...)
	}
	if out, err := l.try(0, "verify", "--archive", "archive"); err != nil {
		l.t.Fatalf("verify: %v\n%s", err, out)
	}

	// The history is cleaned: of files that go, and that have gone.
	for i, name := range slices.Sorted(maps.Keys(files)) {
		if i%4 == 1 {
			delete(files, name)
		}
	}
	l.must(os.RemoveAll(l.tree))
	writeTree(l.t, l.tree, l.up.url, files)
	for range 2 {
		l.step(k, "history", "--archive", "archive", "--repo", "gentoo:"+l.tree, "--clean", "--before", "0", "--recycle-delay", "0", "--max-delete", "100%")
	}
	if lines, err := os.ReadFile(filepath.Join(distfiles, "history")); err != nil || len(lines) > 0 {
		l.t.Errorf("history has %q, %v", lines, err)
	}
	return l.kills
}

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// step runs the program, and again when it was killed at its operation k. Then
// nothing is wrong with the archive.
func (l *life) step(k int, args ...string) {
	l.t.Helper()
	out, err := l.try(k, args...)
	exit := (*exec.ExitError)(nil)
	killed := errors.As(err, &exit) && !exit.Exited()
	if killed {
		l.kills++
		l.newest()
		out, err = l.try(0, args...)
	}
	if err != nil {
		l.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	if killed || k == 0 {
		if out, err := l.try(0, "doctor", "--archive", "archive"); err != nil {
			l.t.Fatalf("after %v: doctor: %v\n%s", args, err, out)
		}
	}
	l.after = append(l.after, l.published())
}

func (l *life) try(k int, args ...string) ([]byte, error) {
	cmd := l.command(args...)
	cmd.Env = slices.Concat(cmd.Env, l.env, []string{fmt.Sprint(killVar, "=", k)})
	return cmd.CombinedOutput()
}

// newest reads the newest generation, which is whole at any moment, as the names and
// digests of what the archive had then; nil if there is none yet.
func (l *life) newest() map[string]bool {
	l.t.Helper()
	return newestGeneration(l.t, filepath.Join(l.dir, "archive", "distfiles"))
}

// like checks that the life has come by the same archives as another one.
func (l *life) like(calm *life) {
	l.t.Helper()
	if diff := gocmp.Diff(calm.after, l.after, cmpopts.EquateComparable(listed{})); diff != "" {
		l.t.Errorf("not the archive of undisturbed runs, step by step (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(calm.newest(), l.newest()); diff != "" {
		l.t.Errorf("the newest generation is not that of undisturbed runs (-want +got):\n%s", diff)
	}
	for _, dir := range []string{"archive/state/parts", "archive/state/recycle", "drop"} {
		left, err := os.ReadDir(filepath.Join(l.dir, dir))
		if err != nil || len(left) > 0 {
			l.t.Errorf("%s: %v are left, %v", dir, left, err)
		}
	}
}

// checkOrder checks that at no moment a power failure could have taken what was
// recorded. It returns the trace.
func (l *life) checkOrder() string {
	l.t.Helper()
	trace, err := os.ReadFile(filepath.Join(l.dir, "trace"))
	l.must(err)
	n, err := storetest.CheckOrder(bytes.NewReader(trace), filepath.Join(l.dir, "archive", "state", "parts"))
	if err != nil {
		l.t.Errorf("after %d ledger commits: %v", n, err)
	}
	if n < 10 || !bytes.Contains(trace, []byte("write-part\t")) {
		l.t.Errorf("%d ledger commits are in the trace, or no transfer", n)
	}
	return string(trace)
}

// published lists the archive without the times of its last runs.
func (l *life) published() map[string]listed {
	l.t.Helper()
	files := published(l.t, filepath.Join(l.dir, "archive", "distfiles"))
	for _, stamp := range []string{"lastsync", "lastupdate", "history"} {
		delete(files, stamp)
	}
	return contentsOf(files)
}
