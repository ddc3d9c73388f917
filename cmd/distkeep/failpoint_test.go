package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/archive"
	"distkeep/archive/store"
	"distkeep/archive/store/storetest"
)

// TestFailpoints kills whole runs at every named step of packages store and
// archive, at its first, second, fourth … time, with a program that is built for
// that, and runs the same command again. Doctor finds nothing after it, no power
// failure on the way could have done harm, and in the end the archive is that of
// runs that nobody has disturbed.
func TestFailpoints(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a program of its own")
	}
	bin := failpointProgram(t)
	calm := newLife(t, bin, t.TempDir())
	calm.live("")
	if trace := calm.checkOrder(); !strings.Contains(trace, "\nsyncfs\n") {
		t.Log("this file system is synchronised file by file")
	}
	t.Run("sync each file", func(t *testing.T) {
		t.Parallel()
		for _, failpoint := range []string{"", "commit.linked:2", "commit.directory-made:8", "recycle.linked:2"} {
			l := newLife(t, bin, t.TempDir())
			l.env = append(l.env, "DISTKEEP_SYNC_EACH=1")
			if kills := l.live(failpoint); kills == 0 && failpoint != "" {
				t.Errorf("no run comes by %s", failpoint)
			}
			if trace := l.checkOrder(); strings.Contains(trace, "\nsyncfs\n") {
				t.Error("syncfs was called where it is not known to work")
			}
			l.like(calm)
		}
	})
	for _, name := range slices.Concat(store.Failpoints, archive.Failpoints) {
		if ofViews(name) {
			continue // see TestPacmanFailpoints
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; !t.Failed(); n *= 2 {
				l := newLife(t, bin, inMemory(t))
				kills := l.live(fmt.Sprint(name, ":", n))
				switch {
				case kills == 0 && n == 1:
					t.Fatal("no run comes by here")
				case kills == 0:
					return // no run comes by as often as that
				}
				t.Logf("time %d: %d runs were killed", n, kills)
				l.checkOrder()
				l.like(calm)
			}
		})
	}
}

// failpointProgram builds the program with failpoints.
func failpointProgram(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "distkeep")
	if out, err := exec.Command("go", "build", "-tags", "failpoint", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

// ofViews reports whether only the views of pacman repositories come by a
// failpoint.
func ofViews(failpoint string) bool {
	return strings.HasPrefix(failpoint, "expose.") || strings.HasPrefix(failpoint, "withdraw.")
}

// A life is an archive that comes by every step.
type life struct {
	*site
	bin   string
	env   []string // beside that of command
	drop  string
	kills int
	after []map[string]listed // what is published after each step
}

func newLife(t *testing.T, bin, dir string) *life {
	s := newSiteIn(t, dir, smallFiles(30), nil)
	// One trace for all runs: what a killed one has linked is not durable
	// because another one begins.
	return &life{
		site: s, bin: bin, drop: filepath.Join(s.dir, "drop"),
		env: []string{"DISTKEEP_TRACE=" + filepath.Join(s.dir, "trace"), "DISTKEEP_DISTFILES_LOCAL=" + filepath.Join(s.dir, "drop")},
	}
}

// live mirrors, changes the tree, the layout and the drop box, damages a file,
// deletes and purges, and cleans the history. Each run is killed at the failpoint, if it comes by, and
// done again. It returns how many were killed.
func (l *life) live(failpoint string) (kills int) {
	l.t.Helper()
	l.must(os.Mkdir(l.drop, 0o755))
	l.step("", "init", "--archive", "archive")
	mirror := l.mirrorArgs("archive", "--delete", "--deletion-delay", "0", "--recycle-delay", "0", "--max-delete", "100%")
	l.step(failpoint, mirror...)

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
	l.step(failpoint, mirror...)

	// What was replaced and what went to recycle in the last run goes now, and
	// so does what has come from the drop box.
	for range 3 {
		l.step(failpoint, append(mirror, "--local-expiry", "0")...)
	}
	if out, err := l.try("", "verify", "--archive", "archive"); err != nil {
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
		l.step(failpoint, "history", "--archive", "archive", "--repo", "gentoo:"+l.tree, "--clean", "--before", "0", "--recycle-delay", "0", "--max-delete", "100%")
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

// step runs the program, and again when it was killed at the failpoint. Then
// nothing is wrong with the archive.
func (l *life) step(failpoint string, args ...string) {
	l.t.Helper()
	out, err := l.try(failpoint, args...)
	exit := (*exec.ExitError)(nil)
	killed := errors.As(err, &exit) && !exit.Exited()
	if killed {
		l.kills++
		out, err = l.try("", args...)
	}
	if err != nil {
		l.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	if killed || failpoint == "" {
		if out, err := l.try("", "doctor", "--archive", "archive"); err != nil {
			l.t.Fatalf("after %v: doctor: %v\n%s", args, err, out)
		}
	}
	l.after = append(l.after, l.published())
}

func (l *life) try(failpoint string, args ...string) ([]byte, error) {
	cmd := l.command(args...)
	cmd.Path = l.bin
	cmd.Env = slices.Concat(cmd.Env, l.env, []string{"DISTKEEP_FAILPOINT=" + failpoint})
	return cmd.CombinedOutput()
}

// like checks that the life has come by the same archives as another one.
func (l *life) like(calm *life) {
	l.t.Helper()
	if diff := cmp.Diff(calm.after, l.after, cmpopts.EquateComparable(listed{})); diff != "" {
		l.t.Errorf("not the archive of undisturbed runs, step by step (-want +got):\n%s", diff)
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
	return files
}
