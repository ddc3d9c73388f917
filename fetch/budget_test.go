package fetch

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A drip is a body of which rate bytes come in each second of its age.
type drip struct {
	ctx   context.Context
	began time.Time
	rate  func(age time.Duration) int
	left  int64
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(time.Second):
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
	n := min(len(p), d.rate(time.Since(d.began)), int(d.left))
	d.left -= int64(n)
	clear(p[:n])
	return n, nil
}

func (d *drip) Close() error { return nil }

// An opener is what a host does.
type opener func(ctx context.Context, u *url.URL, from resume) (*body, error)

// hosts are openers by host; the one of "" is for all others.
type hosts map[string]opener

func (h hosts) open(ctx context.Context, u *url.URL, from resume) (*body, error) {
	if o := h[u.Host]; o != nil {
		return o(ctx, u, from)
	}
	return h[""](ctx, u, from)
}

// dripping sends a file of size at a rate.
func dripping(size int64, rate func(age time.Duration) int) opener {
	return func(ctx context.Context, u *url.URL, from resume) (*body, error) {
		return &body{ReadCloser: &drip{ctx, time.Now(), rate, size - from.offset}, offset: from.offset, size: size, final: u, clean: true}, nil
	}
}

func steady(rate int) func(time.Duration) int { return func(time.Duration) int { return rate } }

// mute is a host that takes a request and never answers.
func mute(ctx context.Context, _ *url.URL, _ resume) (*body, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// healthy has every file after a second.
func healthy(t *testing.T, o Options, h hosts) *Fetcher {
	f, w := newWorld(t, o, func(string, int, int) (time.Duration, error) { return time.Second, nil })
	h[""] = w.open
	f.transports["http"] = h
	return f
}

// large makes requests for files of size that no transfer completes.
func large(t *testing.T, size int64, prefix string, n int, hosts ...string) []*Request {
	reqs := files(t, prefix, n, hosts...)
	for _, r := range reqs {
		r.Size, r.Digests = size, digest.Set{digest.SHA256.Sum([]byte(prefix))}
	}
	return reqs
}

// TestTarPits: whatever one host does, all that others have is there within twice
// the time that they need, and a stall limit; what the host has not delivered is
// reported as its trouble, and the run ends.
func TestTarPits(t *testing.T) {
	t.Parallel()
	const size = 1 << 30
	for name, pit := range map[string]struct {
		do    opener
		class failure.Class
		// most is how long the run may take
		most time.Duration
	}{
		"a trickle": {dripping(size, steady(300)), failure.Stalled, 10 * time.Minute},
		"mute":      {mute, failure.Stalled, 5 * time.Minute},
		"stalls": {func(ctx context.Context, u *url.URL, _ resume) (*body, error) {
			return &body{ReadCloser: silence{ctx}, size: size, final: u, clean: true}, nil
		}, failure.Stalled, 10 * time.Minute},
		"at the floor": {dripping(size, func(age time.Duration) int { return 270 + 256*int(age/growth+1) }), failure.Stalled, 7 * time.Hour},
		"one byte a Range": {func(_ context.Context, u *url.URL, from resume) (*body, error) {
			time.Sleep(100 * time.Millisecond)
			return &body{ReadCloser: &oneByte{}, offset: from.offset, size: size, final: u}, nil
		}, failure.Truncated, 20 * time.Minute},
		"endless redirects": {func(_ context.Context, u *url.URL, _ resume) (*body, error) {
			time.Sleep(9 * time.Second)
			to := *u
			to.Path += "x"
			return nil, &redirectError{&to}
		}, failure.BadURI, 4 * time.Hour},
		"pauses": {func(context.Context, *url.URL, resume) (*body, error) {
			return nil, &statusError{code: http.StatusTooManyRequests, after: 119 * time.Second, asked: true}
		}, failure.Throttled, 20 * time.Minute},
		"a slow no": {func(context.Context, *url.URL, resume) (*body, error) {
			time.Sleep(50 * time.Second)
			return nil, &statusError{code: http.StatusNotFound}
		}, failure.Gone, 90 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, o := range []Options{{}, {Jobs: 4}} {
				synctest.Test(t, func(t *testing.T) {
					f := healthy(t, o, hosts{"pit.example": pit.do})
					reqs := append(large(t, size, "pit", 1000, "pit.example"), files(t, "good", 120, "a.example", "b.example")...)
					began := time.Now()
					count, when, results := outcomes(t, t.Context(), f, reqs)
					took := time.Since(began)
					var last time.Duration
					for n := range 120 {
						last = max(last, when[catalog.Name(fmt.Sprint("good-", n))])
					}
					if alone := 30 * time.Second; last > 2*alone+time.Minute {
						t.Errorf("%d jobs: others had to wait for %v", f.o.Jobs, last)
					}
					if count[""] != 120 || took > pit.most {
						t.Errorf("%v after %v", count, took)
					}
					if count[pit.class] == 0 || count[""]+count[pit.class]+count[failure.Stalled]*min(1, len(pit.class)) < 120 {
						t.Errorf("%v, want %s", count, pit.class)
					}
					for _, r := range results {
						if r.Err != nil && Classify(r.Err) == failure.Interrupted {
							t.Fatal(r.Err)
						}
					}
				})
			}
		})
	}
}

