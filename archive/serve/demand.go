package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"distkeep/archive/demand"
	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// A Demand gets what a catalog names and the archive has not.
type Demand struct {
	// Desk is where that is asked for.
	Desk *demand.Desk
	// Work gets what is asked for, until ctx ends. It tells scanned what it finds that
	// repositories have.
	Work func(ctx context.Context, scanned func(*catalog.Catalog))
	// Scan returns what may be asked for. It is called at the start, after each run that
	// has not told, and again after Every.
	Scan  func(ctx context.Context) (*catalog.Catalog, error)
	Every time.Duration
}

// demands is what the server knows of a Demand. Without one it answers nothing.
type demands struct {
	*Demand
	wanted atomic.Pointer[contents]
	told   atomic.Bool // what the run that goes on has found
}

// A wanted content is one that a catalog names.
type wanted struct {
	*catalog.Distfile
	named bool
}

// work gets what is asked for until ctx is ended.
func (d *demands) work(ctx context.Context, s *Server) {
	if d.Demand == nil {
		return
	}
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		d.Work(ctx, func(c *catalog.Catalog) {
			d.know(c)
			d.told.Store(true)
		})
	}()
	defer func() { <-worked }()
	d.scan(ctx, s)
	last, of := time.Now(), s.lastRun()
	tick := time.NewTicker(followTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch run := s.lastRun(); {
		case !run.Equal(of) && d.told.Swap(false):
			last, of = time.Now(), run
		case !run.Equal(of), time.Since(last) > d.Every:
			d.scan(ctx, s)
			last, of = time.Now(), run
		}
	}
}

// lastRun is when the last run began of which the server knows.
func (s *Server) lastRun() time.Time {
	if r := s.known.Load().run; r != nil {
		return r.Start
	}
	return time.Time{}
}

// scan reads what may be asked for.
func (d *demands) scan(ctx context.Context, s *Server) {
	c, err := d.Scan(ctx)
	if err == nil {
		d.know(c)
	} else if ctx.Err() == nil {
		s.Warn("%v; what was known before can be asked for", err)
	}
}

// know takes c for what may be asked for.
func (d *demands) know(c *catalog.Catalog) {
	all := &contents{wanted: make([]wanted, 0, len(c.Distfiles)+len(c.Shadowed))}
	add := func(x *catalog.Distfile, named bool) {
		if x.Restrict != "" || len(x.Sources) == 0 || !x.Digests.Verifiable() {
			return
		}
		all.wanted = append(all.wanted, wanted{x, named})
		c := content{Content: layout.Content{Name: x.Name, Digests: x.Digests, Size: x.Size, Named: !x.Unnamed, Kind: x.Kind}, owner: x.FirstOwner()}
		_, c.origin, _ = strings.Cut(x.Sources[0].URI, "://")
		all.add(&c)
	}
	for _, x := range c.Distfiles {
		add(x, true)
	}
	for _, x := range c.Shadowed {
		add(x, false)
	}
	d.wanted.Store(all.sorted())
}

// forget forgets of what was brought what is known otherwise by now.
func (d *demands) forget(c *contents) {
	if d.Demand != nil {
		d.Desk.Forget(func(sum digest.Digest) bool { return len(c.withDigest(sum)) > 0 })
	}
}

// answer answers with what a catalog names, and reports whether that is anything.
func (d *demands) answer(s *Server, w http.ResponseWriter, r *http.Request, paths []string) bool {
	if d.Demand == nil {
		return false
	}
	wanted := d.wanted.Load()
	for i := range dialects {
		for _, p := range paths {
			want, ok := dialects[i].parse(p)
			if !ok {
				continue
			}
			switch found := wanted.want(want); len(found) {
			case 0:
			case 1:
				s.counts.dialects[i].Add(1)
				d.bring(s, w, r, found[0])
				return true
			default:
				s.choices(w, found)
				return true
			}
		}
	}
	return false
}

