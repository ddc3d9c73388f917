package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// fetchAt fetches r some time after now, and returns how long that took and the result.
func fetchAt(t *testing.T, ctx context.Context, f *Fetcher, after time.Duration, r *Request) func() (time.Duration, Result) {
	t.Helper()
	var took time.Duration
	var res Result
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(after)
		began := time.Now()
		res = f.Fetch(ctx, r)
		took = time.Since(began)
	}()
	return func() (time.Duration, Result) { <-done; return took, res }
}

// TestFetchJumpsTheQueue: what somebody waits for is before all else that waits for the
// host, and in nobody's place; what a Run is to fetch anyway is fetched once.
func TestFetchJumpsTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{Jobs: 2, HostJobs: 1}, func(host string, _, _ int) (time.Duration, error) {
			if host == "slow.example" {
				return 50 * time.Second, nil
			}
			return time.Second, nil
		})
		reqs := append(files(t, "a", 50, "h.example"), files(t, "slow", 1, "slow.example")...)
		again := *reqs[40]
		own, other, first := files(t, "own", 1, "h.example")[0], files(t, "other", 1, "o.example")[0], files(t, "first", 1, "h.example")[0]
		waits := []func() (time.Duration, Result){
			fetchAt(t, t.Context(), f, 2500*time.Millisecond, first), // at 3 s
			fetchAt(t, t.Context(), f, 2600*time.Millisecond, own),   // at 4 s
			fetchAt(t, t.Context(), f, 2700*time.Millisecond, &again),
			fetchAt(t, t.Context(), f, 2800*time.Millisecond, other), // has a host of its own
		}
		count, when, _ := outcomes(t, t.Context(), f, reqs)
		for i, want := range []time.Duration{1500, 2400, 3300, 1000} {
			if took, res := waits[i](); took != want*time.Millisecond || res.Err != nil {
				t.Errorf("%d took %v: %v", i, took, res.Err)
			}
		}
		if _, res := waits[2](); res.Request != &again || when["a-40"] != 6*time.Second || w.asked["http://h.example/a-40"] != 1 {
			t.Errorf("%p, %v, asked %d times", res.Request, when["a-40"], w.asked["http://h.example/a-40"])
		}
		if count[""] != 51 || w.peak["h.example"] != 1 {
			t.Errorf("%v, %v", count, w.peak)
		}
	})
}

// TestFetchesJoin: many who want one file make one request, whose trouble they share.
func TestFetchesJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, fails := range []bool{false, true} {
			f, w := newWorld(t, Options{Retries: -1}, func(string, int, int) (time.Duration, error) {
				if fails {
					return time.Second, &statusError{code: 404}
				}
				return time.Second, nil
			})
			r := files(t, "x", 1, "h.example")[0]
			var waits []func() (time.Duration, Result)
			for i := range 16 {
				waits = append(waits, fetchAt(t, t.Context(), f, time.Duration(i)*time.Millisecond, r))
			}
			for i, wait := range waits {
				if took, res := wait(); took != time.Second-time.Duration(i)*time.Millisecond || (res.Err != nil) != fails {
					t.Errorf("%d: %v, %v", i, took, res.Err)
				}
			}
			if n := w.asked["http://h.example/x-0"]; n != 1 {
				t.Errorf("asked %d times", n)
			}
		}
	})
}

// TestCallsEndAlone: a Run that is interrupted, or out of time, and a Fetch that is given
// up, end at once and alone, also when both want one file.
func TestCallsEndAlone(t *testing.T) {
	t.Parallel()
	for what, o := range map[string]Options{"run": {}, "time": {MaxTime: 1500 * time.Millisecond}, "fetch": {}} {
		synctest.Test(t, func(t *testing.T) {
			o.HostJobs = 1
			f, w := newWorld(t, o, func(string, int, int) (time.Duration, error) { return time.Second, nil })
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			rctx, fctx := t.Context(), t.Context()
			switch what {
			case "run":
				rctx = ctx
			case "fetch":
				fctx = ctx
			}
			reqs := files(t, "a", 4, "h.example")
			var r1, r2 Result
			var waiting sync.WaitGroup
			waiting.Go(func() {
				time.Sleep(1200 * time.Millisecond)
				w.mu.Lock()
				at := slices.IndexFunc(reqs, func(r *Request) bool { return r.Sources[0].URI == w.last })
				first := slices.IndexFunc(reqs, func(r *Request) bool { return w.asked[r.Sources[0].URI] == 0 })
				w.mu.Unlock()
				going, queued := *reqs[at], *reqs[first]
				waiting.Go(func() { r1 = f.Fetch(fctx, &going) })
				waiting.Go(func() { r2 = f.Fetch(fctx, &queued) })
			})
			began := time.Now()
			count, _, _ := outcomes(t, rctx, f, reqs)
			took := time.Since(began)
			waiting.Wait()
			if what == "fetch" {
				if Classify(r1.Err) != failure.Interrupted || Classify(r2.Err) != failure.Interrupted || count[""] != 4 {
					t.Errorf("%s: %v, %v, %v", what, r1.Err, r2.Err, count)
				}
				return
			}
			if r1.Err != nil || r2.Err != nil || took != 1500*time.Millisecond || count[failure.Interrupted] != 3 {
				t.Errorf("%s: %v, %v, %v after %v", what, r1.Err, r2.Err, count, took)
			}
			if s := f.Fetch(t.Context(), reqs[2]); s.Err != nil { // and everything goes on
				t.Error(s.Err)
			}
		})
	}
}

