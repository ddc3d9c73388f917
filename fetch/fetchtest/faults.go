package fetchtest

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A Fault is one way to misbehave.
type Fault struct {
	Name string
	// Class is that of the failure, or empty when the file can be had.
	Class string
	// Slow ones end when the client loses its patience. It is not told from a
	// busy machine by that.
	Slow  bool
	serve func(q *request)
}

// Faults returns all faults that one web server alone can show, by name. Tests that
// count requests leave out the slow ones.
func Faults(slow bool) []Fault {
	out := make([]Fault, 0, len(faults))
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		if f := faults[name]; slow || !f.Slow {
			f.Name = name
			out = append(out, f)
		}
	}
	return out
}

// half is where transfers break.
func (q *request) half() int { return q.rangeStart() + (len(q.data)-q.rangeStart())/2 }

// first makes only the first request fail.
func first(fault func(*request)) func(*request) {
	return func(q *request) {
		if q.attempt > 1 {
			q.ok()
			return
		}
		fault(q)
	}
}

func status(code int) func(*request) {
	return func(q *request) { http.Error(q, http.StatusText(code), code) }
}

func redirect(to func(*request) string) func(*request) {
	return func(q *request) {
		q.Header().Set("Location", to(q))
		q.WriteHeader(http.StatusFound)
	}
}

// body sends b as the whole file.
func body(q *request, b []byte) {
	q.Header().Set("Content-Length", strconv.Itoa(len(b)))
	q.Write(b)
}

