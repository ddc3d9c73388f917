package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"distkeep/archive/bucket/s3test"
)

// A killing site kills the program at a request to its bucket.
type killing struct {
	*bucketSite
	srv *s3test.Server

	mu  sync.Mutex
	cmd *exec.Cmd
}

func newKilling(t testing.TB) *killing {
	srv := s3test.New(t)
	k := &killing{bucketSite: newBucketSite(t, srv.URL, smallFiles(6)), srv: srv}
	k.do(0, "init", "--publish", "copies", "--layout", "filename-hash BLAKE2B 8", "--layout", "flat")
	srv.Reset()
	return k
}

// years runs a scenario: fetched, nothing to do, some not wanted and others new,
// deleted, purged, which only frees what no snapshot has. Each step is done again when it was killed.
func (k *killing) years() {
	k.t.Helper()
	all := maps.Clone(k.up.files)
	for _, step := range []struct {
		at    string
		wants func(i int) bool
		then  []string
	}{
		{"2026-01-02T03:00:00Z", func(i int) bool { return i < 5 }, []string{"snapshot", "create"}},
		{"2026-01-02T04:00:00Z", func(i int) bool { return i < 5 }, nil},
		{"2026-01-02T05:00:00Z", func(i int) bool { return i > 1 }, nil},
		{"2026-01-03T06:00:00Z", func(i int) bool { return i > 1 }, nil},
		{"2026-01-05T07:00:00Z", func(i int) bool { return i > 1 }, []string{"snapshot", "create"}},
		{"2026-01-05T08:00:00Z", func(i int) bool { return i > 1 }, []string{"snapshot", "prune", "--keep-last", "1"}},
	} {
		k.now = step.at
		k.up.files = make(map[string][]byte)
		for i, name := range slices.Sorted(maps.Keys(all)) {
			if step.wants(i) {
				k.up.files[name] = all[name]
			}
		}
		k.rewrite(k.up.files)
		for _, args := range [][]string{k.mirror(), step.then} {
			if len(args) > 0 && k.killed(args...) {
				k.do(0, args...)
			}
		}
	}
}

// killed runs the program and reports whether it was killed.
func (k *killing) killed(args ...string) bool {
	k.t.Helper()
	cmd := k.program(args...)
	k.mu.Lock()
	k.cmd = cmd
	var errs strings.Builder
	cmd.Stderr = &errs
	err := cmd.Start()
	k.mu.Unlock()
	if err != nil {
		k.t.Fatal(err)
	}
	switch cmd.Wait(); cmd.ProcessState.ExitCode() {
	case 0:
		return false
	case -1:
		return true
	}
	k.t.Fatalf("distkeep %v: %v\n%s", args, cmd.ProcessState, errs.String())
	return false
}

// at kills the program at the n-th request, before or after it is carried out.
func (k *killing) at(n int, fault s3test.Fault) {
	k.srv.Fail(func(i int, _ *http.Request) s3test.Fault {
		if i != n {
			return s3test.None
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if err := k.cmd.Process.Kill(); err != nil {
			k.t.Error(err)
		}
		return fault
	})
}

// keys are those of the contents, and of what readers find.
func (k *killing) keys() (keys []string) {
	k.t.Helper()
	for _, below := range []string{"some/where/blob/", "some/where/public/", "some/where/doc/snapshots/"} {
		some, err := k.srv.Keys(below)
		if err != nil {
			k.t.Fatal(err)
		}
		keys = append(keys, some...)
	}
	return slices.DeleteFunc(keys, func(key string) bool { return strings.Contains(key, "/generations/") })
}

// sound checks that the archive has what it should, once, and that doctor finds nothing.
func (k *killing) sound(want []string) {
	k.t.Helper()
	if got := k.keys(); !slices.Equal(got, want) {
		k.t.Errorf("the bucket has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range slices.Sorted(maps.Keys(k.up.files)) {
		if got, _ := k.srv.Get("some/where/public/distfiles/" + name); got != string(k.up.files[name]) {
			k.t.Errorf("readers find %d bytes of %s", len(got), name)
		}
	}
	for key, n := range k.srv.Written("some/where/blob/") {
		if n > 1 {
			k.t.Errorf("%s was written %d times", key, n)
		}
	}
	if out, errs := k.do(0, "doctor"); out != "" {
		k.t.Errorf("doctor: %s%s", out, errs)
	}
	k.do(0, "verify")
	k.up.take()
	if out, _ := k.do(0, k.mirror()...); !strings.Contains(out, "4 held before") || len(k.up.take()) > 0 {
		k.t.Errorf("the next run has something to do:\n%s", out)
	}
}

// TestBucketKills kills the program at the requests of a scenario, before and after each
// is carried out: in the end the archive is as if it had not been. All requests are the
// business of make race.
func TestBucketKills(t *testing.T) {
	t.Parallel()
	k := newKilling(t)
	k.years()
	_, all := k.srv.Requests()
	want := k.keys()
	k.sound(want)
	if len(want) != 4+2*4+5+1 {
		t.Fatalf("the scenario leaves %d objects: %v", len(want), want)
	}
	every := 9
	if os.Getenv(sweepVar) != "" {
		every = 1
	}
	for n := 1; n <= all; n += every {
		for name, fault := range map[string]s3test.Fault{"before": s3test.Cut, "after": s3test.Unsaid} {
			t.Run(fmt.Sprintf("%s-%d", name, n), func(t *testing.T) {
				t.Parallel()
				k := newKilling(t)
				k.at(n, fault)
				k.years()
				k.srv.Fail(nil)
				k.sound(want)
			})
		}
	}
}

// TestBucketFaults: a server that is busy, and a network that breaks before or after
// what is asked for, cost time and nothing else.
func TestBucketFaults(t *testing.T) {
	t.Parallel()
	k := newKilling(t)
	k.srv.Fail(func(n int, _ *http.Request) s3test.Fault {
		return []s3test.Fault{s3test.SlowDown, s3test.None, s3test.Cut, s3test.Unsaid, s3test.None, s3test.None}[n%6]
	})
	k.years()
	k.srv.Fail(nil)
	want := k.keys()
	if len(want) != 4+2*4+5+1 {
		t.Fatalf("the scenario leaves %d objects: %v", len(want), want)
	}
	k.sound(want)
}
