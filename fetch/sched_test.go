package fetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"distkeep/catalog"
	"distkeep/fetch/failure"
)

// TestLanesKeepTheirLimits fetches from hosts with different limits.
func TestLanesKeepTheirLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{Jobs: 8, HostLimits: map[string]int{"One.Example": 1, "two.example": 2}},
			func(string, int, int) (time.Duration, error) { return time.Second, nil })
		reqs := append(files(t, "a", 20, "one.example"), files(t, "b", 20, "two.example")...)
		reqs = append(reqs, files(t, "c", 40, "four.example")...)
		count, when, _ := outcomes(t, t.Context(), f, reqs)
		if count[""] != 80 {
			t.Errorf("%v", count)
		}
		if w.peak["one.example"] != 1 || w.peak["two.example"] != 2 || w.peak["four.example"] != 4 || w.most > 8 {
			t.Errorf("peaks %v, %d in all", w.peak, w.most)
		}
		if d := slices.Max(slices.Collect(maps.Values(when))); d != 20*time.Second {
			t.Errorf("20 files one at a time took %v", d)
		}
		if s := hostStats(t, f, "four.example"); s.Files != 40 || s.Requests != 40 || s.Bytes != 40*int64(len(worldFile)) || s.Peak != 4 || s.Limit != 4 {
			t.Errorf("%+v", s)
		}
	})
}

// TestNoHostDelaysAnother has a slow host with many files, and a quick one.
func TestNoHostDelaysAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := newWorld(t, Options{Jobs: 8}, func(host string, _, _ int) (time.Duration, error) {
			if host == "slow.example" {
				return 50 * time.Second, nil
			}
			return 10 * time.Millisecond, nil
		})
		reqs := append(files(t, "slow", 100, "slow.example"), files(t, "quick", 100, "quick.example")...)
		_, when, _ := outcomes(t, t.Context(), f, reqs)
		for i := range 100 {
			if d := when[catalog.Name(fmt.Sprintf("quick-%d", i))]; d > time.Second {
				t.Fatalf("quick-%d took %v", i, d)
			}
		}
	})
}

// TestPausesHoldNoSlot fetches with one job from a host in trouble and others.
func TestPausesHoldNoSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{Jobs: 1, RetryWait: time.Minute, MaxRetryWait: 10 * time.Minute}, func(host string, n, _ int) (time.Duration, error) {
			if host == "ill.example" && n <= 3 {
				return 0, &statusError{code: 500}
			}
			return time.Millisecond, nil
		})
		reqs := append(files(t, "ill", 1, "ill.example"), files(t, "well", 50, "well.example")...)
		count, when, _ := outcomes(t, t.Context(), f, reqs)
		if count[""] != 51 || when["well-49"] > time.Second {
			t.Errorf("%v, the others took %v", count, when["well-49"])
		}
		// The pauses are 1, 2 and 4 minutes, each less up to a half.
		if d := when["ill-0"]; d < 210*time.Second || d > 421*time.Second {
			t.Errorf("three retries took %v", d)
		}
		if n := w.asked["http://ill.example/ill-0"]; n != 4 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestRetriesEnd counts what is asked of a host that never recovers.
func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for retries, want := range map[int]int{0: 4, 5: 6, -1: 1} {
			f, w := newWorld(t, Options{Retries: retries}, func(string, int, int) (time.Duration, error) { return 0, &statusError{code: 503} })
			count, _, _ := outcomes(t, t.Context(), f, files(t, "x", 1, "h.example"))
			if n := w.asked["http://h.example/x-0"]; n != want || count[failure.Server] != 1 {
				t.Errorf("Retries %d: asked %d times, want %d (%v)", retries, n, want, count)
			}
		}
	})
}