// A oneByte body breaks off after a byte.
type oneByte struct{ sent bool }

func (b *oneByte) Read(p []byte) (int, error) {
	if b.sent {
		return 0, syscall.ECONNRESET
	}
	b.sent, p[0] = true, 'x'
	return 1, nil
}

func (b *oneByte) Close() error { return nil }

// TestThousandTarPits: a thousand hosts hold a run for little longer than one. A
// quarter of them do unless DISTKEEP_SWEEP is set: more than there are places for,
// those beside the others included.
func TestThousandTarPits(t *testing.T) {
	t.Parallel()
	const size = 1 << 30
	pits := 250
	if os.Getenv("DISTKEEP_SWEEP") != "" {
		pits = 1000
	}
	for name, do := range map[string]opener{
		"mute":         mute,
		"a trickle":    dripping(size, steady(300)),
		"at the floor": dripping(size, func(age time.Duration) int { return 270 + 256*int(age/growth+1) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := make(hosts)
				var reqs []*Request
				for n := range pits {
					host := fmt.Sprintf("pit%d.example", n)
					h[host] = do
					reqs = append(reqs, large(t, size, host, 2, host)...)
				}
				reqs = append(reqs, files(t, "good", 120, "a.example", "b.example")...)
				f := healthy(t, Options{}, h)
				began := time.Now()
				count, when, _ := outcomes(t, t.Context(), f, reqs)
				var last time.Duration
				for n := range 120 {
					last = max(last, when[catalog.Name(fmt.Sprint("good-", n))])
				}
				if took := time.Since(began); took > 2*time.Hour || count[""] != 120 {
					t.Errorf("%v after %v", count, took)
				}
				// They take 16 places for up to 15 seconds each.
				if last > time.Minute+time.Duration(pits)*time.Second {
					t.Errorf("others had to wait for %v", last)
				}
			})
		})
	}
}

// TestMuteHosts: hosts that do not answer are waited for together.
func TestMuteHosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := hosts{}
		f := healthy(t, Options{}, h)
		var reqs []*Request
		for n := range 24 {
			host := fmt.Sprintf("mute%d.example", n)
			h[host] = func(ctx context.Context, _ *url.URL, _ resume) (*body, error) {
				select { // as net/http says it
				case <-time.After(time.Minute):
				case <-ctx.Done():
				}
				return nil, errNoAnswer
			}
			reqs = append(reqs, files(t, host, 3, host)...)
		}
		began := time.Now()
		count, _, _ := outcomes(t, t.Context(), f, reqs)
		if took := time.Since(began); count[failure.Stalled] != len(reqs) || took > 140*time.Second {
			t.Errorf("%v after %v", count, took)
		}
	})
}

