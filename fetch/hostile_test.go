package fetch_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// TestEndlessPages: a page that is not the file, and never ends, holds nothing.
func TestEndlessPages(t *testing.T) {
	t.Parallel()
	base := served(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			io.WriteString(w, "x")
			return
		case "/moved":
			w.Header().Set("Location", "/ok")
			w.WriteHeader(http.StatusFound)
		case "/away":
			w.Header().Set("Location", "http://elsewhere.example/")
			w.WriteHeader(http.StatusFound)
		case "/short":
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusNotFound)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	o := options(base)
	o.Stall, o.Resolver = time.Minute, nowhere(t)
	f := fetcher(t, o)
	dir := t.TempDir()
	for path, class := range map[string]failure.Class{"gone": failure.Gone, "short": failure.Gone, "moved": "", "away": failure.DNS} {
		began := time.Now()
		checkClass(t, run(t, t.Context(), f, want(t, dir, path, []byte("x"), base+"/"+path))[path], class, []byte("x"))
		if took := time.Since(began); took > o.Stall {
			t.Errorf("%s took %v", path, took)
		}
	}
}

// TestLongHeaders: what a server writes into its headers is not kept, and leads
// nowhere when it is too long for a URL.
func TestLongHeaders(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 200<<10)
	var base string
	base = served(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/etag":
			h.Set("ETag", `"`+long+`"`)
			io.WriteString(w, "x")
			return
		case "/range":
			h.Set("Content-Range", strings.Repeat("\xff", 200<<10))
			w.WriteHeader(http.StatusPartialContent)
			return
		case "/416":
			h.Set("Content-Range", long)
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		case "/within":
			h.Set("Location", base+"/"+long)
		case "/away":
			h.Set("Location", "http://elsewhere.example/"+long)
		case "/malformed":
			h.Set("Location", "http://[::1"+strings.Repeat("\xff", 7<<10))
		case "/type":
			h.Set("Location", "/"+strings.Repeat("\xff", 7<<10)) // becomes longer
		}
		w.WriteHeader(http.StatusFound)
	})
	f := fetcher(t, options(base))
	dir := t.TempDir()
	for path, c := range map[string]struct {
		class    failure.Class
		attempts int
	}{
		"etag": {"", 1}, "range": {failure.Server, 4}, "416": {failure.Server, 4},
		"within": {failure.BadURI, 1}, "away": {failure.BadURI, 1}, "malformed": {failure.BadURI, 1}, "type": {failure.BadURI, 1},
	} {
		r := run(t, t.Context(), f, want(t, dir, path, []byte("x"), base+"/"+path))[path]
		checkClass(t, r, c.class, []byte("x"))
		if len(r.Attempts) != c.attempts {
			t.Errorf("%s: %d attempts, want %d", path, len(r.Attempts), c.attempts)
		}
		for _, a := range r.Attempts {
			if a.Err != nil && len(a.Err.Error())+len(a.URL) > 1500 {
				t.Errorf("%s: %d bytes of text are kept", path, len(a.Err.Error())+len(a.URL))
			}
		}
	}
	// The version that somebody keeps has no such mark either.
	v, err := f.Get(t.Context(), base+"/etag", fetch.Version{}, 10, func() (io.Writer, error) { return io.Discard, nil })
	if err != nil || v.Validator != "" {
		t.Errorf("a validator of %d bytes, %v", len(v.Validator), err)
	}
}

// TestRedirectToFile: that the tree may name files of this machine does not
// allow it to servers.
func TestRedirectToFile(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	base := served(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "FILE://"+secret)
		w.WriteHeader(http.StatusFound)
	})
	o := options(base)
	o.Schemes = []string{"http", "file"}
	f := fetcher(t, o)
	dir := t.TempDir()
	res := run(t, t.Context(), f, want(t, dir, "named", []byte("x"), "file://"+secret), want(t, dir, "moved", []byte("x"), base+"/f"))
	checkClass(t, res["named"], "", []byte("x"))
	checkClass(t, res["moved"], failure.Policy, nil)
	_, err := f.Get(t.Context(), base+"/f", fetch.Version{}, 10, func() (io.Writer, error) { return io.Discard, nil })
	if fetch.Classify(err) != failure.Policy {
		t.Errorf("Get: %v, want a policy error", err)
	}
}