// TestRetryAfterHoldsTheLane: one 429 with Retry-After stops all files of the
// host, and no other host.
func TestRetryAfterHoldsTheLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{HostJobs: 1}, func(host string, n, _ int) (time.Duration, error) {
			if host == "busy.example" && n == 1 {
				return 0, &statusError{code: 429, asked: true, after: 90 * time.Second}
			}
			return time.Second, nil
		})
		var busy []time.Time
		f.o.Events.HostBusy = func(host string, until time.Time, why error) {
			if host != "busy.example" || Classify(why) != failure.Throttled {
				t.Errorf("busy: %s, %v", host, why)
			}
			busy = append(busy, until)
		}
		began := time.Now()
		reqs := append(files(t, "b", 1, "busy.example"), files(t, "o", 5, "other.example")...)
		count, when, _ := outcomes(t, t.Context(), f, reqs)
		if count[""] != 6 || when["b-0"] != 91*time.Second {
			t.Errorf("%v %v", count, when)
		}
		delete(when, "b-0")
		if last := slices.Max(slices.Collect(maps.Values(when))); last != 5*time.Second {
			t.Errorf("the other host took %v", last)
		}
		if len(busy) != 1 || busy[0].Sub(began) != 90*time.Second || w.asked["http://busy.example/b-0"] != 2 {
			t.Errorf("busy until %v, asked %d times", busy, w.asked["http://busy.example/b-0"])
		}
	})
}

// TestRetryAfterTooLong: a host that asks for an hour again and again is left
// alone for the run, at the cost of three requests and not of one a file.
func TestRetryAfterTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{}, func(host string, _, _ int) (time.Duration, error) {
			if host == "busy.example" {
				return 0, &statusError{code: 429, asked: true, after: time.Hour}
			}
			return 0, nil
		})
		reqs := append(files(t, "b", 50, "busy.example"), files(t, "both", 50, "busy.example", "mirror.example")...)
		count, when, _ := outcomes(t, t.Context(), f, reqs)
		if count[failure.Throttled] != 50 || count[""] != 50 {
			t.Errorf("%v", count)
		}
		sent := 0
		for u, n := range w.asked {
			if parsed(t, u).Host == "busy.example" {
				sent += n
			}
		}
		s := hostStats(t, f, "busy.example")
		if sent != 3 || s.Requests != 3 || s.Spared < 45 || s.Dead == "" {
			t.Errorf("%d requests, %+v", sent, s)
		}
		for name, d := range when {
			if d > 10*time.Second {
				t.Errorf("%s took %v", name, d)
			}
		}
	})
}

// TestDeadHost is found out once, whatever it is that is wrong with it.
func TestDeadHost(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		err   error
		class failure.Class
		asked int
	}{
		{"refused", refused, failure.Refused, 3},
		{"no such host", &net.OpError{Op: "dial", Err: &net.DNSError{Name: "dead.example", IsNotFound: true}}, failure.DNS, 1},
		{"name server down", &net.OpError{Op: "dial", Err: &net.DNSError{Name: "dead.example", IsTemporary: true}}, failure.DNS, 3},
		{"no answer", &net.OpError{Op: "dial", Err: context.DeadlineExceeded}, failure.Refused, 2},
		{"no word", fmt.Errorf("h: %w", errNoAnswer), failure.Stalled, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, _ := newWorld(t, Options{}, func(host string, _, _ int) (time.Duration, error) {
					if host == "dead.example" {
						return time.Millisecond, c.err
					}
					return time.Second, nil
				})
				reqs := append(files(t, "d", 100, "dead.example"), files(t, "both", 100, "dead.example", "mirror.example")...)
				count, when, results := outcomes(t, t.Context(), f, reqs)
				if count[c.class] != 100 || count[""] != 100 {
					t.Errorf("%v", count)
				}
				s := hostStats(t, f, "dead.example")
				if s.Requests != c.asked || s.Dead == "" || s.Spared < 95 {
					t.Errorf("%+v, want %d requests", s, c.asked)
				}
				if d := slices.Max(slices.Collect(maps.Values(when))); d > 60*time.Second || when["d-99"] > 5*time.Second {
					t.Errorf("finding out took %v", d)
				}
				for _, r := range results {
					var e *Error
					if r.Err != nil && (!errors.As(r.Err, &e) || !errors.Is(r.Err, errors.Unwrap(c.err))) {
						t.Fatalf("%v does not tell the cause", r.Err)
					}
				}
			})
		})
	}
}

