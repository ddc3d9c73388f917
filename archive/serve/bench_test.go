package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkListing lists 100,000 names.
func BenchmarkListing(b *testing.B) {
	dir := b.TempDir()
	for i := range 100_000 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("some-package-name-%06d.tar.xz", i)))
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	s, err := New(Options{Distfiles: dir, Reports: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	s.Now = func() time.Time { return time.Time{} } // so that no page is kept
	for b.Loop() {
		rec := httptest.NewRecorder()
		if s.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil)); rec.Code != http.StatusOK || rec.Body.Len() < 5<<20 {
			b.Fatal(rec.Code, rec.Body.Len())
		}
	}
}

// BenchmarkSmall gets a file of 2,000 bytes over a kept connection.
func BenchmarkSmall(b *testing.B) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "small.tar.gz"), make([]byte, 2000), 0o644); err != nil {
		b.Fatal(err)
	}
	s, err := New(Options{Distfiles: dir, Reports: dir})
	if err != nil {
		b.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go s.Serve(b.Context(), nil, Limits{}.Limit(l))
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	request := []byte("GET /small.tar.gz HTTP/1.1\r\nHost: h\r\n\r\n")
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 2000 || err != nil {
			b.Fatal(n, err)
		}
	}
}