// drop ends the connection, with a reset if hard.
func drop(q *request, hard bool) {
	if q.r.ProtoMajor != 1 {
		panic(http.ErrAbortHandler)
	}
	c, _, err := http.NewResponseController(q.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := c.(*net.TCPConn); ok && hard {
		tcp.SetLinger(0)
	}
	c.Close()
}

// wrongRange sends the whole file, and says so, for any range.
func (q *request) wrongRange() {
	q.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", 0, len(q.data)-1, len(q.data)))
	q.WriteHeader(http.StatusPartialContent)
	q.Write(q.data)
}

// flipped is the file with all bits of one byte changed.
func flipped(q *request) []byte {
	b := slices.Clone(q.data)
	if len(b) > 0 {
		b[len(b)/2] ^= 0xff
	}
	return b
}

var faults = map[string]Fault{
	"ok":       {serve: (*request).ok},
	"404":      {Class: "gone", serve: status(http.StatusNotFound)},
	"410":      {Class: "gone", serve: status(http.StatusGone)},
	"403":      {Class: "forbidden", serve: status(http.StatusForbidden)},
	"503":      {Class: "server", serve: status(http.StatusServiceUnavailable)},
	"503-once": {serve: first(status(http.StatusServiceUnavailable))},
	"429": {serve: first(func(q *request) {
		q.Header().Set("Retry-After", "1")
		status(http.StatusTooManyRequests)(q)
	})},
	"429-date": {serve: first(func(q *request) {
		q.Header().Set("Retry-After", time.Now().Add(time.Second).UTC().Format(http.TimeFormat))
		status(http.StatusTooManyRequests)(q)
	})},
	"429-long": {Class: "throttled", serve: func(q *request) {
		q.Header().Set("Retry-After", "31536000")
		status(http.StatusTooManyRequests)(q)
	}},
	"reset-early": {serve: first(func(q *request) { drop(q, true) })},
	"reset": {serve: first(func(q *request) {
		q.serveFrom(q.tag("1"), q.half())
		drop(q, true)
	})},
	"cut": {serve: first(func(q *request) {
		q.serveFrom(q.tag("1"), q.half())
		drop(q, false)
	})},
	"cut-always": {Class: "truncated", serve: func(q *request) {
		q.serveFrom(q.tag("1"), q.rangeStart())
		drop(q, false)
	}},
	"stall": {Slow: true, serve: first(func(q *request) {
		q.serveFrom(q.tag("1"), q.half())
		q.hang(q.u.Stall)
		drop(q, false)
	})},
	"drip": {Class: "stalled", Slow: true, serve: func(q *request) {
		from := q.rangeStart()
		q.serveFrom(q.tag("1"), from)
		for i := from; i < len(q.data); i++ {
			if !q.hang(time.Second) {
				return
			}
			q.Write(q.data[i : i+1])
			q.Flush()
		}
	}},
	"endless": {Class: "size", serve: func(q *request) {
		for b := make([]byte, 1<<10); ; {
			if _, err := q.Write(b); err != nil {
				return
			}
		}
	}},
	"too-long":  {Class: "size", serve: func(q *request) { body(q, append(slices.Clone(q.data), "more"...)) }},
	"too-short": {Class: "size", serve: func(q *request) { body(q, q.data[:len(q.data)/2]) }},
	"too-short-chunked": {Class: "size", serve: func(q *request) {
		q.Write(q.data[:len(q.data)/2])
		q.Flush()
	}},
	"chunked": {serve: func(q *request) {
		q.Write(q.data[:len(q.data)/2])
		q.Flush()
		q.Write(q.data[len(q.data)/2:])
	}},
	"wrong": {Class: "digest", serve: func(q *request) { body(q, flipped(q)) }},
	"html": {Class: "html", serve: func(q *request) {
		q.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(q, "<!DOCTYPE html>\n<title>%s</title>The file has moved.\n", http.StatusText(404))
	}},
	"redirect":      {serve: redirect(func(q *request) string { return "../ok/" + q.name })},
	"redirect-host": {serve: redirect(func(q *request) string { return q.u.Other + "/ok/" + q.name })},
	"redirect-gone": {Class: "gone", serve: redirect(func(q *request) string { return q.u.Other + "/404/" + q.name })},
	"loop":          {Class: "bad-uri", serve: redirect(func(q *request) string { return q.r.URL.EscapedPath() })},
	"loop-hosts": {Class: "bad-uri", serve: redirect(func(q *request) string {
		return q.u.Other + "/loop-hosts/" + q.name
	})},
	"redirect-file":    {Class: "policy", serve: redirect(func(q *request) string { return "file:///etc/passwd" })},
	"redirect-private": {Class: "policy", serve: redirect(func(q *request) string { return "http://10.0.0.1/" + q.name })},
	"redirect-port":    {Class: "policy", serve: redirect(func(q *request) string { return "http://127.0.0.1:22/" + q.name })},
	"no-range": {serve: func(q *request) {
		if q.attempt == 1 {
			q.serveFrom(q.tag("1"), len(q.data)/2)
			drop(q, false)
			return
		}
		body(q, q.data)
	}},
	"416": {serve: func(q *request) {
		switch {
		case q.attempt == 1:
			q.serveFrom(q.tag("1"), len(q.data)/2)
			drop(q, false)
		case q.rangeStart() > 0:
			q.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		default:
			q.ok()
		}
	}},
	"bad-range": {serve: func(q *request) {
		switch {
		case q.attempt == 1:
			q.serveFrom(q.tag("1"), len(q.data)/2)
			drop(q, false)
		case q.rangeStart() > 0:
			q.wrongRange()
		default:
			q.ok()
		}
	}},
	"plain": {serve: func(q *request) { body(q, q.data) }}, // ignores Range
	"416-always": {serve: func(q *request) {
		if q.rangeStart() > 0 {
			q.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		q.ok()
	}},
	"bad-range-always": {serve: func(q *request) {
		if q.rangeStart() > 0 {
			q.wrongRange()
			return
		}
		q.ok()
	}},
	"etag": {serve: func(q *request) {
		if q.attempt == 1 { // other bytes under another tag, and then the file
			q.Header().Set("Content-Length", strconv.Itoa(len(q.data)))
			q.Header().Set("ETag", q.tag("0"))
			q.Write(flipped(q)[:len(q.data)/2+1])
			q.Flush()
			drop(q, false)
			return
		}
		q.ok()
	}},
	"no-tag": {serve: func(q *request) { // as etag, but nothing tells of the change
		if q.attempt == 1 {
			q.Header().Set("Content-Length", strconv.Itoa(len(q.data)))
			q.Write(flipped(q)[:len(q.data)/2+1])
			q.Flush()
			drop(q, false)
			return
		}
		q.ok()
	}},
	"gzip": {serve: func(q *request) { // a label that means nothing: the bytes are the file
		q.Header().Set("Content-Encoding", "gzip")
		q.Header().Set("Content-Type", "application/x-tar")
		q.ok()
	}},
	"goaway": {serve: func(q *request) { // ends the connection once it is idle; HTTP/2 says GOAWAY
		q.Header().Set("Connection", "close")
		q.ok()
	}},
	"two": {serve: func(q *request) { // no more than two requests at a time
		if q.active > 2 {
			status(http.StatusTooManyRequests)(q)
			return
		}
		q.hang(2 * time.Millisecond)
		q.ok()
	}},
}

// hang waits, and reports whether the client is still there.
func (q *request) hang(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-q.r.Context().Done():
		return false
	case <-t.C:
		return true
	}
}
