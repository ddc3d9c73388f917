package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"distkeep/archive/bucket/s3test"
)

// A shared site is one of two workers, of which one at a time runs, and is killed.
type shared struct {
	*killing
	// machine are the state directories, of which there are more when another machine
	// goes on for one that was killed.
	machine  [2]string
	machines int
	another  bool
}

func newShared(t testing.TB, another bool) *shared {
	srv := s3test.New(t)
	s := &shared{killing: &killing{bucketSite: newBucketSite(t, srv.URL, smallFiles(8)), srv: srv}, another: another}
	for shard := range s.machine {
		s.begin(shard)
	}
	srv.Reset()
	return s
}

// begin makes a state directory for a shard.
func (s *shared) begin(shard int) {
	s.t.Helper()
	s.machines++
	s.machine[shard] = filepath.Join(s.dir, fmt.Sprintf("machine-%d", s.machines))
	s.state = s.machine[shard]
	s.do(0, "init", "--shard", fmt.Sprintf("%d/2", shard+1))
}

// years runs the scenario of killing with two workers. Each step is done again when it
// was killed, by another machine or by the same.
func (s *shared) years() {
	s.t.Helper()
	all := maps.Clone(s.up.files)
	for _, step := range []struct {
		at    string
		wants func(i int) bool
	}{
		{"2026-01-02T03:00:00Z", func(i int) bool { return i < 6 }},
		{"2026-01-02T05:00:00Z", func(i int) bool { return i > 3 }},
		{"2026-01-03T06:00:00Z", func(i int) bool { return i > 3 }},
		{"2026-01-04T06:00:00Z", func(i int) bool { return i > 2 }}, // one of them is wanted again
		{"2026-01-06T07:00:00Z", func(i int) bool { return i > 2 }},
	} {
		s.now = step.at
		s.up.files = make(map[string][]byte)
		for i, name := range slices.Sorted(maps.Keys(all)) {
			if step.wants(i) {
				s.up.files[name] = all[name]
			}
		}
		s.rewrite(s.up.files)
		for shard := range s.machine {
			if s.state = s.machine[shard]; !s.killed(s.mirror()...) {
				continue
			}
			if s.another {
				// Its lease is over; how that is found out has a test of its own.
				s.srv.Delete(fmt.Sprintf("some/where/%d-of-2/lease", shard+1))
				s.begin(shard)
			}
			s.do(0, s.mirror()...)
		}
	}
}

// blobs are the keys of the contents of both shards.
func (s *shared) blobs() (keys []string) {
	s.t.Helper()
	all, err := s.srv.Keys("some/where/")
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(key string) bool { return !strings.Contains(key, "/blob/") })
}

// sound checks that the archive has what it should, once, and that nothing is wrong with it.
func (s *shared) sound(want []string) {
	s.t.Helper()
	s.srv.Fail(nil)
	if got := s.blobs(); !slices.Equal(got, want) {
		s.t.Errorf("the bucket has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for key, n := range s.srv.Written("some/where/") {
		if strings.Contains(key, "/blob/") && n > 1 {
			s.t.Errorf("%s was written %d times", key, n)
		}
	}
	s.up.take()
	for _, s.state = range s.machine {
		if out, errs := s.do(0, "doctor"); out != "" {
			s.t.Errorf("doctor: %s%s", out, errs)
		}
		s.do(0, "verify")
		if out, _ := s.do(0, s.mirror()...); !strings.Contains(out, "added        0 files") {
			s.t.Errorf("the next run has something to do:\n%s", out)
		}
	}
	if got := s.up.take(); len(got) > 0 {
		s.t.Errorf("fetched again: %v", got)
	}
	s.state = filepath.Join(s.dir, "reader")
	s.do(0, "init", "--reader")
	if out, _ := s.do(0, "status"); !strings.Contains(out, "archive      5 files") {
		s.t.Errorf("a reader sees\n%s", out)
	}
	for name := range s.up.files {
		if out, _ := s.do(0, "why", name); !strings.Contains(out, "published") {
			s.t.Errorf("a reader sees of %s\n%s", name, out)
		}
	}
}

// TestShardKills kills two workers at the requests of a scenario, before and after each is
// carried out, and goes on with the same machine or with another: in the end the archive is as
// if they had not been killed. All requests are the business of make race.
func TestShardKills(t *testing.T) {
	t.Parallel()
	s := newShared(t, false)
	s.years()
	_, all := s.srv.Requests()
	want := s.blobs()
	s.sound(want)
	if len(want) != 5 {
		t.Fatalf("the scenario leaves %v", want)
	}
	every := 37
	if os.Getenv(sweepVar) != "" {
		every = 1
	}
	for n := 1; n <= all; n += every {
		for name, fault := range map[string]s3test.Fault{"before": s3test.Cut, "after": s3test.Unsaid} {
			for _, another := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s-%d-another-%v", name, n, another), func(t *testing.T) {
					t.Parallel()
					s := newShared(t, another)
					s.at(n, fault)
					s.years()
					s.sound(want)
				})
			}
		}
	}
}

