package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// A getServer answers by the first component of the path.
type getServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked map[string]int
	other string
}

func newGetServer(t *testing.T) *getServer {
	t.Helper()
	s := &getServer{asked: make(map[string]int)}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	s.other = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	return s
}

func (s *getServer) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

func (s *getServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked[r.URL.Path]++
	n := s.asked[r.URL.Path]
	s.mu.Unlock()
	old, now := "Sat, 01 Jan 2022 00:00:00 GMT", time.Now().UTC().Format(http.TimeFormat)
	switch r.URL.Path {
	case "/ok":
		io.WriteString(w, "content")
	case "/etag":
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Last-Modified", old)
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "content")
	case "/dated", "/fresh":
		w.Header().Set("Last-Modified", map[string]string{"/dated": old, "/fresh": now}[r.URL.Path])
		if r.Header.Get("If-Modified-Since") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, "content")
	case "/chunked":
		io.WriteString(w, "con")
		http.NewResponseController(w).Flush()
		io.WriteString(w, "tent")
	case "/cut-once":
		if n == 1 {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "only a part of it")
			return
		}
		io.WriteString(w, "content")
	case "/busy-once":
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "content")
	case "/busy-long":
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	case "/moved":
		http.Redirect(w, r, s.other+"/ok", http.StatusFound)
	case "/loop":
		http.Redirect(w, r, s.other+"/back", http.StatusFound)
	case "/back":
		http.Redirect(w, r, s.URL+"/loop", http.StatusFound)
	case "/to-file":
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	case "/forbidden":
		w.WriteHeader(http.StatusForbidden)
	case "/stall":
		io.WriteString(w, "con")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		http.NotFound(w, r)
	}
}

func newGetter(t *testing.T, s *getServer, change func(*fetch.Options)) *fetch.Fetcher {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	o := fetch.Options{AllowPrivate: true, Ports: []int{port}, RetryWait: time.Microsecond, MinRate: -1}
	if change != nil {
		change(&o)
	}
	f, err := fetch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestGet(t *testing.T) {
	t.Parallel()
	s := newGetServer(t)
	dated := fetch.Version{Size: 7, Validator: "Sat, 01 Jan 2022 00:00:00 GMT"}
	for path, c := range map[string]struct {
		have  fetch.Version
		class failure.Class // of the error, or
		err   error         // the error itself
		asked int           // the first refusal of a server is doubted once
		most  int64
	}{
		"/ok":        {asked: 1},
		"/ok#most":   {asked: 1, most: 7},
		"/ok#more":   {asked: 1, most: 6, class: failure.Size},
		"/chunked":   {asked: 1},
		"/chunked#6": {asked: 1, most: 6, class: failure.Size},
		"/etag":      {asked: 1},
		"/etag#v1":   {asked: 1, have: fetch.Version{Size: 7, Validator: `"v1"`}, err: fetch.ErrUnchanged},
		"/etag#v2":   {asked: 1, have: fetch.Version{Size: 7, Validator: `"v2"`}},
		"/dated":     {asked: 1},
		"/dated#is":  {asked: 1, have: dated, err: fetch.ErrUnchanged},
		"/cut-once":  {asked: 2},
		"/busy-once": {asked: 2},
		"/busy-long": {asked: 1, class: failure.Throttled},
		"/moved":     {asked: 1},
		"/loop":      {class: failure.BadURI},
		"/to-file":   {class: failure.Policy},
		"/gone":      {asked: 1, class: failure.Gone},
		"/forbidden": {asked: 2, class: failure.Forbidden},
		"/stall":     {asked: 2, class: failure.Stalled},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			s := newGetServer(t)
			f := newGetter(t, s, func(o *fetch.Options) {
				if o.Retries = 1; c.class == failure.Stalled {
					o.Stall = 200 * time.Millisecond
				}
			})
			if c.most == 0 {
				c.most = 1 << 20
			}
			var buf bytes.Buffer
			starts := 0
			v, err := f.Get(t.Context(), s.URL+path, c.have, c.most, func() (io.Writer, error) {
				starts++
				buf.Reset()
				return &buf, nil
			})
			file, _, _ := strings.Cut(path, "#")
			if n := s.count(file); c.asked > 0 && n != c.asked {
				t.Errorf("asked %d times, want %d", n, c.asked)
			}
			switch {
			case c.err != nil:
				if !errors.Is(err, c.err) || starts > 0 {
					t.Errorf("error = %v with %d starts, want %v and none", err, starts, c.err)
				}
			case c.class != "":
				if fetch.Classify(err) != c.class {
					t.Errorf("error = %v of class %s, want %s", err, fetch.Classify(err), c.class)
				}
			case err != nil || buf.String() != "content" || v.Size != 7:
				t.Errorf("got %q, %+v, %v", &buf, v, err)
			}
		})
	}
	// A date that is not older than the answer cannot tell versions apart.
	f := newGetter(t, s, nil)
	for path, want := range map[string]string{"/dated": dated.Validator, "/fresh": "", "/ok": "", "/etag": `"v1"`} {
		v, err := f.Get(t.Context(), s.URL+path, fetch.Version{}, 10, func() (io.Writer, error) { return io.Discard, nil })
		if err != nil || v.Validator != want {
			t.Errorf("%s has the validator %q, want %q: %v", path, v.Validator, want, err)
		}
		if path != "/ok" && v.ModTime.IsZero() {
			t.Errorf("%s has no time", path)
		}
	}
}

