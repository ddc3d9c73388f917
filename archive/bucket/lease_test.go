package bucket

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/store"
)

// lasting opens the bucket of s with leases that last so long.
func lasting(t *testing.T, s *s3test.Server, lasts time.Duration) *Bucket {
	t.Helper()
	b := open(t, s)
	b.o.Lease = lasts
	return b
}

// TestLease: one process at a time has the lease. Who wants it while its holder lives
// is told so; what the holder gives back, or has left with the same state directory
// when it was killed, is free at once; and each holder has a generation of its own.
func TestLease(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	a, b := lasting(t, s, 6*time.Second), lasting(t, s, 6*time.Second)
	first, err := a.Hold(t.Context(), "a", "work of a")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	b.o.Waits = func(why error) { told = append(told, why.Error()) }
	if _, err := b.Hold(t.Context(), "b", "work of b"); !errors.Is(err, ErrHeld) {
		t.Fatalf("a second holder: %v", err)
	}
	if len(told) != 1 || !strings.Contains(told[0], "in use from elsewhere: work of a") {
		t.Errorf("it is told %q", told)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	second, err := b.Hold(t.Context(), "b", "work of b")
	if err != nil {
		t.Fatal(err)
	}
	again, err := lasting(t, s, 6*time.Second).Hold(t.Context(), "b", "work of b after a kill")
	if err != nil {
		t.Fatal(err)
	}
	if g := []int64{first.text.Generation, second.text.Generation, again.text.Generation}; g[0] != 1 || g[1] != 2 || g[2] != 3 {
		t.Errorf("generations %v", g)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
	second.stop() // it is dead, as far as the test goes
	<-second.ended
}

// TestLeaseLost: what a dead holder has left is taken over, and one that was only away
// writes nothing when it is back, nor removes anything.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	a, b := lasting(t, s, time.Second), lasting(t, s, time.Second)
	first, err := a.Hold(t.Context(), "a", "work of a")
	if err != nil {
		t.Fatal(err)
	}
	it := item(t, "a", "bytes")
	if err := a.Publish([]*store.Item{it}, nil); err != nil {
		t.Fatal(err)
	}
	first.stop() // its process does not come to run
	<-first.ended
	second, err := b.Hold(t.Context(), "b", "work of b")
	if err != nil {
		t.Fatal(err)
	}
	late := item(t, "b", "late")
	if err := a.Publish([]*store.Item{late}, nil); !errors.Is(err, ErrLost) || strings.Contains(err.Error(), "no answer") {
		t.Errorf("it publishes: %v", err)
	}
	if err := purge(a, it); !errors.Is(err, ErrLost) {
		t.Errorf("it purges: %v", err)
	}
	if _, ok := s.Get(key("late")); ok {
		t.Error("it has written")
	}
	if _, ok := s.Get(key("bytes")); !ok {
		t.Error("it has removed")
	}
	if err := first.Release(); err != nil {
		t.Error(err)
	}
	if err := b.Held(); err != nil {
		t.Errorf("the second holder has lost it: %v", err)
	}
	if err := second.Release(); err != nil {
		t.Error(err)
	}
}

// TestLeaseLostWithDelete: the DELETE of a holder that comes to a halt before it, and goes on when
// another has taken the lease over, removes nothing that is wanted again.
func TestLeaseLostWithDelete(t *testing.T) {
	t.Parallel()
	versity := s3test.Servers(os.Getenv(s3test.VersityVar))[s3test.Versity]
	if versity == nil {
		t.Skip("gofakes3 gives what was written in parts the ETag of its bytes: make test-s3 asks a server")
	}
	s := &s3test.Server{URL: versity(t)}
	for _, name := range []string{"restored", "fetched"} {
		again := func() *store.Item {
			it := item(t, name, name)
			if name == "restored" {
				it.Part = ""
			}
			return it
		}
		a := lasting(t, s, time.Second)
		first, err := a.Hold(t.Context(), "a", "work of a")
		if err != nil {
			t.Fatal(err)
		}
		it := item(t, name, name)
		if err := a.Publish([]*store.Item{it}, nil); err != nil {
			t.Fatal(err)
		}
		o, err := a.head(t.Context(), a.blob(it.SHA256()))
		if err != nil {
			t.Fatal(err)
		}
		first.stop() // it has asked for the lease, and halts
		<-first.ended
		for range 3 { // and whoever takes it over may be taken over in his turn
			b := lasting(t, s, time.Second)
			second, err := b.Hold(t.Context(), rand.Text(), "work of b")
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Publish([]*store.Item{again()}, nil); err != nil {
				t.Fatal(err)
			}
			second.stop()
			<-second.ended
			late := context.WithValue(t.Context(), unfenced{}, true)
			if err := a.remove(late, o.Key, o.ETag); !errors.Is(err, ErrChanged) {
				t.Fatalf("%s: the late DELETE: %v", name, err)
			}
			if o, err = b.head(t.Context(), o.Key); err != nil {
				t.Fatal(err)
			}
			if wrong, err := b.Check(t.Context(), it.SHA256(), it.Size, nil); wrong != "" || err != nil {
				t.Errorf("%s: %s (%v)", name, wrong, err)
			}
		}
		// Its own DELETE is another matter.
		if err := a.remove(context.WithValue(t.Context(), unfenced{}, true), o.Key, o.ETag); err != nil {
			t.Error(err)
		}
	}
}

// TestLeaseLostBetweenAttempts: what is tried again while the lease ends is not written.
func TestLeaseLostBetweenAttempts(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	a := lasting(t, s, time.Second)
	l, err := a.Hold(t.Context(), "a", "work of a")
	if err != nil {
		t.Fatal(err)
	}
	l.stop() // its process does not come to run
	<-l.ended
	var tried int
	s.Fail(func(int, *http.Request) s3test.Fault {
		if tried++; tried < 6 {
			return s3test.Cut
		}
		return s3test.None
	})
	if err := a.Publish([]*store.Item{item(t, "a", "bytes")}, nil); !errors.Is(err, ErrLost) {
		t.Errorf("it publishes: %v", err)
	}
	if _, ok := s.Get(key("bytes")); ok || tried < 2 {
		t.Errorf("it was written (%v) after %d attempts", ok, tried)
	}
}

// TestLeaseAnswerLost: a lease whose answer was lost is still that of its holder.
func TestLeaseAnswerLost(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	s.Fail(func(n int, r *http.Request) s3test.Fault {
		if r.Method == http.MethodPut && n%2 == 0 {
			return s3test.Unsaid
		}
		return s3test.None
	})
	b := lasting(t, s, time.Minute)
	l, err := b.Hold(t.Context(), "a", "work")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Held(), l.Release()); err != nil {
		t.Error(err)
	}
}

