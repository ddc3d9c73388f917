package main

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/archive/store"
)

// TestFailpoints kills whole runs at every named step of package store, with a
// program that is built for that, and runs the same command again. In the end
// the archive is that of runs that nobody has disturbed.
func TestFailpoints(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a program of its own")
	}
	bin := filepath.Join(t.TempDir(), "distkeep")
	if out, err := exec.Command("go", "build", "-tags", "failpoint", "-o", bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calm := newLife(t, bin)
	calm.live("")
	for _, name := range store.Failpoints {
		if strings.HasPrefix(name, "expose.") || strings.HasPrefix(name, "withdraw.") {
			continue // of snapshots, which this life has none of
		}
		for _, count := range []string{"", ":2"} {
			t.Run(name+count, func(t *testing.T) {
				t.Parallel()
				l := newLife(t, bin)
				if kills := l.live(name + count); kills == 0 && count == "" {
					t.Fatal("no run comes by here")
				}
				if diff := cmp.Diff(calm.after, l.after, cmpopts.EquateComparable(listed{})); diff != "" {
					t.Errorf("not the archive of undisturbed runs, step by step (-want +got):\n%s", diff)
				}
				for _, dir := range []string{"parts", "recycle"} {
					left, err := os.ReadDir(filepath.Join(l.dir, "archive", "state", dir))
					if err != nil || len(left) > 0 {
						t.Errorf("%s: %v are left, %v", dir, left, err)
					}
				}
				l.step("", "verify", "--archive", "archive")
			})
		}
	}
}

// A life is an archive that comes by every step.
type life struct {
	*site
	bin   string
	kills int
	after []map[string]listed // what is published after each step
}

func newLife(t *testing.T, bin string) *life {
	return &life{site: newSite(t, smallFiles(30), nil), bin: bin}
}

// live mirrors, changes the tree, the layout and the drop box, damages a file,
// deletes and purges, and cleans the history. Each run is killed at the failpoint, if it comes by, and
// done again. It returns how many were killed.
func (l *life) live(failpoint string) (kills int) {
	l.t.Helper()
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
	drop := filepath.Join(l.dir, "drop")
	l.must(os.MkdirAll(drop, 0o755))
	l.must(os.WriteFile(filepath.Join(drop, "dropped.tar.gz"), dropped, 0o644))
	distfiles := filepath.Join(l.dir, "archive", "distfiles")
	l.must(os.WriteFile(filepath.Join(distfiles, "layout.conf"), []byte("[structure]\n0=filename-hash BLAKE2B 8\n"), 0o644))
	l.must(os.Truncate(filepath.Join(distfiles, "small-0001.tar.gz"), 10))
	l.step(failpoint, append(mirror, "--distfiles-local", drop)...)

	// What was replaced and what went to recycle in the last run goes now.
	for range 3 {
		l.step(failpoint, append(mirror, "--distfiles-local", drop)...)
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

// step runs the program, and again when it was killed at the failpoint.
func (l *life) step(failpoint string, args ...string) {
	l.t.Helper()
	cmd := l.command(args...)
	cmd.Path = l.bin
	cmd.Env = append(cmd.Env, "DISTKEEP_FAILPOINT="+failpoint)
	out, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		l.after = append(l.after, l.published())
		return
	case !errors.As(err, &exit) || exit.Exited():
		l.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	l.kills++
	l.step("", args...)
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
