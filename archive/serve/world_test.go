package serve

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// A world is an archive and its server.
type world struct {
	*archivetest.Box
	t       testing.TB
	s       *Server
	log     strings.Builder
	warning string
}

func newWorld(t *testing.T, conf ...layout.Layout) *world {
	t.Helper()
	w := &world{Box: archivetest.New(t, conf...), t: t}
	return w
}

func (w *world) reports() string { return store.ReportDir(w.State) }

// serve makes the server.
func (w *world) serve() *Server {
	w.t.Helper()
	s, err := New(Options{Distfiles: w.Distfiles, Reports: w.reports(), Log: &w.log, Now: w.Now,
		Warn: func(format string, args ...any) { w.warning = format }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	w.s = s
	return s
}

// restate changes what was exported of each content.
func (w *world) restate(change func(d *report.Distfile)) {
	w.t.Helper()
	ds, err := report.LoadDistfiles(w.reports())
	if err != nil {
		w.t.Fatal(err)
	}
	err = report.WriteDistfiles(w.reports(), func(yield func(*report.Distfile) bool) {
		for i := range ds {
			if change(&ds[i]); !yield(&ds[i]) {
				return
			}
		}
	}, regular.Replace)
	if err != nil {
		w.t.Fatal(err)
	}
}

// write writes a file into the published tree, as an operator does.
func (w *world) write(rel, text string) {
	w.t.Helper()
	file := w.Path(rel)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// get asks for a request URI as it is; header has pairs of a name and a value.
func (w *world) get(uri string, header ...string) *http.Response {
	return w.do(http.MethodGet, uri, header...)
}

func (w *world) do(method, uri string, header ...string) *http.Response {
	w.t.Helper()
	return ask(w.t, w.s, method, uri, header...)
}

func ask(t testing.TB, h http.Handler, method, uri string, header ...string) *http.Response {
	t.Helper()
	u, err := url.ParseRequestURI(uri)
	if strings.HasPrefix(uri, "//") { // as net/http has it
		u, err = url.ParseRequestURI("http://h" + uri)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, RequestURI: uri, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Body: http.NoBody, RemoteAddr: "192.0.2.1:1234"}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Result()
}

func body(t testing.TB, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// addDigests adds MD5 and SHA-1 to what was exported, as a list that names them has it
// recorded. texts are the contents by name.
func (w *world) addDigests(texts map[string]string) {
	w.t.Helper()
	w.restate(func(d *report.Distfile) {
		text, ok := texts[d.Name]
		if !ok {
			return
		}
		d.Digests = maps.Clone(d.Digests)
		for _, a := range []digest.Algorithm{digest.MD5, digest.SHA1} {
			d.Digests[a.String()] = a.Sum([]byte(text)).Hex()
		}
	})
}

// readAll reads a body that may be broken off.
func readAll(r *http.Response) (string, error) {
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	return string(text), err
}
