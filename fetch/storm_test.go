package fetch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// A storm is a tree of files on several hosts, each of which shows all faults.
type storm struct {
	hosts []*fetchtest.Upstream
	reqs  []*fetch.Request
	class map[string]failure.Class
	data  map[string][]byte
	size  int64
}

// newStorm makes n files, of which one in every shows one of the faults. Without
// faults every URL is served well.
func newStorm(t testing.TB, n, every int, faults []fetchtest.Fault) *storm {
	t.Helper()
	s := &storm{class: make(map[string]failure.Class), data: make(map[string][]byte)}
	for i := range 8 {
		u := upstream(t, fmt.Sprintf("127.0.0.%d:0", i+2))
		u.Stall = 5 * time.Second
		if len(faults) == 0 {
			u.WriteBuffer = 64 << 10 // counts what was sent exactly enough
		}
		s.hosts = append(s.hosts, u)
	}
	calm := len(faults) == 0
	dir := t.TempDir()
	dead := closedPort(t)
	for i := range n {
		host := s.hosts[i%len(s.hosts)]
		host.Other = s.hosts[(i+1)%len(s.hosts)].URL
		fault := fetchtest.Fault{Name: "ok"}
		if k := i / len(s.hosts); k%every == 1 && !calm {
			fault = faults[(k/every*len(s.hosts)+i%len(s.hosts))%len(faults)]
		}
		name := fmt.Sprintf("%04d-%s", i, fault.Name)
		data := fetchtest.Content(name, 200+i*37%30_000)
		for _, h := range s.hosts {
			h.Add(name, data)
		}
		s.data[name], s.class[name] = data, failure.Class(fault.Class)
		s.size += int64(len(data))
		r := want(t, dir, name, data, host.URL+"/"+fault.Name+"/"+name)
		if !calm {
			switch i % (10 * every) {
			case 1: // a second source has what the first has not
				r.Sources = append(r.Sources, want(t, dir, name, data, s.hosts[(i+3)%len(s.hosts)].URL+"/ok/"+name).Sources...)
				s.class[name] = ""
			case 3: // a dead host comes first
				r.Sources = append(want(t, dir, name, data, dead+"/"+name, "http://nothing.example/"+name).Sources, r.Sources...)
				if c := s.class[name]; c == failure.Policy || c == failure.BadURI {
					s.class[name] = failure.Refused // what may come back speaks for the file
				}
			}
		}
		s.reqs = append(s.reqs, r)
	}
	return s
}

func closedPort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func (s *storm) options(t testing.TB) fetch.Options {
	bases := []string{strings.Replace(s.reqs[3].Sources[0].URI, "/"+string(s.reqs[3].Name), "", 1)}
	if !strings.HasPrefix(bases[0], "http://127.0.0.1:") {
		bases = nil
	}
	for _, h := range s.hosts {
		bases = append(bases, h.URL)
	}
	o := options(bases...)
	o.Resolver = nowhere(t)
	return o
}

// TestStorm: in a tree with all faults at once every file that can be had is
// had in the first pass, the others have the right class, and no host sees more
// connections than its limit.
func TestStorm(t *testing.T) {
	t.Parallel()
	n := 400
	if os.Getenv("DISTKEEP_SWEEP") != "" {
		n = 2000
	}
	s := newStorm(t, n, 5, fetchtest.Faults(false))
	began := time.Now()
	f := fetcher(t, s.options(t))
	for name, r := range run(t, t.Context(), f, s.reqs...) {
		checkClass(t, r, s.class[name], s.data[name])
	}
	t.Logf("%d files, %d bytes in %v", n, s.size, time.Since(began).Round(time.Millisecond))
	for _, h := range s.hosts {
		// The server learns of the end of a connection after the beginning of
		// the next, so its count of connections is only near the truth.
		if conns, requests := h.Peak(); conns > 8 || requests > 4 {
			t.Errorf("%s saw %d connections and %d requests at a time", h.URL, conns, requests)
		}
	}
	for _, h := range f.Hosts() {
		if h.Peak > h.Max || h.Connections > h.Max {
			t.Errorf("%+v", h)
		}
	}
}

// TestKilled ends runs at random points; together they fetch each file, and not
// much more than once.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := newStorm(t, 300, 2, nil)
	big := fetchtest.Content("big", 32<<20)
	s.hosts[0].Add("big", big)
	s.data["big"] = big
	s.size += int64(len(big))
	s.reqs = append(s.reqs, want(t, t.TempDir(), "big", big, s.hosts[0].URL+"/ok/big"))
	left := s.reqs
	var received int64
	r := rand.New(rand.NewPCG(1, 2))
	for round := 0; len(left) > 0; round++ {
		if round > 40 {
			t.Fatalf("%d files are left after %d runs", len(left), round)
		}
		ctx, cancel := context.WithCancel(t.Context())
		o := s.options(t)
		var mu sync.Mutex
		stop := 1_000_000 + r.IntN(5_000_000)
		if round < 10 {
			o.Events.Bytes = func(_ catalog.Name, n int) {
				mu.Lock()
				defer mu.Unlock()
				if stop -= n; stop < 0 {
					cancel()
				}
			}
		}
		var next []*fetch.Request
		f := fetcher(t, o)
		f.Run(ctx, fetch.Made(left...), func(res fetch.Result) {
			mu.Lock()
			defer mu.Unlock()
			received += res.Received
			if res.Err != nil {
				next = append(next, res.Request)
				return
			}
			checkClass(t, res, "", s.data[string(res.Request.Name)])
			// The archive takes the file away.
			if err := os.Rename(res.Request.Part, filepath.Join(filepath.Dir(res.Request.Part), "done-"+string(res.Request.Name))); err != nil {
				t.Error(err)
			}
		})
		cancel()
		left = next
	}
	var sent int64
	for _, h := range s.hosts {
		sent += h.Sent()
	}
	t.Logf("%d bytes were sent and %d received for %d", sent, received, s.size)
	// What was sent, but still on its way when a run ended, is nobody's fault.
	if received != s.size || sent > s.size*3/2 {
		t.Error("that is too much")
	}
}
