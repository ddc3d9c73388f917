package fetchtest

import (
	"fmt"
	"net/http"
	"strconv"
)

// The faults of this file are about what only improves a request: a server that
// refuses it still has the file.

// refusesRange returns a fault that breaks off once, and then answers every range
// by a code.
func refusesRange(code int) func(*request) {
	return func(q *request) {
		switch {
		case q.attempt == 1:
			q.serveFrom(q.tag("1"), len(q.data)/2)
			drop(q, false)
		case q.r.Header.Get("Range") != "":
			refuse(q, code)
		default:
			body(q, q.data)
		}
	}
}

// refuse answers by a code, with a body where it may have one.
func refuse(q *request, code int) {
	if code == http.StatusNoContent || code == http.StatusNotModified {
		q.WriteHeader(code)
		return
	}
	http.Error(q, "no ranges here", code)
}

// broken breaks off once, before f answers.
func broken(f func(*request)) func(*request) {
	return func(q *request) {
		if q.attempt == 1 {
			q.serveFrom(q.tag("1"), len(q.data)/2)
			drop(q, false)
			return
		}
		f(q)
	}
}

// later returns a fault that puts the first request off.
func later(code int, value func() string) func(*request) {
	return first(func(q *request) {
		q.Header().Set("Retry-After", value())
		http.Error(q, "later", code)
	})
}

// part sends a part of the file, said to be what is asked for or not.
func (q *request) part(from, to int, contentRange string) {
	q.Header().Set("Content-Range", contentRange)
	q.Header().Set("Content-Length", strconv.Itoa(to-from))
	q.WriteHeader(http.StatusPartialContent)
	q.Write(q.data[from:to])
}

// coded sends the whole file with another status than 200.
func coded(code int) func(*request) {
	return func(q *request) {
		q.Header().Set("Content-Length", strconv.Itoa(len(q.data)))
		q.WriteHeader(code)
		q.Write(q.data)
	}
}

func init() {
	for _, code := range []int{400, 401, 403, 404, 405, 410, 412, 416, 429, 500, 501, 502, 503} {
		faults[fmt.Sprint("range-", code)] = Fault{serve: refusesRange(code)}
	}
	faults["range-429"] = Fault{serve: broken(func(q *request) {
		if q.attempt == 2 {
			status(http.StatusTooManyRequests)(q)
			return
		}
		q.ok()
	})}
	for _, code := range []int{202, 403, 404, 408, 500, 503} {
		faults[fmt.Sprint("later-", code)] = Fault{serve: later(code, func() string { return "1" })}
	}
	for _, code := range []int{201, 202, 203, 300, 404, 500} {
		faults[fmt.Sprint("whole-", code)] = Fault{serve: coded(code)}
	}
	for _, code := range []int{204, 304} {
		faults[fmt.Sprint("range-", code)] = Fault{serve: refusesRange(code)}
	}
	faults["range-always-429"] = Fault{serve: refusesRange(http.StatusTooManyRequests)}
	faults["range-always-later"] = Fault{serve: broken(func(q *request) {
		if q.r.Header.Get("Range") == "" {
			q.ok()
			return
		}
		q.Header().Set("Retry-After", "0")
		status(http.StatusServiceUnavailable)(q)
	})}
	faults["range-closes"] = Fault{serve: broken(func(q *request) {
		if q.r.Header.Get("Range") != "" {
			drop(q, false)
			return
		}
		q.ok()
	})}
	for _, code := range []int{201, 404} {
		faults[fmt.Sprint("cut-whole-", code)] = Fault{serve: broken(coded(code))}
	}
	faults["range-multipart"] = Fault{serve: broken(func(q *request) {
		if q.r.Header.Get("Range") == "" {
			q.ok()
			return
		}
		q.Header().Set("Content-Type", "multipart/byteranges; boundary=x")
		q.WriteHeader(http.StatusPartialContent)
		fmt.Fprintf(q, "--x\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%s\r\n--x--\r\n", q.rangeStart(), len(q.data)-1, len(q.data), q.data[q.rangeStart():])
	})}
	faults["range-other-total"] = Fault{serve: broken(func(q *request) {
		if q.r.Header.Get("Range") == "" {
			q.ok()
			return
		}
		q.part(q.rangeStart(), len(q.data), fmt.Sprintf("bytes %d-%d/%d", q.rangeStart(), len(q.data)-1, len(q.data)+1))
	})}
	faults["if-range"] = Fault{serve: broken(func(q *request) {
		if q.r.Header.Get("If-Range") != "" {
			status(http.StatusPreconditionFailed)(q)
			return
		}
		q.ok()
	})}
	faults["206-whole"] = Fault{serve: func(q *request) {
		q.part(0, len(q.data), fmt.Sprintf("bytes 0-%d/%d", len(q.data)-1, len(q.data)))
	}}
	faults["206-bare"] = Fault{serve: coded(http.StatusPartialContent)}
	faults["206-odd"] = Fault{serve: func(q *request) { q.part(0, len(q.data), "all of it") }}
	faults["206-pieces"] = Fault{serve: func(q *request) { // a sixteenth at a time
		from := q.rangeStart()
		to := min(len(q.data), from+len(q.data)/16+1)
		q.part(from, to, fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(q.data)))
	}}
	faults["limit-403"] = Fault{serve: first(func(q *request) {
		q.Header().Set("X-RateLimit-Remaining", "0")
		q.Header().Set("X-RateLimit-Reset", "1")
		status(http.StatusForbidden)(q)
	})}
	faults["refuses-identity"] = Fault{serve: func(q *request) {
		if q.r.Header.Get("Accept-Encoding") != "" {
			status(http.StatusNotAcceptable)(q)
			return
		}
		q.ok()
	}}
	faults["one-a-connection"] = Fault{serve: func(q *request) { // what comes after a kept connection's first answer is nonsense
		q.ok()
		q.Flush()
		c, _, err := http.NewResponseController(q.w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer c.Close()
		c.Write([]byte("stray bytes"))
	}}
}
