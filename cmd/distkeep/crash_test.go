package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/catalog/digest"
)

// TestKill kills the program with SIGKILL at random moments of a mirror run and
// starts it again, up to ten times or until it comes to its end, and that for as
// many archives as it takes to have killed it often enough: 20 times, or
// DISTKEEP_KILLS. In between, nothing that is not whole is published; nothing
// that is stored, or complete in a part, is asked for again, and what is half
// done is continued, so that the upstream sends less than 1.2 times the tree. In
// the end the archive is that of a run that nobody has disturbed, and neither
// doctor nor verify finds anything.
func TestKill(t *testing.T) {
	t.Parallel()
	files := smallFiles(300)
	for i := range 16 {
		name := fmt.Sprintf("large-%02d.tar.xz", i)
		files[name] = randomBytes(name, 4<<20+i)
	}
	s := newSite(t, files, func(ctx context.Context, w http.ResponseWriter, rest []byte) {
		slowly(ctx, w, rest, 64<<10, 4*time.Millisecond)
	})
	s.run(0, "init", "--archive", filepath.Join(s.dir, "calm"), "--layout", "flat", "--layout", "filename-hash BLAKE2B 8")
	s.run(0, s.mirrorArgs("calm")...)
	calm := published(t, filepath.Join(s.dir, "calm", "distfiles"))
	s.up.take()
	size := s.up.sent.Swap(0)

	kills := 20
	if testing.Short() {
		kills = 6
	}
	if n := os.Getenv("DISTKEEP_KILLS"); n != "" {
		var err error
		if kills, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	most := 0.0
	for n := 0; kills > 0; n++ {
		v := &victim{site: s, archive: fmt.Sprintf("killed%d", n)}
		dir := filepath.Join(s.dir, v.archive)
		s.run(0, "init", "--archive", dir, "--layout", "flat", "--layout", "filename-hash BLAKE2B 8")
		killed := 0
		for killed < 10 && kills > 0 && v.attempt(time.Duration(r.Int64N(int64(500*time.Millisecond)))) {
			killed++
			kills--
		}
		s.run(0, s.mirrorArgs(v.archive)...)
		v.checkRequests()
		got := published(t, filepath.Join(dir, "distfiles"))
		if diff := cmp.Diff(calm, got, cmpopts.EquateComparable(listed{})); diff != "" {
			t.Fatalf("%s is not the archive of an undisturbed run (-want +got):\n%s", v.archive, diff)
		}
		if parts := v.parts(); len(parts) > 0 {
			t.Errorf("%s: parts are left: %v", v.archive, parts)
		}
		sent := float64(s.up.sent.Swap(0)) / float64(size)
		if most = max(most, sent); sent >= 1.2 {
			t.Errorf("%s: the upstream has sent %.3f times the tree in %d runs that were killed", v.archive, sent, killed)
		}
		s.run(0, "doctor", "--archive", dir)
		s.run(0, "verify", "--archive", dir)
		if out, _ := s.run(0, s.mirrorArgs(v.archive, "--dry-run")...); out != "" {
			t.Errorf("%s: something is left to be done:\n%s", v.archive, out)
		}
		t.Logf("%s: killed %d times, %.3f times the tree was sent", v.archive, killed, sent)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("at most %.3f times the tree, of %d bytes, was sent", most, size)
}

// A victim is an archive whose runs are killed.
type victim struct {
	*site
	archive string
	// stored has the contents that were published, or complete in a part, at
	// the last kill; begun the lengths of the other parts, by name.
	stored map[string]bool
	begun  map[string]int
}

// attempt starts a run and kills it after d. It reports whether it could: false
// means that the run came to its end.
func (v *victim) attempt(d time.Duration) bool {
	v.t.Helper()
	cmd := v.command(v.mirrorArgs(v.archive)...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	timer := time.AfterFunc(d, func() { cmd.Process.Kill() }) // it may have ended
	err := cmd.Wait()
	timer.Stop()
	v.checkRequests()
	v.look()
	if err == nil {
		return false
	}
	if cmd.ProcessState.Exited() {
		v.t.Fatalf("%s: %v\n%s", v.archive, err, out.String())
	}
	return true
}

// checkRequests checks that what was asked for since the last kill was not there.
func (v *victim) checkRequests() {
	v.t.Helper()
	begun := maps.Clone(v.begun)
	for _, r := range v.up.take() {
		if v.stored[v.sum(r.name)] {
			v.t.Errorf("%s: %s was asked for again", v.archive, r.name)
		}
		if n, ok := begun[r.name]; ok && r.from != n {
			v.t.Errorf("%s: %s was asked for from byte %d, its part had %d", v.archive, r.name, r.from, n)
		}
		delete(begun, r.name)
	}
}

func (v *victim) sum(name string) string { return digest.SHA256.Sum(v.up.files[name]).Hex() }

// look notes what the archive has, all of which must be whole.
func (v *victim) look() {
	v.t.Helper()
	v.stored, v.begun = make(map[string]bool), make(map[string]int)
	distfiles := filepath.Join(v.dir, v.archive, "distfiles")
	for path, f := range published(v.t, distfiles) {
		name := filepath.Base(path)
		if _, ok := v.up.files[name]; !ok {
			continue // a list
		}
		if f.sum != v.sum(name) {
			v.t.Errorf("%s: %s is not whole", v.archive, path)
		}
		v.stored[f.sum] = true
	}
	for name, n := range v.parts() {
		if n == len(v.up.files[name]) {
			v.stored[v.sum(name)] = true
		} else if n > 0 {
			v.begun[name] = n
		}
	}
}

// parts are the lengths of the parts by name.
func (v *victim) parts() map[string]int {
	v.t.Helper()
	dir := filepath.Join(v.dir, v.archive, "state", "parts")
	entries, err := os.ReadDir(dir)
	if err != nil {
		v.t.Fatal(err)
	}
	parts := make(map[string]int)
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			v.t.Fatal(err)
		}
		for name := range v.up.files {
			if strings.HasPrefix(e.Name(), name+".") {
				parts[name] = int(fi.Size())
			}
		}
	}
	return parts
}
