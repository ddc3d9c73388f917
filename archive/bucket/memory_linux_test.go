package bucket

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/layout"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// swallow is a server that takes everything and keeps nothing.
func swallow(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Etag", `"x"`)
	switch q := r.URL.Query(); {
	case q.Has("uploads"):
		fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
	case q.Has("uploadId") && r.Method == http.MethodPost:
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
	}
}

// BenchmarkLargeContent sends a content of 1 GiB in one request and in parts, and tells
// what memory that needs at most: it does not grow with the size.
func BenchmarkLargeContent(b *testing.B) {
	const size = 1 << 30
	part := b.TempDir() + "/part"
	f, err := os.Create(part)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil { // it needs no room
		b.Fatal(err)
	}
	h := digest.NewHasher()
	if _, err := io.Copy(h, f); err != nil {
		b.Fatal(err)
	}
	sum := h.Sum().Get(digest.SHA256)
	srv := httptest.NewServer(http.HandlerFunc(swallow))
	defer srv.Close()
	for name, single := range map[string]int64{"one": 5 << 30, "parts": 64 << 20} {
		b.Run(name, func(b *testing.B) {
			to, err := New(Options{
				Bucket: s3test.Bucket, Endpoint: srv.URL, Single: single, Part: single,
				Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, ""),
			})
			if err != nil {
				b.Fatal(err)
			}
			peak(b)
			before := peak(b)
			b.SetBytes(size)
			for b.Loop() {
				it := &store.Item{Part: part, Content: layout.Content{Name: "large", Size: size, Digests: digest.Set{sum}}}
				if err := to.Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
					b.Fatal(err, it.Err)
				}
			}
			grown := peak(b) - before
			b.ReportMetric(float64(grown)/(1<<20), "MiB-more")
			if grown > 32<<20 {
				b.Errorf("it took %d MiB more", grown>>20)
			}
		})
	}
}

// peak is the most memory that the process has had since peak was called before.
func peak(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := bytes.Cut(text, []byte("VmHWM:"))
	kib, err := strconv.ParseInt(strings.Fields(string(rest))[0], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		b.Fatal(err)
	}
	return kib << 10
}