// TestLeaseReleasedWhileWritten: a lease can be given back while it is being renewed.
func TestLeaseReleasedWhileWritten(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := lasting(t, s, 2*time.Second)
	l, err := b.Hold(t.Context(), "a", "work")
	if err != nil {
		t.Fatal(err)
	}
	renewing, once := make(chan struct{}), false
	s.Fail(func(int, *http.Request) s3test.Fault {
		if !once {
			once = true
			close(renewing)
		}
		return s3test.None
	})
	<-renewing
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if is, _, err := l.read(t.Context()); err != nil || is.Holder != "" {
		t.Errorf("%+v holds it (%v)", is, err)
	}
}

// TestRenew: a network that is away for half of the time that a lease lasts, whenever that
// begins, does not lose it, also when all connections are dead then; and who hears that
// somebody else has it asks no more.
func TestRenew(t *testing.T) {
	t.Parallel()
	const lasts = 2 * time.Minute
	for after := time.Duration(0); after <= lasts; after += lasts / 97 {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 3*lasts)
			defer stop()
			cut, mended := time.Now().Add(after), time.Now().Add(after+lasts/2)
			until, dead, n := time.Now().Add(goodFor(lasts)), true, 0
			lost := renew(ctx, lasts, func(ctx context.Context) error {
				began := time.Now()
				if !began.Before(cut) && (began.Before(mended) || dead) {
					dead = false // the next connection is another one
					<-ctx.Done()
					return ctx.Err()
				}
				n++
				if began.After(until) {
					t.Errorf("cut after %v: lost for %v", after, began.Sub(until))
				}
				until = began.Add(goodFor(lasts))
				return nil
			})
			if lost || n < 10 || n > 30 {
				t.Errorf("cut after %v: written %d times, lost: %v", after, n, lost)
			}
		})
	}
	for _, why := range []error{ErrChanged, fs.ErrNotExist} {
		synctest.Test(t, func(t *testing.T) {
			if n := 0; !renew(t.Context(), lasts, func(context.Context) error { n++; return why }) || n != 1 {
				t.Errorf("%v: written %d times", why, n)
			}
		})
	}
}
