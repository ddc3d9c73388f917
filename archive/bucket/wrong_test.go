package bucket

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// TestPartsOtherBytes: a file that is sent in parts, of which a server knows the digests
// of the parts alone, is not published when its bytes are others, and nothing is left of
// it.
func TestPartsOtherBytes(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	data := strings.Repeat("0123456789abcdef", 11<<16)
	it := item(t, "large", data)
	it.Digests = digest.Set{digest.SHA256.Sum([]byte("other"))}
	if err := b.Publish([]*store.Item{it}, nil); err != nil || it.Err == nil || !strings.Contains(it.Err.Error(), "its SHA256 is") {
		t.Errorf("%v, %v", err, it.Err)
	}
	if keys, err := s.Keys(""); err != nil || len(keys) > 0 {
		t.Errorf("there are %v, %v", keys, err)
	}
	page, err := b.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &b.o.Bucket})
	if err != nil || len(page.Uploads) > 0 {
		t.Errorf("uploads are left: %v, %v", page.Uploads, err)
	}
}

// deaf is a bucket of a server that does not listen to what it is asked.
func deaf(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *Bucket {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(answer))
	t.Cleanup(srv.Close)
	b, err := New(Options{Bucket: "b", Endpoint: srv.URL, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRangeIgnored: who asks for a part of an object does not take all of it for that.
func TestRangeIgnored(t *testing.T) {
	t.Parallel()
	b := deaf(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "0123456789") })
	for _, n := range []int64{3, -1} {
		if r, err := b.Open(t.Context(), digest.SHA256.Sum([]byte("x")), 4, n); err == nil {
			got, _ := io.ReadAll(r)
			t.Errorf("%d bytes from 4 on are %q", n, got)
		}
	}
}

// TestListingInCircles: a listing that leads back to where it was is an error.
func TestListingInCircles(t *testing.T) {
	t.Parallel()
	b := deaf(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken><Contents><Key>k</Key></Contents></ListBucketResult>`)
	})
	n, many := 0, errors.New("many")
	err := b.list(t.Context(), "", func(*Object) error {
		if n++; n > 9 {
			return many
		}
		return nil
	})
	if err == nil || errors.Is(err, many) {
		t.Errorf("%d objects, %v", n, err)
	}
}

// TestDocOfOthers: a document is not the one that was to be written because it is as
// large.
func TestDocOfOthers(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	put := func(text string) error {
		_, err := b.PutDoc(t.Context(), "x", strings.NewReader(text), int64(len(text)), digest.SHA256.Sum([]byte(text)), Nothing)
		return err
	}
	if err := errors.Join(put("one"), put("one")); err != nil {
		t.Error(err)
	}
	if err := put("two"); !errors.Is(err, ErrExists) {
		t.Errorf("%v, want ErrExists", err)
	}
}

// TestBeginUnsaid: who has marked a bucket and was not told so has marked it all the
// same.
func TestBeginUnsaid(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	s.Fail(first(1, s3test.Unsaid, nil))
	mark, again, err := b.Begin(t.Context(), Mark{})
	if err != nil || again {
		t.Errorf("again %v, %v", again, err)
	}
	if is, again, err := b.Begin(t.Context(), Mark{}); err != nil || !again || is != mark {
		t.Errorf("%v, again %v, %v, want %v", is, again, err, mark)
	}
}
