package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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
	return published(m.t, filepath.Join(m.archive, "distfiles"))
}
