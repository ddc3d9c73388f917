package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A deaf transport answers after a while, and then nothing comes.
type deaf struct{ after time.Duration }

type silence struct{ ctx context.Context }

func (s silence) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (s silence) Close() error { return nil }

func (d deaf) open(ctx context.Context, u *url.URL, _ resume) (*body, error) {
	time.Sleep(d.after)
	return &body{ReadCloser: silence{ctx}, size: int64(len(worldFile)), final: u, clean: true}, nil
}

// TestDoors: a port or a scheme that is dead says nothing about the others of
// the host, which share its bound of transfers.
func TestDoors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{HostJobs: 3, Jobs: 20}, func(string, int, int) (time.Duration, error) { return time.Second, nil })
		broken := func(string, int, int) (time.Duration, error) { return 0, http.ErrSchemeMismatch }
		f.transports["https"] = &world{active: make(map[string]int), peak: make(map[string]int), asked: make(map[string]int), answer: broken}
		f.transports["ftp"] = w
		reqs := files(t, "good", 40, "h.example")
		for i, r := range reqs[:20] {
			r.Sources[0].URI = fmt.Sprint("ftp://h.example/", i)
		}
		bad := files(t, "bad", 3, "h.example")
		for i, uri := range []string{"https://h.example/0", "https://h.example:80/1", "https://h.example/2"} {
			bad[i].Sources[0].URI = uri
		}
		count, _, _ := outcomes(t, t.Context(), f, append(bad, reqs...))
		if count[""] != 40 || count[failure.TLS] != 3 {
			t.Errorf("outcomes are %v", count)
		}
		s := hostStats(t, f, "h.example")
		if w.most != 3 || s.Peak > 3 || s.Files != 40 || s.Spared != 1 || s.Dead != "" {
			t.Errorf("at most %d transfers, %+v", w.most, s)
		}
	})
}

// TestHostsThatWait: a host that puts everybody off, or from which nothing comes,
// does not hold the run for longer than somebody would wait.
func TestHostsThatWait(t *testing.T) {
	t.Parallel()
	throttle := func(after time.Duration) func(string, int, int) (time.Duration, error) {
		return func(string, int, int) (time.Duration, error) {
			return 20 * time.Millisecond, &statusError{code: http.StatusTooManyRequests, after: after, asked: after > 0}
		}
	}
	for name, c := range map[string]struct {
		answer func(string, int, int) (time.Duration, error)
		class  failure.Class
	}{
		"retry after": {throttle(119 * time.Second), failure.Throttled},
		"throttled":   {throttle(0), failure.Throttled},
		"tar pit":     {nil, failure.Stalled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				f, _ := newWorld(t, Options{}, c.answer)
				if c.answer == nil {
					f.transports["http"] = deaf{}
				}
				ctx, stop := context.WithTimeoutCause(t.Context(), 24*time.Hour, errors.New("a day has passed"))
				defer stop()
				count, _, _ := outcomes(t, ctx, f, files(t, "x", 1000, "h.example"))
				if took := time.Since(began); count[c.class] != 1000 || took > 20*time.Minute {
					t.Errorf("%v after %v", count, took)
				}
				if s := hostStats(t, f, "h.example"); s.DeadClass != c.class || s.Requests > 2000 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestHugeFile: a size that cannot be is the trouble of one file.
func TestHugeFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := Options{Room: func(_ string, need int64) error {
			if need < 0 || need > 1<<40 {
				return fmt.Errorf("no room for %d bytes", need)
			}
			return nil
		}}
		f, _ := newWorld(t, o, func(string, int, int) (time.Duration, error) { return time.Second, nil })
		bad := files(t, "bad", 3, "a.example", "b.example", "c.example")
		for i, size := range []int64{1<<63 - 1, 1<<63 - 1, 1 << 41} {
			bad[i].Size = size
		}
		count, _, _ := outcomes(t, t.Context(), f, append(bad, files(t, "x", 100, "a.example")...))
		if count[""] != 100 || count[failure.Disk] != 3 || f.claimed.Load() != 0 {
			t.Errorf("%v, %d bytes are claimed", count, f.claimed.Load())
		}
	})
}

// A oneFile transport has one file under every name.
type oneFile []byte

func (s oneFile) open(_ context.Context, u *url.URL, _ resume) (*body, error) {
	return &body{ReadCloser: io.NopCloser(bytes.NewReader(s)), size: int64(len(s)), final: u, clean: true}, nil
}

// TestOwnRate: what our own rate limit holds back is not the server's fault.
func TestOwnRate(t *testing.T) {
	t.Parallel()
	data := make([]byte, 4*bufferSize)
	h := digest.NewHasher()
	h.Write(data)
	synctest.Test(t, func(t *testing.T) {
		f, _ := newWorld(t, Options{Rate: bufferSize, Stall: 2 * time.Second, HostJobs: 8}, nil)
		f.transports["http"] = oneFile(data)
		reqs := files(t, "x", 8, "h.example")
		for _, r := range reqs {
			r.Size, r.Digests = int64(len(data)), h.Sum()
		}
		count, _, results := outcomes(t, t.Context(), f, reqs)
		if count[""] != 8 {
			t.Errorf("%v", count)
		}
		for _, r := range results {
			if len(r.Attempts) > 1 {
				t.Errorf("%s took %d attempts: %v", r.Request.Name, len(r.Attempts), r.Attempts[0].Err)
			}
		}
	})
}

// TestAllSlotsAreUsed: when a host has answered, all transfers that it may have
// begin, also while none of them ends.
func TestAllSlotsAreUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, _ := newWorld(t, Options{HostJobs: 8, Stall: -1, MinRate: -1}, nil)
		f.transports["http"] = deaf{time.Second}
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, func() {
			if s := hostStats(t, f, "h.example"); s.Peak != 8 {
				t.Errorf("%d transfers at one time, want 8", s.Peak)
			}
			stop()
		})
		outcomes(t, ctx, f, files(t, "x", 8, "h.example"))
	})
}