// TestHostRecovers: a host that is away for a moment is not dead, however many
// transfers notice it together.
func TestHostRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f, _ := newWorld(t, Options{}, func(string, int, int) (time.Duration, error) {
			if d := time.Since(began); d < time.Second/4 || d >= 3*time.Second && d < 4*time.Second {
				return time.Second / 10, refused
			}
			return time.Second, nil
		})
		count, _, _ := outcomes(t, t.Context(), f, files(t, "x", 50, "h.example"))
		if s := hostStats(t, f, "h.example"); count[""] != 50 || s.Dead != "" || s.Failures < 5 || s.Limit != 4 {
			t.Errorf("%v, %+v", count, s)
		}
	})
}

// TestAdaptiveLimit: a host that allows two transfers and throttles beyond soon
// gets two, and not one much longer.
func TestAdaptiveLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := newWorld(t, Options{HostJobs: 8}, func(_ string, _, active int) (time.Duration, error) {
			if active > 2 {
				return 0, &statusError{code: 429}
			}
			return time.Second, nil
		})
		count, when, _ := outcomes(t, t.Context(), f, files(t, "x", 200, "h.example"))
		var last time.Duration
		for _, d := range when {
			last = max(last, d)
		}
		s := hostStats(t, f, "h.example")
		if count[""] != 200 || last > 150*time.Second || s.Failures > 30 {
			t.Errorf("%v in %v, %+v", count, last, s)
		}
	})
}

// TestTransientMovesOn: while another source is at hand, trouble costs no pause;
// afterwards the first is asked again.
func TestTransientMovesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{RetryWait: time.Second}, func(host string, n, _ int) (time.Duration, error) {
			switch {
			case host == "ill.example" && n == 1:
				return 0, &statusError{code: 500}
			case host == "gone.example":
				return 0, &statusError{code: 404}
			}
			return 0, nil
		})
		r := files(t, "x", 1, "ill.example", "gone.example")
		r = append(r, files(t, "y", 1, "ill.example", "well.example")...)
		count, when, _ := outcomes(t, t.Context(), f, r)
		if count[""] != 2 || when["x-0"] < time.Second/2 || when["y-0"] != 0 {
			t.Errorf("%v %v", count, when)
		}
		if w.asked["http://gone.example/x-0"] != 1 {
			t.Error("what is gone was asked for again")
		}
	})
}

// TestCancel ends everything at once: transfers, pauses and queues.
func TestCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("told to stop")
		ctx, cancel := context.WithCancelCause(t.Context())
		f, _ := newWorld(t, Options{}, func(host string, _, _ int) (time.Duration, error) {
			if host == "ill.example" {
				return 0, &statusError{code: 500}
			}
			return time.Hour, nil
		})
		time.AfterFunc(200*time.Millisecond, func() { cancel(cause) })
		reqs := append(files(t, "slow", 1000, "slow.example"), files(t, "ill", 10, "ill.example")...)
		count, when, results := outcomes(t, ctx, f, reqs)
		if count[failure.Interrupted] != 1010 || when["slow-999"] != 200*time.Millisecond {
			t.Errorf("%v %v", count, when["slow-999"])
		}
		for _, r := range results {
			if !errors.Is(r.Err, cause) || !errors.Is(r.Err, context.Canceled) {
				t.Fatalf("%v does not tell the cause", r.Err)
			}
		}
		if err := f.Run(ctx, Made(files(t, "late", 3, "slow.example")...), func(r Result) {
			if Classify(r.Err) != failure.Interrupted {
				t.Errorf("after the end: %v", r.Err)
			}
		}); !errors.Is(err, cause) {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestRoom: once there is no room at all no transfer is started, and those under
// way end well.
func TestRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("only 3 bytes free")
		var mu sync.Mutex
		needs, begun := int64(0), 0
		o := Options{Jobs: 4, Room: func(path string, need int64) error {
			mu.Lock()
			defer mu.Unlock()
			if needs = max(needs, need); begun >= 10 {
				return full
			}
			return nil
		}}
		f, w := newWorld(t, o, func(string, int, int) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			begun++
			return time.Second, nil
		})
		count, _, results := outcomes(t, t.Context(), f, files(t, "x", 100, "h.example"))
		if n := count[""]; n < 10 || n > 13 || count[failure.Disk] != 100-n || len(w.asked) != n || needs != 100*int64(len(worldFile)) {
			t.Errorf("%v, %d asked for, Room called for %d bytes", count, len(w.asked), needs)
		}
		for _, r := range results {
			if r.Err != nil && (!errors.Is(r.Err, full) || errors.Is(r.Err, ErrRoom)) {
				t.Fatalf("%v", r.Err)
			}
		}
		if f.claimed.Load() != 0 {
			t.Errorf("%d bytes stay claimed", f.claimed.Load())
		}
	})
}

