package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/archive/store/storetest"
)

// pacReleaseOf is the ith of the successive states of an upstream with two
// repositories: both share packages, some are new each time, some come back.
func pacReleaseOf(i int) map[string][]byte {
	names := func(repo string) []string {
		list := []string{"both-1-1", fmt.Sprintf("shared-%d-1", i)}
		for k := range 6 {
			list = append(list, fmt.Sprintf("%s%d-%d-1", repo, k, (i+k)%3))
		}
		return pacNames(list...)
	}
	return pacRelease(fmt.Sprint(1000+i), map[string][]string{"core": names("core"), "extra": names("extra")})
}

// TestPacmanKill kills runs with SIGKILL at random moments and starts them again
// until they come to their end, for one release after another. What is served at
// any moment can be had whole, and after each release the archive is that of
// runs that nobody has disturbed.
func TestPacmanKill(t *testing.T) {
	t.Parallel()
	kills := 8
	if testing.Short() {
		kills = 4
	}
	u := newPacUpstream(t)
	u.hook(func(path string) {
		if strings.HasSuffix(path, ".zst") {
			<-time.After(4 * time.Millisecond) // so that there is a middle
		}
	})
	args := []string{"--repo=pacman:" + u.URL + "?repo=core,extra", "--delete", "--deletion-delay=0s", "--max-delete=100%"}
	calm, killed := newPacMirror(t, u, args...), newPacMirror(t, u, args...)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	stop := killed.poll(true, bothIndexes...)
	for i := 0; kills > 0; i++ {
		u.set(pacReleaseOf(i))
		calm.now = time.Date(2026, 1, 2, i, 0, 0, 0, time.UTC).Format(time.RFC3339)
		killed.now = calm.now
		began := time.Now()
		calm.mirror(0)
		took := time.Since(began)
		for kills > 0 && killed.kill(time.Duration(r.Int64N(int64(took)))) {
			kills--
			for _, index := range bothIndexes {
				if _, err := killed.look(index, false); err != nil {
					t.Errorf("after a kill: %v", err)
				}
			}
		}
		killed.mirror(0)
		want, got := calm.tree(), killed.tree()
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(listed{})); diff != "" {
			t.Fatalf("release %d: not the archive of undisturbed runs (-want +got):\n%s", i, diff)
		}
		if n := len(want); n < 40 {
			t.Fatalf("the archive has only %d files", n)
		}
	}
	if n := stop(); n < 100 {
		t.Errorf("the client downloaded only %d files", n)
	}
	killed.distkeep(0, "verify")
	if parts, err := filepath.Glob(filepath.Join(killed.archive, "state/parts/[^.]*")); err != nil || len(parts) > 0 {
		t.Errorf("parts are left: %v, %v", parts, err)
	}
}

// TestPacmanKills kills runs at each of their operations, or at a sample of them.
// What is served in between can be had whole, and each run that follows makes the
// archive that of undisturbed ones.
func TestPacmanKills(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs hundreds of programs")
	}
	calm, _ := pacLife(t, 0)
	killAtAll(t, func(t *testing.T, k int) (kills int) {
		trees, kills := pacLife(t, k)
		if diff := cmp.Diff(calm, trees, cmpopts.EquateComparable(listed{})); diff != "" {
			t.Errorf("not the archive of undisturbed runs, release by release (-want +got):\n%s", diff)
		}
		return kills
	})
}

// pacLife mirrors one release after another and returns what is published after
// each. Each run is killed at its operation k, if it has as many, and done again. No
// power failure on the way could have taken what was recorded.
func pacLife(t *testing.T, k int) (trees []map[string]listed, kills int) {
	t.Helper()
	u := newPacUpstream(t)
	m := newPacMirror(t, u, "--repo=pacman:"+u.URL+"?repo=core,extra", "--delete", "--deletion-delay=0s", "--recycle-delay=0s", "--max-delete=100%")
	trace := filepath.Join(t.TempDir(), "trace")
	run := func(k int) (killed bool) {
		cmd := m.command(append([]string{"mirror"}, m.args...)...)
		cmd.Env = append(cmd.Env, fmt.Sprint(killVar, "=", k), traceVar+"="+trace)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || err != nil && cmd.ProcessState.Exited() {
			t.Fatalf("%v\n%s", err, out)
		}
		return err != nil
	}
	for i := range 4 {
		u.set(pacReleaseOf(i))
		if run(k) {
			kills++
			for _, index := range bothIndexes {
				if _, err := m.look(index, false); err != nil {
					t.Errorf("release %d, after a kill: %v", i, err)
				}
			}
			run(0)
		}
		m.distkeep(0, "doctor")
		for _, index := range bothIndexes {
			if n, err := m.look(index, false); n == 0 || err != nil {
				t.Errorf("release %d: %d files of %s can be had, %v", i, n, index, err)
			}
		}
		tree := m.tree()
		for _, stamp := range []string{"lastsync", "lastupdate", "history"} {
			delete(tree, stamp)
		}
		trees = append(trees, tree)
	}
	lines, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := storetest.CheckOrder(bytes.NewReader(lines), filepath.Join(m.archive, "state", "parts")); n < 8 || err != nil {
		t.Errorf("after %d ledger commits: %v", n, err)
	}
	return trees, kills
}

// kill starts a run and kills it after d. It reports whether it could: false
// means that the run came to its end.
func (m *pacMirror) kill(d time.Duration) bool {
	m.t.Helper()
	cmd := m.command(append([]string{"mirror"}, m.args...)...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	timer := time.AfterFunc(d, func() { cmd.Process.Kill() }) // it may have ended
	err := cmd.Wait()
	timer.Stop()
	if err != nil && cmd.ProcessState.Exited() {
		m.t.Fatalf("%v\n%s", err, out.String())
	}
	return err != nil
}

// tree is what is published.
func (m *pacMirror) tree() map[string]listed {
	m.t.Helper()
	return contentsOf(published(m.t, filepath.Join(m.archive, "distfiles")))
}
