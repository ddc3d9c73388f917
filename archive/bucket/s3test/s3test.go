// Package s3test is a server of object storage on the loopback, for tests: gofakes3 in
// memory, with what that leaves out and an archive asks for. It counts the requests, and
// a test says which of them fail, and how.
package s3test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Bucket is the name of the one bucket.
const Bucket = "archive"

// A Fault is what becomes of a request.
type Fault int

const (
	None     Fault = iota
	SlowDown       // 503 with Retry-After: 0
	Busy           // 503 without
	Unknown        // 501: there is no such request
	Cut            // the connection is cut before anything is done
	Torn           // the connection is cut in the middle of what is sent
	Unsaid         // it is done, and the connection is cut before the answer
	Half           // it is done, and the connection is cut in the middle of the answer
	Garbage        // it is done, and the answer is XML of something else
	Endless        // a listing that says that there is more, and not where
)

// A Server is one bucket, empty at first.
type Server struct {
	URL string
	// Lax says that conditions and digests are left to gofakes3, which ignores some, and that
	// nobody keeps where an object leads to.
	Lax bool
	// Skew is how far its clock is ahead. It refuses what was signed a quarter of an hour
	// before or after.
	Skew time.Duration

	mu    sync.Mutex
	fault func(n int, r *http.Request) Fault
	n     int
	kinds map[string]int
	bytes int64
	inner http.Handler
	back  gofakes3.Backend
	// written counts the writes of each key that were not refused.
	written map[string]int
	http    *httptest.Server
}

// New starts a server that ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a server that Close ends.
func Start() (*Server, error) {
	back := s3mem.New()
	if err := back.CreateBucket(Bucket); err != nil {
		return nil, err
	}
	s := &Server{back: back, written: make(map[string]int), inner: gofakes3.New(back, gofakes3.WithLogger(gofakes3.DiscardLog()), gofakes3.WithTimeSkewLimit(0)).Server()}
	s.Reset()
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	return s, nil
}

// Close ends the server.
func (s *Server) Close() { s.http.Close() }

// Fail lets decide about the request with a number, from 1, what becomes of it. decide is
// called for one at a time. Nil is None for all.
func (s *Server) Fail(decide func(n int, r *http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = decide
}

// Reset forgets the requests.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n, s.bytes, s.kinds = 0, 0, make(map[string]int)
}

// Requests returns how many there were of each method, and in all.
func (s *Server) Requests() (kinds map[string]int, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds = make(map[string]int)
	for k, n := range s.kinds {
		kinds[k] = n
		all += n
	}
	return kinds, all
}

// Received is how many bytes were sent to it.
func (s *Server) Received() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := s.decide(r)
	if fault == Torn {
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		panic(http.ErrAbortHandler)
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	s.mu.Lock()
	defer s.mu.Unlock() // conditions are of one moment
	s.bytes += int64(len(data))
	switch fault {
	case None:
		s.answer(w, r, data)
		return
	case SlowDown, Busy:
		if fault == SlowDown {
			w.Header().Set("Retry-After", "0")
		}
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return
	case Unknown:
		refuse(w, http.StatusNotImplemented, "NotImplemented")
		return
	case Cut:
		panic(http.ErrAbortHandler)
	}
	is := httptest.NewRecorder()
	s.answer(is, r, data)
	switch fault {
	case Half:
		maps.Copy(w.Header(), is.Header())
		w.Header().Set("Content-Length", strconv.Itoa(is.Body.Len()))
		w.WriteHeader(is.Code)
		_, _ = w.Write(is.Body.Bytes()[:is.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
	case Garbage:
		fmt.Fprint(w, "<?xml version=\"1.0\"?><rss><item>&nothing;")
		return
	case Endless:
		fmt.Fprint(w, strings.Replace(is.Body.String(), "<IsTruncated>false<", "<IsTruncated>true<", 1))
		return
	}
	panic(http.ErrAbortHandler)
}

// decide counts a request and says what becomes of it.
func (s *Server) decide(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.kinds[r.Method]++
	if s.fault == nil {
		return None
	}
	return s.fault(s.n, r)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, data []byte) {
	now := time.Now().Add(s.Skew)
	if at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date")); err == nil && at.Sub(now).Abs() > 15*time.Minute {
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		refuse(w, http.StatusForbidden, "RequestTimeTooSkewed")
		return
	}
	if s.Lax {
		r.Header.Del("X-Amz-Website-Redirect-Location")
	} else {
		if sum := r.Header.Get("X-Amz-Checksum-Sha256"); sum != "" && r.Method == http.MethodPut {
			if got := sha256.Sum256(data); base64.StdEncoding.EncodeToString(got[:]) != sum {
				refuse(w, http.StatusBadRequest, "BadDigest")
				return
			}
		}
		if !s.holds(r) {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
			return
		}
	}
	if s.copyPart(w, r) {
		return
	}
	is := &said{w, http.StatusOK}
	s.inner.ServeHTTP(is, r)
	if key := strings.TrimPrefix(r.URL.Path, "/"+Bucket+"/"); r.Method == http.MethodPut && is.status == http.StatusOK {
		s.written[key]++
	}
}

// said is an answer whose status is known.
type said struct {
	http.ResponseWriter
	status int
}

func (s *said) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// holds reports whether the condition of a request holds that gofakes3 does not look at.
func (s *Server) holds(r *http.Request) bool {
	if r.Method != http.MethodDelete && r.Method != http.MethodPost {
		return true
	}
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	if match == "" && none == "" {
		return true
	}
	is := httptest.NewRecorder()
	s.inner.ServeHTTP(is, httptest.NewRequest(http.MethodHead, r.URL.EscapedPath(), nil))
	there := is.Code == http.StatusOK
	return (match == "" || !there || is.Header().Get("Etag") == match) && (none == "" || !there)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as the test says</Message></Error>", code)
}

// Keys returns the keys of all objects that begin with prefix.
func (s *Server) Keys(prefix string) (keys []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := s.back.ListBucket(Bucket, &gofakes3.Prefix{HasPrefix: true, Prefix: prefix}, gofakes3.ListBucketPage{})
	if err != nil {
		return nil, err
	}
	for _, c := range list.Contents {
		keys = append(keys, c.Key)
	}
	return keys, nil
}

// Written returns how often objects were written whose keys begin with prefix.
func (s *Server) Written(prefix string) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := make(map[string]int)
	for key, n := range s.written {
		if strings.HasPrefix(key, prefix) {
			written[key] = n
		}
	}
	return written
}

// Put puts an object there as somebody else would.
func (s *Server) Put(key, data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// gofakes3 would keep the digest of what was there.
	s.inner.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, "/"+Bucket+"/"+key, nil))
	r := httptest.NewRequest(http.MethodPut, "/"+Bucket+"/"+key, strings.NewReader(data))
	r.Header.Set("Content-Length", strconv.Itoa(len(data)))
	s.inner.ServeHTTP(httptest.NewRecorder(), r)
}

// Get returns the object at key, and whether there is one.
func (s *Server) Get(key string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := httptest.NewRecorder()
	s.inner.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+Bucket+"/"+key, nil))
	return w.Body.String(), w.Code == http.StatusOK
}

// Delete removes an object as somebody else would.
func (s *Server) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inner.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, "/"+Bucket+"/"+key, nil))
}
