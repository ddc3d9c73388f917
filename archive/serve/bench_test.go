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
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// BenchmarkListing lists 100,000 names, and reports the time on the processors: that on
// the wall says little where others work.
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
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &before)
	for b.Loop() {
		w := &counted{header: make(http.Header)}
		if s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.n < 5<<20 {
			b.Fatal(w.n)
		}
	}
	unix.Getrusage(unix.RUSAGE_SELF, &after)
	took := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(took)/1e6/float64(b.N), "cpu-ms/op")
}

// A counted answer is not kept.
type counted struct {
	header http.Header
	n      int
}

func (w *counted) Header() http.Header         { return w.header }
func (w *counted) WriteHeader(int)             {}
func (w *counted) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

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

// BenchmarkContents reads what an archive of 60,000 files exports, with the digests and
// the lengths that those of gentoo have, and reports what that takes.
func BenchmarkContents(b *testing.B) {
	const files = 60_000
	dir := b.TempDir()
	err := report.WriteDistfiles(dir, func(yield func(*report.Distfile) bool) {
		for i := range files {
			name := fmt.Sprintf("some-package-name-%06d.tar.xz", i)
			sum := func(a digest.Algorithm) string { return a.Sum([]byte(name)).Hex() }
			d := &report.Distfile{
				Name: name, SHA256: sum(digest.SHA256), Size: int64(i), Modified: time.Unix(int64(i), 0).UTC(), Named: true, Kind: "gentoo",
				Digests: map[string]string{"BLAKE2B": sum(digest.BLAKE2B), "SHA512": sum(digest.SHA512)},
				Owner:   fmt.Sprintf("dev-libs/some-package-%d::gentoo", i), Origin: "https://downloads.example.org/releases/" + name,
			}
			if !yield(d) {
				return
			}
		}
	}, regular.Replace)
	if err != nil {
		b.Fatal(err)
	}
	var c *contents
	for b.Loop() {
		if c, err = loadContents(dir, layout.Conf{layout.Flat()}); err != nil || len(c.at) != files {
			b.Fatal(err)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	with := heap()
	runtime.KeepAlive(c)
	c = nil
	b.ReportMetric(float64(with-heap())/(1<<20), "MiB")
}
