package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A lease keeps two processes on two machines from changing one archive. It is one
// object that its holder writes again and again, each time on the condition that it is
// as the holder has left it. Clocks of machines are not compared: whoever wants a lease
// that somebody has watches it, and takes it when it has not changed for as long as it
// lasts, by his own clock. So its holder, who counts from before each write, knows
// earlier than anybody else that it may have it no more.

const (
	leaseName = "lease"
	// leaseLasts is long beside a request, and short beside the pause of a job.
	leaseLasts = 2 * time.Minute
)

// ErrHeld means that somebody else has the lease.
var ErrHeld = errors.New("the archive is in use from elsewhere")

// ErrLost means that this process has the lease no more.
var ErrLost = errors.New("the archive was taken over from elsewhere, nothing more is changed")

// leaseText is the object. Everything in it is for people, but for Holder and Generation.
type leaseText struct {
	// Generation grows with every holder.
	Generation int64 `json:"generation"`
	// Holder is who has it, or empty, and What what it does.
	Holder string `json:"holder,omitempty"`
	What   string `json:"what,omitempty"`
	// Beat makes every write another object.
	Beat int64 `json:"beat"`
}

// A Lease is held until Release.
type Lease struct {
	// Taken says that another holder had not given it back.
	Taken bool

	b     *Bucket
	lasts time.Duration
	stop  context.CancelFunc
	ended chan struct{}

	mu    sync.Mutex
	text  leaseText
	etag  string
	until time.Time
	lost  error
}

// Hold takes the lease, and keeps it until Release. holder is the same for whoever cannot run
// at the same time: what a process of it has left, because it was killed, is taken at
// once. what is for people. While somebody else has it, Hold waits for as long as it takes
// to know whether that is alive; then its error wraps ErrHeld.
func (b *Bucket) Hold(ctx context.Context, holder, what string) (*Lease, error) {
	l := &Lease{b: b, lasts: b.o.Lease, ended: make(chan struct{})}
	var seen string
	var since time.Time
	for {
		is, etag, err := l.read(ctx)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		switch {
		case is.Holder == "" || is.Holder == holder, etag == seen && now.Sub(since) > l.lasts:
			l.Taken = is.Holder != "" && is.Holder != holder
			l.text = leaseText{Generation: is.Generation + 1, Holder: holder, What: what}
			err := l.write(ctx, etag)
			if err == nil {
				b.lease.Store(l)
				b.forget() // others may have made snapshots
				beating, stop := context.WithCancel(context.WithoutCancel(ctx))
				l.stop = stop
				go l.beat(beating)
				return l, nil
			}
			if !errors.Is(err, ErrExists) && !errors.Is(err, ErrChanged) {
				return nil, err
			}
			continue // somebody else was faster
		case seen != "" && etag != seen:
			return nil, fmt.Errorf("%s: %w: %s", b, ErrHeld, is.What)
		case seen == "":
			seen, since = etag, now
			if b.o.Waits != nil {
				b.o.Waits(fmt.Errorf("%s: %w: %s", b, ErrHeld, is.What))
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(l.lasts / 8):
		}
	}
}

// read returns the lease as it is. Its ETag is empty where there is none.
func (l *Lease) read(ctx context.Context) (is leaseText, etag string, err error) {
	data, o, err := l.b.getBytes(ctx, l.key(), 1<<16)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return is, "", nil
	case err != nil:
		return is, "", err
	}
	if json.Unmarshal(data, &is) != nil {
		is = leaseText{Holder: "?", What: "what is there cannot be read"}
	}
	return is, o.ETag, nil
}

// fence refuses every attempt of a request that changes something when held has an error,
// also one that comes after others have failed for minutes.
func fence(held func() error) func(*middleware.Stack) error {
	return func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("distkeep.lease", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, m middleware.Metadata, err error) {
			r, ok := in.Request.(*smithyhttp.Request)
			if ok && r.Method != http.MethodGet && r.Method != http.MethodHead && ctx.Value(unfenced{}) == nil {
				err = held()
			}
			if err != nil {
				return out, m, err
			}
			return next.HandleFinalize(ctx, in)
		}), middleware.After)
	}
}

// unfenced is in the context of what may be done without the lease: taking it, and
// ending what has not changed anything yet.
type unfenced struct{}

func (l *Lease) key() string { return l.b.prefix + leaseName }

// write writes the lease in place of the one with etag, or of none.
func (l *Lease) write(ctx context.Context, etag string) error {
	began := time.Now()
	ctx = context.WithValue(ctx, unfenced{}, true)
	l.text.Beat++
	data, err := json.Marshal(l.text)
	if err != nil {
		return err
	}
	now, err := l.b.putBytes(ctx, l.key(), data, condition{fresh: etag == "", etag: etag})
	if errors.Is(err, ErrExists) || errors.Is(err, ErrChanged) {
		// Perhaps it is what we have written, now or before: an answer may have been lost.
		if is, at, rerr := l.read(ctx); rerr == nil && is.Holder == l.text.Holder && is.Generation == l.text.Generation {
			now, err = at, nil
		}
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.etag, l.until = now, began.Add(goodFor(l.lasts))
	return nil
}

// beat keeps the lease until ctx is ended.
func (l *Lease) beat(ctx context.Context) {
	defer close(l.ended)
	lost := renew(ctx, l.lasts, func(ctx context.Context) error {
		l.mu.Lock()
		etag := l.etag
		l.mu.Unlock()
		return l.write(ctx, etag)
	})
	if lost {
		l.mu.Lock()
		l.lost = ErrLost
		l.mu.Unlock()
	}
}

// renew calls write so often that a lease is not lost while the network is away for half of
// the time that it lasts, whenever that begins. It returns when ctx is ended, or when write
// says that somebody else has the lease.
func renew(ctx context.Context, lasts time.Duration, write func(context.Context) error) (lost bool) {
	wait := lasts / 8
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
		// A write does not end with ctx: it may have come to its end all the same, and what
		// the lease is then Release would not know.
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lasts/12)
		err := write(writing)
		cancel()
		if errors.Is(err, ErrChanged) || errors.Is(err, fs.ErrNotExist) {
			return true
		}
		if wait = lasts / 8; err != nil {
			wait = lasts / 64
		}
	}
}

// goodFor is how long a holder may take a lease for his own, from before he wrote it.
func goodFor(lasts time.Duration) time.Duration { return lasts * 3 / 4 }

// held returns an error when this process may have the lease no more.
func (l *Lease) held() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost == nil && time.Now().After(l.until) {
		l.lost = ErrLost
	}
	return l.lost
}

// Release gives the lease back.
func (l *Lease) Release() error {
	l.stop()
	<-l.ended
	l.b.lease.Store(nil)
	if err := l.held(); err != nil {
		return nil // it is somebody else's, who knows
	}
	l.text.Holder, l.text.What = "", ""
	return l.write(context.Background(), l.etag)
}

// Generation is that of the lease, or zero without one.
func (b *Bucket) Generation() int64 {
	if l := b.lease.Load(); l != nil {
		return l.text.Generation
	}
	return 0
}

// Held implements vault.Remote. Without a lease nobody else is kept out.
func (b *Bucket) Held() error {
	if l := b.lease.Load(); l != nil {
		return l.held()
	}
	return nil
}