// TestFetchJoinsTheInterrupted: whoever asks for a file in the moment in which the only
// one who wanted it gives up gets it all the same.
func TestFetchJoinsTheInterrupted(t *testing.T) {
	t.Parallel()
	for range 100 { // what comes first in that moment is left to chance
		synctest.Test(t, func(t *testing.T) {
			f, _ := newWorld(t, Options{}, func(string, int, int) (time.Duration, error) { return time.Second, nil })
			r := files(t, "x", 1, "h.example")[0]
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			first := fetchAt(t, ctx, f, 0, r)
			second := fetchAt(t, t.Context(), f, 500*time.Millisecond, r)
			if _, res := first(); Classify(res.Err) != failure.Interrupted {
				t.Errorf("the first gets %v", res.Err)
			}
			if _, res := second(); res.Err != nil {
				t.Errorf("the second gets %v", res.Err)
			}
		})
	}
}

// TestFetchTellsBytes: the bytes of what somebody waits for are in the .part as they come,
// and when they have to be begun anew, that is told first.
func TestFetchTellsBytes(t *testing.T) {
	t.Parallel()
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * 7919 >> 8)
	}
	told := make(chan int64, 1000)
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		asked++
		w.Write(data[:1000])
		http.NewResponseController(w).Flush()
		if n := <-told; n != 0 {
			t.Errorf("%d bytes are told at first", n)
		}
		if n := <-told; n != 1000 {
			t.Errorf("%d bytes are told, and 1000 were sent", n)
		}
		if asked == 1 {
			panic(http.ErrAbortHandler)
		}
		w.Write(data[1000:])
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	port, _ := strconv.Atoi(u.Port())
	part := filepath.Join(t.TempDir(), "x")
	f, err := New(Options{
		AllowNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Ports: []int{port}, RetryWait: time.Millisecond,
		Events: Events{Grown: func(p string, have int64) {
			if fi, err := os.Stat(p); p != part || err != nil || fi.Size() != have {
				t.Errorf("%s has %v: %v", p, have, err)
			}
			told <- have
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sums, _ := digest.NewSet(digest.SHA512.Sum(data))
	res := f.Fetch(t.Context(), &Request{Name: "x", Size: int64(len(data)), Digests: sums, Sources: []catalog.Source{{URI: srv.URL + "/x"}}, Part: part})
	if res.Err != nil || asked != 2 {
		t.Errorf("%v, asked %d times", errors.Unwrap(res.Err), asked)
	}
}

// TestFetchTellsLater: who joins a transfer is told what is there already.
func TestFetchTellsLater(t *testing.T) {
	t.Parallel()
	f, _ := newWorld(t, Options{}, nil)
	var told []int64
	f.o.Events.Grown = func(_ string, have int64) { told = append(told, have) }
	s := f.scheduler()
	defer s.clock.Stop()
	j := &job{work: newWork(files(t, "x", 1)[0]), askers: []asker{{call: new(call)}}, lane: s.local}
	urgent := asker{call: &call{urgent: true}}
	s.join(j, urgent)
	j.tell(&f.o.Events, 0)
	j.tell(&f.o.Events, 7)
	s.join(j, asker{call: new(call)})
	s.join(j, urgent)
	if !slices.Equal(told, []int64{0, 7, 7}) {
		t.Errorf("told %v", told)
	}
}

// TestManyFetches: whoever asks while a large Run goes on, and one after another is over,
// gets what there is.
func TestManyFetches(t *testing.T) {
	t.Parallel()
	f, _ := newWorld(t, Options{Jobs: 4}, func(string, int, int) (time.Duration, error) { return 0, nil })
	var all sync.WaitGroup
	for range 4 {
		reqs := files(t, "x", 200, "a.example", "b.example")
		all.Go(func() {
			f.Run(t.Context(), Made(reqs...), func(r Result) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			})
		})
		all.Go(func() {
			for i := range reqs {
				r := *reqs[len(reqs)-1-i]
				if res := f.Fetch(t.Context(), &r); res.Err != nil || res.Request != &r {
					t.Error(res.Err)
				}
			}
		})
	}
	all.Wait()
}

// TestWaitingIsCheap: a job that waits for its first try takes no memory but its place,
// and no request is made for it before; also when its host pauses, and where a name is
// wanted for two contents.
func TestWaitingIsCheap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f *Fetcher
		most, answers := 0, 0
		f, w := newWorld(t, Options{Jobs: 4, HostJobs: 2}, func(host string, _, _ int) (time.Duration, error) {
			if answers++; answers == 20 {
				return time.Second, &statusError{code: 429, asked: true, after: time.Minute}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			n := 0
			for _, j := range f.sched.jobs {
				for ; j != nil; j = j.twin {
					if j.work != nil {
						n++
					}
				}
			}
			if answers > 8 { // when all were looked at
				most = max(most, n)
			}
			return time.Second, nil
		})
		reqs := append(files(t, "x", 100, "a.example", "b.example"), files(t, "x", 100, "b.example")...)
		reqs = append(reqs, files(t, "y", 100, "c.example")...)
		results := 0
		var mu sync.Mutex
		f.Run(t.Context(), Made(reqs...), func(r Result) {
			mu.Lock()
			defer mu.Unlock()
			if results++; r.Err != nil || r.Request != reqs[r.Index] {
				t.Errorf("%d: %v", r.Index, r.Err)
			}
		})
		if most > 8 || results != len(reqs) || w.total != 0 {
			t.Errorf("%d of %d jobs are more than a place at a time, %d results", most, len(reqs), results)
		}
		if n := len(f.hosts); n != 3 || f.sched != nil {
			t.Errorf("%d hosts, %v", n, f.sched)
		}
	})
}
