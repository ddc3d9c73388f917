package fetch

import (
	"testing"
	"testing/synctest"
	"time"

	"distkeep/fetch/failure"
)

// TestTroubledHost: a host that breaks off everything gets two transfers at a
// time, and all of them again when it is well.
func TestTroubledHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f, _ := newWorld(t, Options{HostJobs: 8, Retries: 20, MaxRetryWait: time.Second}, func(string, int, int) (time.Duration, error) {
			if time.Since(began) < 10*time.Second {
				return time.Second, &statusError{code: 500}
			}
			return time.Second, nil
		})
		limit := make(chan int, 2)
		for _, at := range []time.Duration{8, 30} {
			time.AfterFunc(at*time.Second, func() { limit <- f.Hosts()[0].Limit })
		}
		count, _, _ := outcomes(t, t.Context(), f, files(t, "x", 250, "h.example"))
		if ill, well := <-limit, <-limit; count[""] != 250 || ill != 2 || well != 8 {
			t.Errorf("%v, limits %d and %d", count, ill, well)
		}
	})
}

// TestOneIllFile: a file that the host has trouble with says nothing about the
// host.
func TestOneIllFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{}, nil)
		least := 4
		w.answer = func(string, int, int) (time.Duration, error) {
			if len(w.asked) > 10 {
				least = min(least, f.Hosts()[0].Limit)
			}
			if w.last == "http://h.example/x-50" {
				return 0, &statusError{code: 500}
			}
			return time.Second, nil
		}
		count, _, _ := outcomes(t, t.Context(), f, files(t, "x", 100, "h.example"))
		if count[""] != 99 || count[failure.Server] != 1 || least != 4 {
			t.Errorf("%v, the limit fell to %d", count, least)
		}
	})
}

// TestTooLateIsNotAsked: a file that cannot be had within a run is asked for
// once.
func TestTooLateIsNotAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{}, func(string, int, int) (time.Duration, error) {
			return 0, &statusError{code: 503, asked: true, after: 24 * time.Hour}
		})
		count, when, _ := outcomes(t, t.Context(), f, files(t, "x", 1, "h.example"))
		if count[failure.Throttled] != 1 || when["x-0"] != 0 || w.asked["http://h.example/x-0"] != 1 {
			t.Errorf("%v after %v, asked %v", count, when, w.asked)
		}
	})
}

// TestRetriesComeFirst: a file that is tried again does not go to the end of a
// long queue.
func TestRetriesComeFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{HostJobs: 1}, nil)
		began := time.Now()
		var first time.Duration // its turn comes when its part was looked at
		w.answer = func(_ string, n, _ int) (time.Duration, error) {
			if n == 1 && w.last == "http://h.example/ill-0" {
				first = time.Since(began)
				return 0, &statusError{code: 500}
			}
			return time.Second, nil
		}
		reqs := append(files(t, "ill", 1, "h.example"), files(t, "well", 500, "h.example")...)
		_, when, _ := outcomes(t, t.Context(), f, reqs)
		if when["ill-0"]-first > 10*time.Second {
			t.Errorf("the first try came after %v, the second after %v", first, when["ill-0"])
		}
	})
}

// TestPause checks that pauses grow, vary, and end somewhere.
func TestPause(t *testing.T) {
	t.Parallel()
	o := Options{RetryWait: time.Second, MaxRetryWait: 10 * time.Second}.withDefaults()
	seen := make(map[time.Duration]bool)
	for n, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 4: 8 * time.Second, 5: 10 * time.Second, 1000: 10 * time.Second} {
		for range 50 {
			d := o.pause(n)
			seen[d] = true
			if d < most/2 || d > most {
				t.Errorf("pause %d is %v, want up to %v", n, d, most)
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("only %d different pauses", len(seen))
	}
}
