package serve

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distkeep/catalog/digest"
)

// secrets are what the trees of FuzzPath have outside, and hidden inside.
const secrets = "it must never be sent"

// FuzzPath: no path leads out of the published tree, to a hidden file, or to another
// server, and whatever is asked for, the answer is one of a server of files.
func FuzzPath(f *testing.F) {
	dir := f.TempDir()
	root := filepath.Join(dir, "distfiles")
	for file, text := range map[string]string{
		"secret": secrets, "distfiles/.secret": secrets, "distfiles/a/.secret": secrets, "distfiles/a/b.tgz": "b", "distfiles/x%2Fy": "y", "distfiles/z?q": "z",
	} {
		path := filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			f.Fatal(err)
		}
	}
	for name, target := range map[string]string{"out": "..", "out2": "../secret", "out3": filepath.Join(dir, "secret"), "in": "a/b.tgz", "hidden": ".secret2"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			f.Fatal(err)
		}
	}
	s, err := New(Options{Distfiles: root, Reports: dir})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	sum := digest.SHA256.Sum([]byte("x"))
	for _, uri := range []string{
		"/", "/a/b.tgz", "/a", "//a", "/../secret", "/%2e%2e/secret", "/a/..%2f..%2fsecret", "/out/secret", "/out2", "/out3", "/.secret", "/a/.secret", "/in?x",
		"//evil.example/%2e%2e", "/\\evil.example", "/x%2Fy", "/x%252Fy", "/z?q", "/z%3Fq", "/file/a/sha256/" + sum.Hex(), "/sha256/" + sum.Base64(), "/sha256-" + sum.Base64(),
		"/https://h/p?q#f", "/distfiles/../../secret", "/distfiles/.secret", "/api/1/content/sha256:" + sum.Hex() + "/raw/", "/_source-cache/archive/aa/" + sum.Hex() + ".tgz", "/by_cipher/sha256/a//a/b/c",
		"http://h/a/b.tgz", "/%00", "/report", "/metrics", "/a/%2e/b.tgz",
	} {
		f.Add(uri)
	}
	known := []int{200, 300, 301, 304, 404}
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			t.Skip()
		}
		r := &http.Request{Method: http.MethodGet, URL: u, RequestURI: uri, Proto: "HTTP/1.1", Header: make(http.Header), Body: http.NoBody}
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if text := rec.Body.String(); strings.Contains(text, secrets) || strings.Contains(text, "secret") && rec.Code == 200 {
			t.Fatalf("%q: %d %q", uri, rec.Code, text)
		}
		if at := rec.Header().Get("Location"); at != "" && (at[0] != '/' || strings.HasPrefix(at, "//") || strings.HasPrefix(at, "/\\")) {
			t.Fatalf("%q leads to %q", uri, at)
		}
		ok := false
		for _, code := range known {
			ok = ok || rec.Code == code
		}
		if !ok {
			t.Fatalf("%q: %d", uri, rec.Code)
		}
	})
}
