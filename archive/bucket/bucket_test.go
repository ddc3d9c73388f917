package bucket

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/layout"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

func open(t *testing.T, s *s3test.Server) *Bucket {
	t.Helper()
	b, err := New(Options{
		Bucket: s3test.Bucket, Prefix: "some/where", Endpoint: s.URL, Jobs: 4, Single: 6 << 20, Part: 5 << 20,
		Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// item is a content with a part.
func item(t *testing.T, name, data string) *store.Item {
	t.Helper()
	part := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(part, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	it := &store.Item{Part: part}
	it.Content = layout.Content{Name: catalog.Name(name), Named: true, Size: int64(len(data)), Digests: digest.Set{digest.SHA256.Sum([]byte(data))}}
	return it
}

func key(data string) string {
	hex := fmt.Sprintf("%x", sha256.Sum256([]byte(data)))
	return "some/where/blob/sha256/" + hex[:2] + "/" + hex
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"s3://b": {"b", ""}, "s3://b/": {"b", ""}, "s3://b/x/y": {"b", "x/y"}, "s3://b/x/": {"b", "x"},
		"s3://": {}, "s3:///x": {}, "s3://b//x": {}, "s3://b/../x": {}, "s3://u:p@b/x": {}, "/dir": {}, "s3://b/a\nb": {},
	} {
		bucket, prefix, err := Parse(text)
		if bucket != want[0] || prefix != want[1] || (err == nil) != (want[0] != "") {
			t.Errorf("Parse(%q) = %q, %q, %v", text, bucket, prefix, err)
		}
	}
}

func TestNoPasswordInEndpoint(t *testing.T) {
	t.Parallel()
	_, err := New(Options{Bucket: "b", Endpoint: "http://me:hidden@127.0.0.1:1"})
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("err = %v", err)
	}
}

// TestProbe: a server that obeys conditions is fit, and nothing of the probe is left
// there; one that does not is refused by name of what it ignored.
func TestProbe(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	if err := b.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	s.Lax = true
	err := b.Probe(t.Context())
	if !errors.Is(err, ErrUnfit) {
		t.Fatalf("a server that ignores conditions is taken: %v", err)
	}
	for _, ignored := range []string{"If-Match of DELETE", "bytes without their SHA-256", "a part whose bytes", "at the end of an upload in parts"} {
		if !strings.Contains(err.Error(), ignored) {
			t.Errorf("%v does not say %q", err, ignored)
		}
	}
	if strings.Contains(err.Error(), "* of PUT") {
		t.Errorf("%v says what is not so", err)
	}
	left := 0
	if err := b.list(t.Context(), "", func(*Object) error { left++; return nil }); err != nil || left > 0 {
		t.Errorf("the probe has left %d objects (%v)", left, err)
	}
}

// TestPublish: each content is sent once, in one request, however many names it has,
// and not again.
func TestPublish(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	items := []*store.Item{item(t, "a", "same"), item(t, "b", "same"), item(t, "c", "other"), item(t, "empty", "")}
	if err := b.Publish(items, nil); err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if it.Err != nil || it.ModTime.IsZero() {
			t.Errorf("%s: %v, %v", it.Name, it.Err, it.ModTime)
		}
	}
	if kinds, all := s.Requests(); all != 3 || kinds["PUT"] != 3 {
		t.Errorf("%v, want 3 PUT", kinds)
	}
	for _, data := range []string{"same", "other", ""} {
		if got, ok := s.Get(key(data)); !ok || got != data {
			t.Errorf("%q: %q, %v", data, got, ok)
		}
	}
	// A name more needs no bytes; what is not there is an error of that one.
	more, lost := item(t, "d", "same"), item(t, "e", "gone")
	more.Part, lost.Part = "", ""
	if err := b.Publish([]*store.Item{more, lost}, nil); err != nil || more.Err != nil || !errors.Is(lost.Err, fs.ErrNotExist) {
		t.Errorf("%v; %v; %v", err, more.Err, lost.Err)
	}
	if name, err := b.NameOf(t.Context(), items[2].SHA256()); name != "c" || err != nil {
		t.Errorf("NameOf = %q, %v", name, err)
	}
}

// TestPublishWrong: what is in the place of a content and is not that is set aside, and
// bytes that are not what they should be are refused.
func TestPublishWrong(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	s.Put(key("right"), "wrong")
	it, bad := item(t, "a", "right"), item(t, "b", "good")
	if err := os.WriteFile(bad.Part, []byte("evil"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := b.Publish([]*store.Item{it, bad}, nil); err != nil || it.Err != nil {
		t.Fatal(err, it.Err)
	}
	if got, _ := s.Get(key("right")); got != "right" {
		t.Errorf("%q is published", got)
	}
	if !errors.Is(bad.Err, ErrSum) {
		t.Errorf("wrong bytes: %v", bad.Err)
	}
	if got, ok := s.Get(key("good")); ok {
		t.Errorf("%q is published", got)
	}
	aside := ""
	if err := b.list(t.Context(), "some/where/aside/", func(o *Object) error { aside, _ = s.Get(o.Key); return nil }); err != nil || aside != "wrong" {
		t.Errorf("aside is %q (%v)", aside, err)
	}
}

// TestParts: what is too large for one request comes in parts, under the same
// condition, and is read to be compared, since no server has its SHA-256.
func TestParts(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	data := strings.Repeat("0123456789abcdef", 11<<16)
	it := item(t, "large", data)
	for range 2 {
		if err := b.Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
			t.Fatal(err, it.Err)
		}
	}
	if got, _ := s.Get(key(data)); got != data {
		t.Errorf("%d bytes are not what was sent", len(got))
	}
	s.Put(key(data), data[1:]+"x")
	if wrong, err := b.Check(t.Context(), it.SHA256(), it.Size, nil); err != nil || !strings.Contains(wrong, "SHA256") {
		t.Errorf("Check: %q, %v", wrong, err)
	}
	r, err := b.Open(t.Context(), it.SHA256(), 5, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != "6789" || err != nil {
		t.Errorf("a range: %q, %v", got, err)
	}
}

// purge purges items whose bytes nobody else has.
func purge(b *Bucket, items ...*store.Item) error {
	var cs []*layout.Content
	for _, it := range items {
		cs = append(cs, &it.Content)
	}
	return b.Purge(cs, func(*layout.Content) (_, _ []*layout.Content) { return nil, nil })
}

// TestPurgeAtOnce: as many objects are removed at once as are written, each on its
// condition.
func TestPurgeAtOnce(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	var items []*store.Item
	for i := range b.o.Jobs {
		items = append(items, item(t, "a", fmt.Sprint(i)))
	}
	if err := b.Publish(items, nil); err != nil {
		t.Fatal(err)
	}
	var there sync.WaitGroup
	there.Add(len(items))
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			if r.Header.Get("If-Match") == "" {
				t.Error("an object is removed whatever it is")
			}
			there.Done()
			there.Wait() // for the others
		}
		s.ServeHTTP(w, r)
	}))
	defer front.Close()
	b, err := New(Options{Bucket: s3test.Bucket, Prefix: "some/where", Endpoint: front.URL, Jobs: len(items), Credentials: b.o.Credentials})
	if err != nil {
		t.Fatal(err)
	}
	if err := purge(b, append(items, items[0])...); err != nil {
		t.Error(err)
	}
	if left, err := s.Keys("some/where/blob/"); err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
}

