package fetch

import (
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"distkeep/fetch/failure"
)

// TestSignedRedirects: a host hands out redirects that are good for three
// seconds, to one that takes as long for each file.
func TestSignedRedirects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const life, serve = 3 * time.Second, 3 * time.Second
		var mu sync.Mutex
		made := make(map[string]time.Time)
		redirects, late := 0, 0
		var w *world
		f, w := newWorld(t, Options{AllowPrivate: true}, func(host string, n, active int) (time.Duration, error) {
			mu.Lock()
			defer mu.Unlock()
			if host == "origin" {
				to, err := url.Parse(w.last)
				if err != nil {
					return 0, err
				}
				redirects++
				to.Host, to.RawQuery = "store", "signature="+time.Now().Format(time.RFC3339Nano)+"-"+to.Path
				made[to.String()] = time.Now().Add(100 * time.Millisecond)
				return 100 * time.Millisecond, &redirectError{to}
			}
			if time.Since(made[w.last]) > life {
				late++
				return 0, &statusError{code: 403}
			}
			return serve, nil
		})
		const n = 200
		count, _, _ := outcomes(t, t.Context(), f, files(t, "f", n, "origin"))
		if count[""] != n || late > 0 || redirects > n+8 {
			t.Errorf("%v, %d redirects, %d of them used too late", count, redirects, late)
		}
		if w.peak["store"] != 4 {
			t.Errorf("the store was asked for %d files at a time, want 4", w.peak["store"])
		}
	})
}

// TestRedirectWaits: while its target rests, a redirect becomes too old, and the
// source is asked for another.
func TestRedirectWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rest := true
		redirects := 0
		var w *world
		f, w := newWorld(t, Options{AllowPrivate: true}, func(host string, n, active int) (time.Duration, error) {
			if host == "origin" {
				to, err := url.Parse(w.last)
				if err != nil {
					return 0, err
				}
				redirects++
				to.Host = "store"
				return time.Millisecond, &redirectError{to}
			}
			if rest {
				rest = false
				return time.Second, &statusError{code: 429, asked: true, after: time.Minute}
			}
			return time.Millisecond, nil
		})
		count, _, _ := outcomes(t, t.Context(), f, files(t, "f", 40, "origin"))
		if count[""] != 40 || redirects > 60 {
			t.Errorf("%v with %d redirects", count, redirects)
		}
	})
}

// TestRedirectsInCircle: hosts that lead to each other do not wait for each other.
func TestRedirectsInCircle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		others := map[string]string{"a": "b", "b": "c", "c": "a"}
		var w *world
		f, w := newWorld(t, Options{AllowPrivate: true, HostJobs: 1}, func(host string, n, active int) (time.Duration, error) {
			to, err := url.Parse(w.last)
			if err != nil || n > 4 {
				return time.Millisecond, err
			}
			to.Host = others[host]
			return time.Millisecond, &redirectError{to}
		})
		var reqs []*Request
		for host := range others {
			reqs = append(reqs, files(t, "of-"+host, 3, host)...)
		}
		began := time.Now()
		count, _, _ := outcomes(t, t.Context(), f, reqs)
		if count[""] != len(reqs) || time.Since(began) > time.Minute {
			t.Errorf("%v after %v", count, time.Since(began))
		}
	})
}

// TestRedirectsToMany: a host that leads to another one each time is not held up
// by one of them that stalls.
func TestRedirectsToMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w *world
		f, w := newWorld(t, Options{AllowPrivate: true, Stall: time.Minute}, func(host string, n, active int) (time.Duration, error) {
			switch host {
			case "origin":
				to, err := url.Parse(w.last)
				if err != nil {
					return 0, err
				}
				to.Host = []string{"good", "pit"}[w.asked[w.last]%2]
				return time.Millisecond, &redirectError{to}
			case "pit":
				return time.Hour, nil
			}
			return time.Second, nil
		})
		began := time.Now()
		count, _, _ := outcomes(t, t.Context(), f, files(t, "f", 40, "origin"))
		if count[""] != 40 || count[failure.Stalled] > 0 || time.Since(began) > 10*time.Minute {
			t.Errorf("%v after %v", count, time.Since(began))
		}
	})
}

// TestLaterFile: the wish to be asked later for one file holds up no other of the
// host, and is obeyed.
func TestLaterFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, code := range []int{202, 404, 409, 423} {
			var w *world
			began := time.Now()
			f, w := newWorld(t, Options{AllowPrivate: true}, func(host string, n, active int) (time.Duration, error) {
				if w.last == "http://host/f-0" && time.Since(began) < time.Minute {
					return time.Millisecond, &statusError{code: code, asked: true, after: time.Minute}
				}
				return time.Second, nil
			})
			count, when, _ := outcomes(t, t.Context(), f, files(t, "f", 40, "host"))
			if count[""] != 40 || when["f-0"] < time.Minute || when["f-39"] > 20*time.Second || w.asked["http://host/f-0"] != 2 {
				t.Errorf("%d: %v, the file after %v and %d requests, the last of the others after %v", code, count, when["f-0"], w.asked["http://host/f-0"], when["f-39"])
			}
		}
	})
}
