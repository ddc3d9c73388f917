package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/fetch/failure"
)

// A Version says which content of a URL somebody has, as far as its server
// tells contents apart. The zero value is none.
type Version struct {
	// Size is the length in bytes.
	Size int64
	// Validator is the server's mark of the content: a strong entity tag or,
	// where there is none, the date (RFC 9110, section 13.1.5).
	Validator string
	// ModTime is the server's Last-Modified; zero when it tells none.
	ModTime time.Time
}

// ErrUnchanged means that a URL still has the content that was named.
var ErrUnchanged = errors.New("content has not changed")

// Get fetches a file that nobody has announced, such as the database of a
// repository, by http, https, ftp or file. What it is worth is for the caller
// to judge: neither size nor digests are known. It is bound by the same policy
// and the same time limits as any other transfer, but uses no lane.
//
// Transient trouble is tried again with the pauses of Options. start is called
// whenever the bytes begin to come, and returns where they go: what an earlier
// call got is void then. More than most bytes are an error.
//
// When have names a content, and the server says that it has that one still,
// the error is ErrUnchanged and start was not called. Any other error has an
// *Error in its chain.
func (f *Fetcher) Get(ctx context.Context, uri string, have Version, most int64, start func() (io.Writer, error)) (Version, error) {
	g := &getter{f: f, have: have, most: most, start: start}
	e := &Error{Name: catalog.Name(path.Base(catalog.Redact(uri))), Class: failure.BadURI, url: catalog.Redact(uri)}
	u, err := parseURL(uri)
	if err != nil {
		e.Err = err
		return Version{}, e
	}
	for try := 1; ; try++ {
		began := time.Now()
		g.plain = try > 2
		v, err := g.try(ctx, u)
		f.wait(g, began)
		if err == nil || errors.Is(err, ErrUnchanged) {
			return v, err
		}
		if ctx.Err() != nil {
			err = interrupted(ctx)
		}
		e.Class, e.Err = Classify(err), err
		e.Attempts = append(e.Attempts, Attempt{URL: redact(u), Host: laneKey(u), Class: e.Class, Err: err})
		if g.failed || try > f.o.Retries || !e.Class.Transient() || hopeless(err) || errors.Is(err, errNoProgress) {
			return Version{}, e
		}
		pause := f.o.pause(try)
		if status := (*statusError)(nil); errors.As(err, &status) && status.asked {
			if pause = max(pause, status.after); pause > f.o.MaxRetryAfter {
				return Version{}, e
			}
		}
		began = time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		f.wait(g, began)
	}
}

// A getter is one Get.
type getter struct {
	f     *Fetcher
	have  Version
	most  int64
	start func() (io.Writer, error)
	// failed: it is not the server's fault, so that asking again is of no use.
	failed bool
	// plain leaves out all that only improves a request.
	plain bool
	// came counts bytes that were not yet set off against the patience.
	came int64
}

// maxWait is how long all calls of Get of a Fetcher together may be slower than
// a transfer that moves: what they ask for holds up everything else.
const maxWait = 10 * time.Minute

var errImpatient = fmt.Errorf("%w: all that was asked for has been waited for %v", errNoProgress, maxWait)

// wait notes the time since began that brought too little.
func (f *Fetcher) wait(g *getter, began time.Time) {
	f.waited.Add(int64(max(0, f.o.lost(time.Since(began)-prompt, g.came))))
	g.came = 0
}

// try asks once, redirects included.
func (g *getter) try(ctx context.Context, u *url.URL) (Version, error) {
	t := new(trip)
	for {
		if err := g.f.guard.check(u); err != nil {
			return Version{}, err
		}
		v, err := g.ask(ctx, u, t)
		moved := (*redirectError)(nil)
		if !errors.As(err, &moved) {
			return v, err
		}
		u = moved.to
		if err := t.hop(u); err != nil {
			return Version{}, err
		}
	}
}

// ask makes one request.
func (g *getter) ask(ctx context.Context, u *url.URL, t *trip) (v Version, err error) {
	o := &g.f.o
	switch {
	case g.f.waited.Load() >= int64(maxWait):
		return v, errImpatient
	case schemeOf(u).program:
		return v, &policyError{"a single file is not asked for by " + u.Scheme}
	}
	dctx, dog := watch(ctx, 2*o.ConnectTimeout+o.HeaderTimeout, errNoAnswer)
	defer dog.stop()
	defer func() {
		if err != nil && dctx.Err() != nil && ctx.Err() == nil {
			err = context.Cause(dctx)
		}
	}()
	b, err := g.f.transports[u.Scheme].open(dctx, u, resume{size: -1, validator: g.have.Validator, trip: t, plain: g.plain})
	if is[*completeError](err) {
		return v, ErrUnchanged
	}
	if err != nil {
		return v, err
	}
	defer b.Close()
	if b.refusal != nil {
		return v, b.refusal // nothing tells whether the bytes are right
	}
	dog.allow(o.Stall, errStalled)
	if b.size > g.most {
		return v, &sizeError{want: g.most, got: b.size, more: true}
	}
	w, err := g.start()
	if err != nil {
		g.failed = true
		return v, &diskError{err}
	}
	n, err := g.copy(dctx, w, b, dog)
	if err != nil {
		return v, err
	}
	return version(n, b), nil
}

// version makes the Version of n bytes that came by b.
func version(n int64, b *body) Version {
	v := Version{Size: n, Validator: b.validator}
	mod, err := http.ParseTime(b.header.Get("Last-Modified"))
	if err == nil {
		v.ModTime = mod
	}
	if strings.HasPrefix(b.validator, `"`) {
		return v
	}
	// A date alone cannot tell what was written in the same second (RFC 9110,
	// section 8.8.2.2).
	if date, derr := http.ParseTime(b.header.Get("Date")); err != nil || derr != nil || date.Sub(mod) < 2*time.Second {
		v.Validator = ""
	}
	return v
}

// copy moves the body to w.
func (g *getter) copy(ctx context.Context, w io.Writer, b *body, dog *watchdog) (n int64, err error) {
	o := &g.f.o
	buf := make([]byte, bufferSize)
	look, since := time.Now(), int64(0)
	began := look
	for {
		if ctx.Err() != nil { // a file of this machine does not look
			return n, context.Cause(ctx)
		}
		k, err := b.Read(buf)
		if k > 0 {
			dog.feed()
			g.came += int64(k)
			if n += int64(k); n > g.most {
				return n, &sizeError{want: g.most, got: n, more: true}
			}
			if _, err := w.Write(buf[:k]); err != nil {
				g.failed = true
				return n, &diskError{err}
			}
		}
		switch {
		case err == io.EOF && (n == b.size || b.size < 0 && b.clean):
			return n, nil
		case err != nil:
			return n, &truncatedError{have: n, want: b.size, err: unexpectedEOF(err)}
		}
		if took := time.Since(look); o.MinRate > 0 && took >= o.RateWindow {
			if rate, asked := float64(n-since)/took.Seconds(), o.asked(time.Since(began)); rate < asked {
				return n, fmt.Errorf("%w: %.0f bytes a second, %.0f are asked for", errNoProgress, rate, asked)
			}
			look, since = time.Now(), n
		}
		if o.lost(time.Since(began), n) > maxWait-time.Duration(g.f.waited.Load()) {
			return n, errImpatient
		}
	}
}
