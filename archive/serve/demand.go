package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// A Demand gets what a catalog names and the archive has not. Its functions are called by one
// goroutine at a time.
type Demand struct {
	// Wanted returns what may be asked for. It is called at the start, and again after
	// Every.
	Wanted func(ctx context.Context) ([]*catalog.Distfile, error)
	Every  time.Duration
	// Mirror, if not nil, brings everything into the archive and does whatever else a
	// run does, when the server starts and again after MirrorEvery.
	Mirror      func(ctx context.Context, arriving func(d *catalog.Distfile, part string)) error
	MirrorEvery time.Duration
	// Get brings ds into the archive, or what of them can be had. It tells at once in which
	// file the bytes of each arrive; what is there may be wrong. Its error is about
	// all of them.
	Get func(ctx context.Context, ds []*catalog.Distfile, arriving func(d *catalog.Distfile, part string)) error
}

// demand is what the server knows of a Demand. One that is nil answers nothing.
type demand struct {
	get    *Demand
	wanted atomic.Pointer[contents]
	wake   chan struct{}

	mu     sync.Mutex
	queue  []*transfer
	going  map[string]*transfer // by key
	parts  map[string]string    // by key, where the bytes are of what is under way
	failed map[string]time.Time // what could not be had, until when nobody tries
}

// A transfer gets one content, for all who ask for it.
type transfer struct {
	want *catalog.Distfile
	// part is set when arriving is closed, and err when done is.
	arriving, done chan struct{}
	part           string
	err            error
}

// arrives tells whoever waits for t where its bytes are.
func (t *transfer) arrives(part string) {
	if t.part == "" {
		t.part = part
		close(t.arriving)
	}
}

// keyOf is the same for each content that is got once.
func keyOf(d *catalog.Distfile) string {
	return cmp.Or(d.Digests.Strongest().String(), string(d.Name))
}

func (d *demand) init(get *Demand) {
	d.get, d.wake = get, make(chan struct{}, 1)
	d.going, d.failed, d.parts = make(map[string]*transfer), make(map[string]time.Time), make(map[string]string)
	d.wanted.Store(newContents(nil, nil))
}

// How long nobody tries again to get what could not be had.
const failedTime = time.Minute

// ask begins to get c, or joins whoever does. It returns nil when that was tried just
// now, in vain.
func (d *demand) ask(c *content, now time.Time) *transfer {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := keyOf(c.wanted)
	if t := d.going[key]; t != nil {
		return t
	}
	if now.Before(d.failed[key]) {
		return nil
	}
	delete(d.failed, key)
	t := &transfer{want: c.wanted, arriving: make(chan struct{}), done: make(chan struct{})}
	d.going[key] = t
	d.queue = append(d.queue, t)
	if part := d.parts[key]; part != "" {
		t.arrives(part)
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return t
}

// work gets what is asked for until ctx is ended.
func (d *demand) work(ctx context.Context, s *Server) {
	if d.get == nil {
		return
	}
	d.scan(ctx, s)
	every := time.NewTicker(d.get.Every)
	defer every.Stop()
	var mirror <-chan time.Time
	if d.get.Mirror != nil {
		mirror = time.After(0)
	}
	for {
		select {
		case <-ctx.Done():
			d.end(d.take(), ctx.Err(), s)
			return
		case <-every.C:
			d.scan(ctx, s)
		case <-mirror:
			d.run(ctx, s, func() error { return d.get.Mirror(ctx, d.arrive) })
			d.scan(ctx, s)
			mirror = time.After(d.get.MirrorEvery)
		case <-d.wake:
			d.serve(ctx, s, d.take())
		}
	}
}

// run does something to the archive, and then knows what that has changed.
func (d *demand) run(ctx context.Context, s *Server, do func() error) error {
	err := do()
	if err != nil && ctx.Err() == nil {
		s.Warn("%v", err)
	}
	d.mu.Lock()
	clear(d.parts)
	d.mu.Unlock()
	s.Refresh()
	return err
}

// arrive notes where the bytes of x arrive.
func (d *demand) arrive(x *catalog.Distfile, part string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts[keyOf(x)] = part
	if t := d.going[keyOf(x)]; t != nil {
		t.arrives(part)
	}
}

// scan reads what may be asked for.
func (d *demand) scan(ctx context.Context, s *Server) {
	ds, err := d.get.Wanted(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.Warn("%v; what was known before can be asked for", err)
		}
		return
	}
	var all []content
	for _, x := range ds {
		if x.Restrict != "" || len(x.Sources) == 0 || !x.Digests.Verifiable() {
			continue
		}
		c := content{wanted: x, Content: layout.Content{Name: x.Name, Digests: x.Digests, Size: x.Size, Named: !x.Unnamed, Kind: x.Kind}}
		if len(x.Owners) > 0 {
			c.owner = x.Owners[0].String()
		}
		_, c.origin, _ = strings.Cut(x.Sources[0].URI, "://")
		all = append(all, c)
	}
	d.wanted.Store(newContents(all, nil))
}

func (d *demand) take() []*transfer {
	d.mu.Lock()
	defer d.mu.Unlock()
	ts := d.queue
	d.queue = nil
	return ts
}

// serve gets what ts are about, unless a run has brought it meanwhile.
func (d *demand) serve(ctx context.Context, s *Server, ts []*transfer) {
	var ds []*catalog.Distfile
	for _, t := range ts {
		if len(s.known.Load().contents.want(wishFor(t.want))) == 0 {
			ds = append(ds, t.want)
		}
	}
	var err error
	if len(ds) > 0 {
		err = d.run(ctx, s, func() error { return d.get.Get(ctx, ds, d.arrive) })
	}
	d.end(ts, err, s)
}

