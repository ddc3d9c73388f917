package bucket

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/store"
)

// TestAsideLarge: what is too large to be copied in one request is set aside as well.
func TestAsideLarge(t *testing.T) {
	t.Parallel()
	for name, start := range s3test.Servers(os.Getenv(s3test.VersityVar)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := New(Options{Bucket: s3test.Bucket, Endpoint: start(t), Single: 6 << 20, Part: 5 << 20, Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, "")})
			if err != nil {
				t.Fatal(err)
			}
			data := strings.Repeat("0123456789abcdef", 11<<16)
			it := item(t, "large", data)
			if err := b.Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
				t.Fatal(err, it.Err)
			}
			kept, err := b.Aside(t.Context(), it.SHA256())
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := b.getBytes(t.Context(), strings.TrimPrefix(kept, b.String()+"/"), 1<<30)
			if err != nil || string(got) != data {
				t.Errorf("%d bytes are aside, want %d (%v)", len(got), len(data), err)
			}
			if _, err := b.NameOf(t.Context(), it.SHA256()); err == nil {
				t.Error("it is in its place all the same")
			}
		})
	}
}

// TestCopyParts: a copy in parts is one of ranges, each of the object that was looked at.
func TestCopyParts(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	data := strings.Repeat("0123456789abcdef", 11<<16)
	it := item(t, "large", data)
	if err := b.Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
		t.Fatal(err, it.Err)
	}
	if _, err := b.copy(t.Context(), &Object{Key: key(data), Size: it.Size, ETag: `"other"`}, "x"); !errors.Is(err, ErrChanged) {
		t.Errorf("what has changed is copied: %v", err)
	}
	var ranges []string
	s.Fail(func(_ int, r *http.Request) s3test.Fault {
		if part := r.Header.Get("X-Amz-Copy-Source-Range"); part != "" {
			ranges = append(ranges, part)
		}
		return s3test.None
	})
	if _, err := b.Aside(t.Context(), it.SHA256()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"bytes=0-5242879", "bytes=5242880-10485759", "bytes=10485760-11534335"}; !slices.Equal(ranges, want) {
		t.Errorf("copied %v, want %v", ranges, want)
	}
}