// TestMaxTime: what outlives it is parked: its .part stays, and it is no failure.
func TestMaxTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 30
		h := hosts{"slow.example": dripping(size, steady(20<<10))}
		f := healthy(t, Options{MaxTime: 2 * time.Minute}, h)
		reqs := append(large(t, size, "slow", 20, "slow.example"), files(t, "good", 20, "a.example")...)
		began := time.Now()
		if err := f.Run(t.Context(), Made(), nil); err != nil {
			t.Error(err)
		}
		count, _, _ := outcomes(t, t.Context(), f, reqs)
		if took := time.Since(began); took != 2*time.Minute || count[""] != 20 || count[failure.Interrupted] != 20 {
			t.Errorf("%v after %v", count, took)
		}
		fi, err := os.Stat(reqs[0].Part)
		if err != nil || fi.Size() < 100*20<<10 {
			t.Errorf("the .part: %v, %v", fi, err)
		}
	})
}

// TestSlowButHonest: a server that is slow, and alone, has its time.
func TestSlowButHonest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		data := make([]byte, 2<<20)
		f := healthy(t, Options{}, hosts{"slow.example": func(ctx context.Context, u *url.URL, _ resume) (*body, error) {
			return &body{ReadCloser: &drip{ctx, time.Now(), steady(2 << 10), int64(len(data))}, size: int64(len(data)), final: u, clean: true}, nil
		}})
		reqs := files(t, "slow", 1, "slow.example")
		h := digest.NewHasher()
		h.Write(data)
		reqs[0].Size, reqs[0].Digests = int64(len(data)), h.Sum()
		if count, _, results := outcomes(t, t.Context(), f, reqs); count[""] != 1 || len(results[0].Attempts) != 1 {
			t.Errorf("%v: %v, %+v", count, results[0].Err, results[0].Attempts)
		}
	})
}

// TestSlowAnswer: the wait for an answer is no time in which bytes could have come.
func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reqs := files(t, "slow", 1, "slow.example")
		f := healthy(t, Options{}, hosts{"slow.example": func(_ context.Context, u *url.URL, _ resume) (*body, error) {
			time.Sleep(90 * time.Second)
			file := strings.NewReader(worldFile)
			return &body{ReadCloser: io.NopCloser(iotest.OneByteReader(file)), size: file.Size(), final: u, clean: true}, nil
		}})
		if count, _, results := outcomes(t, t.Context(), f, reqs); count[""] != 1 || len(results[0].Attempts) != 1 {
			t.Errorf("%v: %v, %+v", count, results[0].Err, results[0].Attempts)
		}
	})
}

// TestGetEnds: what a scan asks for is waited for a bounded time, however many
// files its upstream is to have.
func TestGetEnds(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]opener{
		"mute":         mute,
		"a trickle":    dripping(1<<30, steady(300)),
		"at the floor": dripping(1<<30, func(age time.Duration) int { return 270 + 256*int(age/growth+1) }),
		"pauses": func(context.Context, *url.URL, resume) (*body, error) {
			return nil, &statusError{code: http.StatusTooManyRequests, after: 119 * time.Second, asked: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := healthy(t, Options{}, hosts{"pit.example": do})
				began := time.Now()
				for n := range 100 {
					_, err := f.Get(t.Context(), fmt.Sprintf("http://pit.example/%d.db", n), Version{}, 1<<30, func() (io.Writer, error) { return io.Discard, nil })
					if c := Classify(err); c != failure.Stalled && c != failure.Throttled {
						t.Errorf("%d: %v", n, err)
					}
				}
				if took := time.Since(began); took > maxWait+4*time.Minute {
					t.Errorf("a hundred files took %v", took)
				}
			})
		})
	}
}

// TestGetIsPatient: thousands of small files, none of which comes slowly, are no
// reason to end.
func TestGetIsPatient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := healthy(t, Options{}, hosts{})
		for n := range 3000 {
			if _, err := f.Get(t.Context(), fmt.Sprintf("http://a.example/%d", n), Version{}, 1<<20, func() (io.Writer, error) { return io.Discard, nil }); err != nil {
				t.Fatal(n, err)
			}
		}
	})
}