// end tells whoever waits for ts.
func (d *demand) end(ts []*transfer, err error, s *Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range ts {
		t.err = err
		if len(s.known.Load().contents.want(wishFor(t.want))) == 0 && err == nil {
			d.failed[keyOf(t.want)] = s.Now().Add(failedTime)
		}
		delete(d.going, keyOf(t.want))
		close(t.done)
	}
}

// wishFor is for the content of d alone.
func wishFor(d *catalog.Distfile) wish { return wish{sums: []digest.Digest{d.Digests.Strongest()}} }

// answer answers with what a catalog names, and reports whether that is anything.
func (d *demand) answer(s *Server, w http.ResponseWriter, r *http.Request, paths []string) bool {
	if d.get == nil {
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
func (d *demand) bring(s *Server, w http.ResponseWriter, r *http.Request, c *content) {
	// The time for the request is over soon, and would end it.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return
	}
	t := d.ask(c, s.Now())
	if t == nil {
		unavailable(w, http.StatusNotFound, "a package wants this file, and it could not be had: /report tells why")
		return
	}
	select {
	case <-t.arriving:
		if c.Size > 0 && s.follow(w, r, c, t) {
			return
		}
	case <-t.done:
	case <-r.Context().Done():
		return
	}
	select {
	case <-t.done:
	case <-r.Context().Done():
		return
	}
	k := s.known.Load()
	for _, x := range k.contents.want(wishFor(c.wanted)) {
		if s.content(w, r, k, x, false) {
			return
		}
	}
	if t.err != nil {
		unavailable(w, http.StatusServiceUnavailable, "the archive is at work: it will get this file later")
		return
	}
	unavailable(w, http.StatusNotFound, "a package wants this file, and it could not be had: /report tells why")
}

func unavailable(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(failedTime/time.Second)))
	http.Error(w, text, status)
}

const (
	// heldBack is the end of a file that nobody gets before all of it is verified.
	heldBack = 64 << 10
	// pollTime is how often a file is looked at that grows.
	pollTime = 20 * time.Millisecond
)

// follow sends a file while its bytes arrive, and returns false when nothing has been
// sent. The end is held back until all is verified: when it is not what was wanted, the
// connection is broken.
func (s *Server) follow(w http.ResponseWriter, r *http.Request, c *content, t *transfer) bool {
	from, length, partial := askedFor(r.Header.Get("Range"), c.Size)
	f := &follower{
		ctx: r.Context(), t: t, size: c.Size, from: from, to: from + length,
		hash: digest.NewHasher(c.Digests.Algorithms()...), buf: make([]byte, 2*heldBack),
	}
	if !f.open() {
		return false
	}
	defer f.part.Close()
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

// A follower reads a file that grows.
type follower struct {
	ctx            context.Context
	t              *transfer
	part           *os.File
	hash           *digest.Hasher // of the first at bytes
	at             int64
	size, from, to int64
	buf            []byte
}

// open waits until something of the file has arrived. It returns false when the transfer
// is over before.
func (f *follower) open() bool {
	for {
		part, err := regular.OpenItself(f.t.part)
		if err == nil {
			if fi, err := part.Stat(); err == nil && fi.Size() > 0 && fi.Size() <= f.size {
				f.part = part
				return true
			}
			part.Close()
		}
		if !f.wait() {
			return false
		}
	}
}

// wait waits a little, and returns false when the transfer is over.
func (f *follower) wait() bool {
	select {
	case <-f.t.done:
		return false
	case <-f.ctx.Done():
		return false
	case <-time.After(pollTime):
		return true
	}
}

// What can become of a transfer that somebody follows.
var (
	errFailed = errors.New("the transfer has failed, or was started anew")
	errWrong  = errors.New("the file is not what was wanted")
)

// send sends what arrives, and the end when all is verified.
func (f *follower) send(w http.ResponseWriter) error {
	flusher := http.NewResponseController(w)
	for f.at < f.size-heldBack {
		b, err := f.read(f.buf[:min(int64(len(f.buf)), f.size-heldBack-f.at)])
		if err == nil {
			err = f.pass(w, b)
		}
		if err == nil {
			err = flusher.Flush()
		}
		if err != nil {
			return err
		}
	}
	end := f.buf[:f.size-f.at]
	for n, start := 0, f.at; n < len(end); {
		b, err := f.read(end[n:])
		if err != nil {
			return err
		}
		n += len(b)
		f.at = start + int64(n)
	}
	f.at -= int64(len(end))
	whole := f.hash
	whole.Write(end)
	if r := f.t.want.Digests.Compare(whole.Sum()); r != digest.Same && r != digest.Weak {
		return errWrong
	}
	_, err := w.Write(f.asked(end))
	return err
}

// read reads what there is at f.at, and waits until there is something.
func (f *follower) read(b []byte) ([]byte, error) {
	for over := false; ; over = !f.wait() {
		n, err := f.part.ReadAt(b, f.at)
		if n > 0 {
			return b[:n], nil
		}
		if err != io.EOF {
			return nil, err
		}
		if fi, err := f.part.Stat(); err != nil || fi.Size() < f.at || over {
			return nil, errors.Join(err, errFailed)
		}
	}
}

// pass hashes b, which is at f.at, and sends what of it was asked for.
func (f *follower) pass(w io.Writer, b []byte) error {
	f.hash.Write(b)
	_, err := w.Write(f.asked(b))
	f.at += int64(len(b))
	return err
}

// asked is what of b, which is at f.at, was asked for.
func (f *follower) asked(b []byte) []byte {
	start, end := max(f.from-f.at, 0), min(f.to-f.at, int64(len(b)))
	if start >= end {
		return nil
	}
	return b[start:end]
}