// bring sends c, while it arrives or when it is there.
func (d *demands) bring(s *Server, w http.ResponseWriter, r *http.Request, c *content) {
	// The time for the request is over soon, and would end it.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return
	}
	file, err := d.Desk.Ask(c.wanted.Distfile, c.wanted.named)
	if err != nil {
		s.unavailable(w, err)
		return
	}
	for {
		is, changed := file.State()
		switch {
		case is.Held:
			there := *c
			there.Digests = c.Digests.Union(digest.Set{is.SHA256})
			if !s.content(w, r, s.known.Load(), &there, false) {
				s.unavailable(w, errMoved)
			}
			return
		case is.Err != nil:
			s.unavailable(w, is.Err)
			return
		case is.Have > 0 && c.Size > 0:
			if s.follow(w, r, c, file, is) {
				return
			}
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

var errMoved = errors.New("it was moved meanwhile")

// unavailable answers that what a package wants is not there, and when to ask again.
func (s *Server) unavailable(w http.ResponseWriter, err error) {
	status, text, after := http.StatusServiceUnavailable, "it cannot be had now: the log of the server tells why", retryTime
	if refused := (*demand.Refused)(nil); errors.As(err, &refused) {
		status, text, after = http.StatusNotFound, err.Error(), max(refused.Until.Sub(s.Now()), time.Second)
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
	http.Error(w, "a package wants this file: "+text, status)
}

const (
	// retryTime is when whoever could not be answered may ask again.
	retryTime = time.Minute
	// heldBack is the end of a file that nobody gets before all of it is verified.
	heldBack = 64 << 10
)

// follow sends a file while its bytes arrive, as they are when it begins, and returns
// false when nothing has been sent. The end is held back until all is verified: when it
// is not what was wanted, the connection is broken.
func (s *Server) follow(w http.ResponseWriter, r *http.Request, c *content, file *demand.File, is demand.State) bool {
	part, err := regular.OpenItself(is.Part)
	if err != nil {
		return false // it has moved on
	}
	defer part.Close()
	from, length, partial := askedFor(r.Header.Get("Range"), c.Size)
	f := &follower{ctx: r.Context(), file: file, edition: is.Edition, part: part, size: c.Size, at: from, to: from + length}
	if now, _ := file.State(); now.Edition != is.Edition {
		return false // part may be another one
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+length-1, c.Size))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead && f.send(w) != nil {
		panic(http.ErrAbortHandler) // net/http breaks the connection
	}
	return true
}

// askedFor is the part of a file of that size that a simple Range asks for. Whatever else
// it says, all of the file is an answer.
func askedFor(header string, size int64) (from, length int64, partial bool) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	a, b, dash := strings.Cut(spec, "-")
	from, err := strconv.ParseInt(a, 10, 64)
	if !ok || !dash || err != nil || from < 0 || from >= size {
		return 0, size, false
	}
	to := size - 1
	if b != "" {
		if to, err = strconv.ParseInt(b, 10, 64); err != nil || to < from {
			return 0, size, false
		}
	}
	return from, min(to, size-1) - from + 1, true
}

// A follower reads one edition of a file that grows.
type follower struct {
	ctx          context.Context
	file         *demand.File
	edition      int
	part         *os.File
	size, at, to int64
}

var errBroken = errors.New("the transfer has failed, or was begun anew")

// send sends what arrives, and the end when all is verified.
func (f *follower) send(w http.ResponseWriter) error {
	if _, err := f.part.Seek(f.at, io.SeekStart); err != nil {
		return err
	}
	flusher := http.NewResponseController(w)
	for f.at < f.to {
		is, changed := f.file.State()
		there := min(is.Have, f.size-heldBack)
		switch {
		case is.Edition != f.edition, !is.Whole && (is.Held || is.Err != nil):
			return errBroken
		case is.Whole:
			there = f.size
		}
		if there = min(there, f.to); there > f.at {
			n, err := io.CopyN(w, f.part, there-f.at)
			if f.at += n; err != nil {
				return err
			}
			continue
		}
		if err := flusher.Flush(); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-f.ctx.Done():
			return f.ctx.Err()
		}
	}
	return nil
}