// TestPurge: an object goes when nobody has its bytes any more, and only then.
func TestPurge(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	it := item(t, "a", "bytes")
	if err := b.Publish([]*store.Item{it}, nil); err != nil {
		t.Fatal(err)
	}
	for _, others := range [][2][]*layout.Content{{{&item(t, "b", "bytes").Content}, nil}, {nil, {&item(t, "b", "bytes").Content}}} {
		if err := b.Purge([]*layout.Content{&it.Content}, func(*layout.Content) (_, _ []*layout.Content) { return others[0], others[1] }); err != nil {
			t.Error(err)
		}
	}
	if _, ok := s.Get(key("bytes")); !ok {
		t.Error("it is gone although another name has it")
	}
	for range 2 {
		if err := purge(b, it); err != nil {
			t.Error(err)
		}
	}
	if _, ok := s.Get(key("bytes")); ok {
		t.Error("it is still there")
	}
}

// TestRetryAfter: a server that says how long to wait is believed, within bounds, and
// the waits without it grow to a bound.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	var sum time.Duration
	for n := range attempts - 1 {
		d, err := backoff(n, errors.New("no answer"))
		if err != nil || d <= 0 || d > maxWait {
			t.Errorf("attempt %d waits %v (%v)", n, d, err)
		}
		sum += d
	}
	if sum < time.Minute || sum > 5*time.Minute {
		t.Errorf("all attempts wait %v together", sum)
	}
}

// TestSkew: a clock that is an hour off is no reason to fail.
func TestSkew(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		s := s3test.New(t)
		s.Skew = skew
		it := item(t, "a", "bytes")
		if err := open(t, s).Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
			t.Errorf("%v: %v; %v", skew, err, it.Err)
		}
	}
}

// TestNoSecrets: nothing that is said has a credential.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b, err := New(Options{Bucket: "another", Endpoint: s.URL, Credentials: credentials.NewStaticCredentialsProvider("the-key", "the-secret", "the-token")})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{b.Probe(t.Context()), b.Publish([]*store.Item{item(t, "a", "bytes")}, nil)} {
		if err == nil || strings.Contains(err.Error(), "the-") {
			t.Errorf("err = %v", err)
		}
	}
}
