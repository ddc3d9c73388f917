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

	"github.com/aws/aws-sdk-go-v2/credentials"

	"distkeep/archive/archivetest"
	"distkeep/archive/bucket"
	"distkeep/archive/bucket/s3test"
	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
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
	// bucket, if not nil, has the contents, and they are sent through the server.
	bucket *bucket.Bucket
}

func newWorld(t *testing.T, conf ...layout.Layout) *world {
	t.Helper()
	w := &world{Box: archivetest.New(t, conf...), t: t}
	return w
}

// newBucketWorld is newWorld of an archive whose contents are in a bucket.
func newBucketWorld(t *testing.T, conf ...layout.Layout) *world {
	t.Helper()
	w := newWorld(t, conf...)
	var err error
	w.bucket, err = bucket.New(bucket.Options{
		Bucket: s3test.Bucket, Endpoint: s3test.New(t).URL, Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, ""),
	})
	if err == nil {
		err = vault.Bind(w.State, &vault.Binding{URL: w.bucket.String()})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Remote = w.bucket
	return w
}

// everywhere runs a test with worlds of both kinds.
func everywhere(t *testing.T, test func(t *testing.T, makes func(t *testing.T, conf ...layout.Layout) *world)) {
	for name, makes := range map[string]func(t *testing.T, conf ...layout.Layout) *world{"files": newWorld, "bucket": newBucketWorld} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, makes)
		})
	}
}

func (w *world) reports() string { return store.ReportDir(w.State) }

// serve makes the server.
func (w *world) serve() *Server {
	w.t.Helper()
	s, err := New(w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close() })
	w.s = s
	return s
}

// options are those of the server.
func (w *world) options() Options {
	o := Options{Distfiles: w.Distfiles, Reports: w.reports(), Log: &w.log, Now: w.Now,
		Warn: func(format string, args ...any) { w.warning = format }}
	if w.bucket != nil {
		o.Elsewhere, o.Stream = map[string]Elsewhere{"": w.bucket}, true
	}
	return o
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