// TestRoomForSome: what does not fit fails alone, whatever its size and wherever
// it stands, and does not keep what fits from being fetched.
func TestRoomForSome(t *testing.T) {
	t.Parallel()
	const free = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		used := int64(0)
		o := Options{Jobs: 4, Room: func(_ string, need int64) error {
			mu.Lock()
			defer mu.Unlock()
			if need > free-used {
				return errors.New("too little")
			}
			return nil
		}}
		f, w := newWorld(t, o, func(string, int, int) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			used += int64(len(worldFile))
			return time.Second, nil
		})
		reqs := files(t, "x", 103, "h.example", "i.example")
		for i, size := range []int64{free, 500_000_000_000, -1} {
			reqs[i].Size = size
		}
		if err := os.WriteFile(reqs[3].Part, []byte(worldFile[:3]), 0o644); err != nil {
			t.Fatal(err)
		}
		count, _, results := outcomes(t, t.Context(), f, reqs)
		if count[""] != 100 || count[failure.Disk] != 3 || len(w.asked) < 100 || f.claimed.Load() != 0 {
			t.Errorf("%v, %d asked for, %d bytes are claimed", count, len(w.asked), f.claimed.Load())
		}
		for _, r := range results {
			if r.Err != nil && !errors.Is(r.Err, ErrRoom) {
				t.Errorf("%v", r.Err)
			}
			if _, err := os.Lstat(r.Request.Part); r.Err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s takes room: %v", r.Request.Name, err)
			}
		}
	})
}

// TestBackPressure: a done that blocks holds no host's slot, and no result is
// lost.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{Jobs: 4, HostJobs: 1}, func(string, int, int) (time.Duration, error) { return time.Second, nil })
		var mu sync.Mutex
		n := 0
		began := time.Now()
		f.Run(t.Context(), Made(files(t, "x", 40, "h.example")...), func(Result) {
			time.Sleep(3 * time.Second) // in a bubble this takes no time
			mu.Lock()
			defer mu.Unlock()
			n++
		})
		if took := time.Since(began); n != 40 || w.peak["h.example"] != 1 || took > 50*time.Second {
			t.Errorf("%d results in %v", n, took)
		}
	})
}

// TestNothingUsable ends requests that cannot be asked for at all.
func TestNothingUsable(t *testing.T) {
	t.Parallel()
	f, w := newWorld(t, Options{}, func(string, int, int) (time.Duration, error) { return 0, nil })
	for uri, class := range map[string]failure.Class{
		"":                       failure.NoURI,
		"bare-name.tar":          failure.NoURI,
		"mirror://nowhere/x.tar": failure.NoURI,
		"http://h.example:x/":    failure.BadURI,
		"http://127.0.0.1/x":     failure.Policy,
		"gopher://h.example/x":   failure.Policy,
		"http://h.example:25/x":  failure.Policy,
	} {
		r := files(t, "x", 1)[0]
		r.Sources = []catalog.Source{{URI: uri}}
		count, _, _ := outcomes(t, t.Context(), f, []*Request{r})
		if count[class] != 1 {
			t.Errorf("%q: %v, want %s", uri, count, class)
		}
	}
	r := files(t, "x", 1, "h.example")[0]
	r.Digests = nil
	if count, _, _ := outcomes(t, t.Context(), f, []*Request{r}); count[failure.Digest] != 1 {
		t.Errorf("without digests: %v", count)
	}
	if len(w.asked) != 0 {
		t.Errorf("asked for %v", w.asked)
	}
	if err := f.Run(t.Context(), Made(), nil); err != nil {
		t.Error(err)
	}
}