func TestGetPolicy(t *testing.T) {
	t.Parallel()
	s := newGetServer(t)
	file := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(file, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	get := func(f *fetch.Fetcher, uri string) (string, error) {
		var buf bytes.Buffer
		_, err := f.Get(t.Context(), uri, fetch.Version{}, 100, func() (io.Writer, error) { return &buf, nil })
		return buf.String(), err
	}
	strict := newGetter(t, s, func(o *fetch.Options) { o.AllowPrivate = false })
	open := newGetter(t, s, func(o *fetch.Options) { o.Schemes = []string{"http", "file", "rsync"} })
	for _, uri := range []string{s.URL + "/ok", "file://" + file, "rsync://localhost/a"} {
		if text, err := get(strict, uri); fetch.Classify(err) != failure.Policy {
			t.Errorf("%s: %q, %v; want an error of policy", uri, text, err)
		}
	}
	if text, err := get(open, "file://"+file); err != nil || text != "content" {
		t.Errorf("file: %q, %v", text, err)
	}
	if _, err := get(open, "rsync://localhost/a"); fetch.Classify(err) != failure.Policy {
		t.Errorf("rsync: %v", err)
	}
	if _, err := get(open, "no uri"); fetch.Classify(err) != failure.BadURI {
		t.Errorf("no URI: %v", err)
	}
}

// TestGetEnds checks that neither the caller's own trouble nor the end of the
// context makes Get ask again.
func TestGetEnds(t *testing.T) {
	t.Parallel()
	s := newGetServer(t)
	f := newGetter(t, s, nil)
	bad := fmt.Errorf("no room")
	if _, err := f.Get(t.Context(), s.URL+"/ok", fetch.Version{}, 100, func() (io.Writer, error) { return nil, bad }); !errors.Is(err, bad) || s.count("/ok") != 1 {
		t.Errorf("%v after %d requests", err, s.count("/ok"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var begun atomic.Bool
	_, err := f.Get(ctx, s.URL+"/stall", fetch.Version{}, 100, func() (io.Writer, error) {
		begun.Store(true)
		cancel()
		return io.Discard, nil
	})
	if fetch.Classify(err) != failure.Interrupted || !begun.Load() || s.count("/stall") != 1 {
		t.Errorf("%v after %d requests", err, s.count("/stall"))
	}
}
