// Package fetchtest is a world for package fetch to be tried in: an upstream on
// loopback that misbehaves in every way known of real ones, and a suite that
// every transport passes.
//
// What an [Upstream] does is a pure function of the URL and of how often that
// URL was asked for before, so that runs can be repeated and compared.
package fetchtest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Content returns size bytes that depend on the name only.
func Content(name string, size int) []byte {
	seed := sha256.Sum256([]byte(name))
	out := make([]byte, size)
	r := rand.NewChaCha8(seed)
	r.Read(out)
	return out
}

// An Upstream is a web server on loopback. The first component of a path names
// the fault, the last one the file:
//
//	http://127.0.0.1:PORT/503-once/any/thing/a-1.tar.gz
//
// A path without a known fault is served well.
type Upstream struct {
	// URL is the base URL, without a slash at its end.
	URL string
	// Other is the base URL of a second host, to which redirects lead.
	Other string
	// Delay is the time before each answer, as a long way makes it.
	Delay time.Duration
	// WriteBuffer bounds what counts as sent although no client has read it:
	// megabytes otherwise. Small ones are slow.
	WriteBuffer int
	// Stall is how long a stalled transfer hangs before it is cut.
	Stall time.Duration

	server *http.Server
	mu     sync.Mutex
	files  map[string][]byte
	asked  map[string]int
	protos map[string]int
	conns  map[net.Conn]bool
	peak   int
	active int // requests under way
	most   int
	sent   atomic.Int64
	wg     sync.WaitGroup
}

// NewUpstream returns an Upstream that does not listen yet.
func NewUpstream() *Upstream {
	u := &Upstream{Stall: time.Minute, files: make(map[string][]byte), asked: make(map[string]int), protos: make(map[string]int), conns: make(map[net.Conn]bool)}
	u.server = &http.Server{Handler: u, ConnState: u.connState}
	return u
}

// Start listens on addr, "127.0.0.1:0" for any port, until Close.
func Start(addr string) (*Upstream, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	u := NewUpstream()
	u.URL = "http://" + l.Addr().String()
	u.Other = u.URL
	u.wg.Go(func() { u.server.Serve(l) })
	return u, nil
}

// Close ends all connections.
func (u *Upstream) Close() error {
	err := u.server.Close()
	u.wg.Wait()
	return err
}

// Add makes a file known by the last component of its name.
func (u *Upstream) Add(name string, data []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files[name] = data
}

// Requests tells how often a path was asked for.
func (u *Upstream) Requests(path string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked[path]
}

// Total tells how many requests there were.
func (u *Upstream) Total() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, k := range u.asked {
		n += k
	}
	return n
}

// Protos counts requests by protocol, such as "HTTP/2.0".
func (u *Upstream) Protos() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.protos)
}

// Sent counts the bytes of bodies sent.
func (u *Upstream) Sent() int64 { return u.sent.Load() }

// Peak is the largest number of connections, and of requests under way, at one
// time.
func (u *Upstream) Peak() (conns, requests int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.peak, u.most
}

func (u *Upstream) connState(c net.Conn, s http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch s {
	case http.StateNew:
		if tcp, ok := c.(*net.TCPConn); ok && u.WriteBuffer > 0 {
			tcp.SetWriteBuffer(u.WriteBuffer)
		}
		u.conns[c] = true
		u.peak = max(u.peak, len(u.conns))
	case http.StateClosed, http.StateHijacked:
		delete(u.conns, c)
	}
}

// A request is one request and the file that it is for.
type request struct {
	w       http.ResponseWriter
	r       *http.Request
	u       *Upstream
	name    string
	data    []byte
	attempt int // from 1
	active  int // requests under way, this one included
}

// ServeHTTP implements http.Handler.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	name := path[strings.LastIndexByte(path, '/')+1:]
	kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	u.mu.Lock()
	u.asked[path]++
	u.protos[r.Proto]++
	u.active++
	u.most = max(u.most, u.active)
	q := &request{w: w, r: r, u: u, name: name, data: u.files[name], attempt: u.asked[path], active: u.active}
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		u.active--
		u.mu.Unlock()
	}()
	if u.Delay > 0 && !q.hang(u.Delay) {
		return
	}
	if q.data == nil {
		http.NotFound(w, r)
		return
	}
	if f, ok := faults[kind]; ok {
		f.serve(q)
		return
	}
	q.ok()
}

// Header and WriteHeader are those of http.ResponseWriter.
func (q *request) Header() http.Header  { return q.w.Header() }
func (q *request) WriteHeader(code int) { q.w.WriteHeader(code) }

// Write counts what is sent.
func (q *request) Write(p []byte) (int, error) {
	n, err := q.w.Write(p)
	q.u.sent.Add(int64(n))
	return n, err
}

// rangeStart is the first byte asked for.
func (q *request) rangeStart() int {
	s, _ := strings.CutPrefix(q.r.Header.Get("Range"), "bytes=")
	s, _, _ = strings.Cut(s, "-")
	n, _ := strconv.Atoi(s)
	return n
}

// ok serves the file as RFC 9110 wants it.
func (q *request) ok() { q.serveFrom(q.tag("1"), len(q.data)) }

func (q *request) tag(version string) string {
	return fmt.Sprintf(`"%s-%d"`, version, binary.BigEndian.Uint32(append(q.data, 0, 0, 0, 0)))
}

// serveFrom serves the range that is asked for and breaks off before byte end.
func (q *request) serveFrom(tag string, end int) {
	from := q.rangeStart()
	if cond := q.r.Header.Get("If-Range"); cond != "" && cond != tag {
		from = 0
	}
	h := q.Header()
	h.Set("ETag", tag)
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
	if from > 0 && from >= len(q.data) {
		h.Set("Content-Range", "bytes */"+strconv.Itoa(len(q.data)))
		q.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(q.data)-from))
	if from > 0 {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(q.data)-1, len(q.data)))
		q.WriteHeader(http.StatusPartialContent)
	}
	if end > from {
		q.Write(q.data[from:end])
	}
	if end < len(q.data) {
		q.Flush()
	}
}

// Flush sends what was written.
func (q *request) Flush() { http.NewResponseController(q.w).Flush() }
