package bucket

import (
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/store"
)

// TestSweep: uploads in parts that a killed process has left are aborted by the next one
// that writes, those of others are not.
func TestSweep(t *testing.T) {
	t.Parallel()
	for name, start := range s3test.Servers(os.Getenv(s3test.VersityVar)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := New(Options{Bucket: s3test.Bucket, Prefix: "some/where", Endpoint: start(t), Lease: time.Minute, Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, "")})
			if err != nil {
				t.Fatal(err)
			}
			others := []string{"else/blob/sha256/x", "some/where/else"}
			for _, key := range append([]string{key("killed"), "some/where/aside/x/1"}, others...) {
				if _, err := b.client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &b.o.Bucket, Key: &key}); err != nil {
					t.Fatal(err)
				}
			}
			publish := func(data string) {
				t.Helper()
				it := item(t, "a", data)
				if err := b.Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
					t.Fatal(err, it.Err)
				}
			}
			left := func() (keys []string) {
				t.Helper()
				page, err := b.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &b.o.Bucket})
				if err != nil {
					t.Fatal(err)
				}
				for _, up := range page.Uploads {
					keys = append(keys, *up.Key)
				}
				return keys
			}
			if publish("without a lease"); len(left()) != 4 {
				t.Errorf("left without a lease: %v", left())
			}
			l, err := b.Hold(t.Context(), "holder", "test")
			if err != nil {
				t.Fatal(err)
			}
			publish("with the lease")
			if got := left(); !slices.Equal(got, others) {
				t.Errorf("left %v, want %v", got, others)
			}
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestSweepAsksOnce: it costs a run that writes one request, and is no reason to fail
// where a server does not know it.
func TestSweepAsksOnce(t *testing.T) {
	t.Parallel()
	for _, fault := range []s3test.Fault{s3test.None, s3test.Unknown} {
		s := s3test.New(t)
		b := lasting(t, s, time.Minute)
		l, err := b.Hold(t.Context(), "holder", "test")
		if err != nil {
			t.Fatal(err)
		}
		s.Fail(func(_ int, r *http.Request) s3test.Fault {
			if r.URL.Query().Has("uploads") {
				return fault
			}
			return s3test.None
		})
		s.Reset()
		for _, data := range []string{"a", "b"} {
			it := item(t, data, data)
			if err := b.Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
				t.Fatal(err, it.Err)
			}
		}
		if kinds, all := s.Requests(); all != 3 || kinds["GET"] != 1 {
			t.Errorf("it asked %v", kinds)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}
