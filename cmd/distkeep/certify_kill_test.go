package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestCertifiedKills kills runs that work, that have nothing to do, and that look at
// nothing, each at its operations on the file system, or at a sample of them. The next
// run does whatever is to be done: none has left a certificate that lies.
func TestCertifiedKills(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs hundreds of programs")
	}
	certified := 0
	killAtAll(t, func(t *testing.T, k int) (kills int) {
		q := &mortal{calm: &calm{site: newSiteIn(t, inMemory(t), smallFiles(6), nil), now: time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)}}
		q.args = q.mirrorArgs("archive", "--delete")
		if status, out := q.run(0, "init", "--archive", "archive"); status != 0 {
			t.Fatalf("%d\n%s", status, out)
		}
		files := maps.Clone(q.up.files)
		for round := range 3 {
			for range 5 { // work, then nothing: without a hash, with one, and by it
				q.killAt(k, files)
			}
			switch round {
			case 0: // a package more
				name := "small-0007.tar.gz"
				files[name] = randomBytes(name, 100)
				q.up.replace(name, files[name])
				writeTree(t, q.tree, q.up.url, files)
			case 1: // a file less
				q.must(os.Remove(q.path("archive/distfiles/small-0002.tar.gz")))
			}
		}
		certified += q.certain
		return q.kills
	})
	if certified == 0 {
		t.Error("no run was certified")
	}
}

// A mortal is an archive whose runs are killed.
type mortal struct {
	*calm
	kills, certain int
}

// run runs the program as a process, a minute after the last time, which is killed at
// its operation k.
func (q *mortal) run(k int, args ...string) (status int, out string) {
	q.t.Helper()
	q.now = q.now.Add(time.Minute)
	cmd := q.command(args...)
	cmd.Env = append(cmd.Env, nowVar+"="+q.now.Format(time.RFC3339), killVar+"="+strconv.Itoa(k))
	text, _ := cmd.CombinedOutput() // the status tells
	return cmd.ProcessState.ExitCode(), string(text)
}

// killAt kills a run, if it has so many operations, and makes another one. Then all
// files are there.
func (q *mortal) killAt(k int, files map[string][]byte) {
	q.t.Helper()
	status, out := q.run(k, q.args...)
	if status < 0 {
		q.kills++
		status, out = q.run(0, q.args...)
		if strings.Contains(out, "\nunchanged ") {
			q.t.Fatalf("certified after a run that was killed:\n%s", out)
		}
	}
	if status != 0 {
		q.t.Fatalf("status %d\n%s", status, out)
	}
	if strings.Contains(out, "\nunchanged ") {
		q.certain++
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text, err := os.ReadFile(filepath.Join(q.dir, "archive", "distfiles", name))
		if err != nil || string(text) != string(files[name]) {
			q.t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
}