// TestTakenOver: a worker whose shard another one has taken over meanwhile leaves its ledger
// nowhere and says so, and goes on another time with that of the other.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	s := newShared(t, false)
	const doc = "some/where/1-of-2/doc/ledger.jsonl.gz"
	s.state = s.machine[0]
	const first = "small-0000.tar.gz"
	s.rewrite(map[string][]byte{first: s.up.files[first]})
	s.do(0, s.mirror()...)
	others, _ := s.srv.Get(doc)
	s.now = "2026-01-02T03:30:00Z"
	s.do(0, s.mirror()...)
	s.rewrite(s.up.files)
	begun, done := false, make(chan struct{})
	s.srv.Fail(func(_ int, r *http.Request) s3test.Fault {
		if !begun && strings.Contains(r.URL.Path, "/blob/") {
			begun = true
			go func() {
				defer close(done)
				s.srv.Put(doc, others)
			}()
		}
		select {
		case <-done:
		default:
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, doc) {
				return s3test.Cut // it is tried again
			}
		}
		return s3test.None
	})
	s.now = "2026-01-02T04:00:00Z"
	if _, errs := s.do(5, s.mirror()...); !begun || !strings.Contains(errs, "another worker has written its ledger meanwhile") {
		t.Errorf("it says %s", errs)
	}
	if got, _ := s.srv.Get(doc); got != others {
		t.Error("it has written its ledger over the one of the other")
	}
	s.srv.Fail(nil)
	s.up.take()
	if _, errs := s.do(0, s.mirror()...); !strings.Contains(errs, "records were read into") {
		t.Errorf("it says %s", errs)
	}
	if out, _ := s.do(0, "doctor"); out != "" {
		t.Errorf("doctor: %s", out)
	}
	for key, n := range s.srv.Written("some/where/1-of-2/blob/") {
		if n > 1 {
			t.Errorf("%s was written %d times", key, n)
		}
	}
}

// TestShardServers: one server has what two workers have fetched, in every spelling, on each
// storage.
func TestShardServers(t *testing.T) {
	t.Parallel()
	for name, start := range s3test.Servers(os.Getenv(s3test.VersityVar)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newBucketSite(t, start(t), smallFiles(20))
			for shard := range 2 {
				s.state = filepath.Join(s.dir, fmt.Sprintf("machine-%d", shard))
				s.do(0, "init", "--shard", fmt.Sprintf("%d/2", shard+1), "--layout", "filename-hash BLAKE2B 8", "--layout", "content-hash SHA512 8:8", "--layout", "flat")
				s.do(0, s.mirror()...)
			}
			s.state = filepath.Join(s.dir, "reader")
			s.do(0, "init", "--reader")
			s.noLocalCopy()
			for _, stream := range []string{"--stream=false", "--stream"} {
				s.serves(stream)
			}
			srv := startServing(t, s.program("serve", "--listen", "127.0.0.1:0"))
			for name, data := range s.up.files {
				r, err := http.Get("http://" + srv.addr + "/" + name)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r.Body)
				if r.Body.Close(); err != nil || string(got) != string(data) {
					t.Errorf("%s: %s, %d bytes (%v)", name, r.Status, len(got), err)
				}
			}
		})
	}
}
