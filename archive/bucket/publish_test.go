package bucket

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// TestExpose: readers find what is exposed, small and large, until it is withdrawn; what
// takes the place of something is there at once.
func TestExpose(t *testing.T) {
	t.Parallel()
	for name, start := range s3test.Servers(os.Getenv(s3test.VersityVar)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := New(Options{
				Bucket: s3test.Bucket, Prefix: "some where", Endpoint: start(t), Single: 6 << 20, Part: 5 << 20,
				Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, ""),
			})
			if err != nil {
				t.Fatal(err)
			}
			small, large := item(t, "small", "bytes"), item(t, "large", strings.Repeat("0123456789abcdef", 11<<16))
			if err := b.Publish([]*store.Item{small, large}, nil); err != nil || small.Err != nil || large.Err != nil {
				t.Fatal(err, small.Err, large.Err)
			}
			const rel, deep = "c++ %2F@v1.zip", "ab/large"
			etags := make(map[string]string)
			expose := func(rel string, it *store.Item, how Publishing) {
				if etags[rel], err = b.Expose(t.Context(), rel, it.SHA256(), it.Size, how); err != nil {
					t.Fatal(err)
				}
			}
			expose(rel, large, PublishCopies)
			expose(rel, small, PublishCopies)
			expose(deep, large, PublishCopies)
			for rel, it := range map[string]*store.Item{rel: small, deep: large} {
				if sum, err := read(b, t, rel); err != nil || sum != it.SHA256() {
					t.Errorf("%s is %v, want %v (%v)", rel, sum, it.SHA256(), err)
				}
			}
			there := make(map[string]string)
			if err := b.Exposed(t.Context(), "", func(rel, etag string) error { there[rel] = etag; return nil }); err != nil || !maps.Equal(there, etags) {
				t.Errorf("listed %v, want %v (%v)", there, etags, err)
			}
			expose(rel, small, PublishRedirects)
			key := b.exposed(rel)
			out, err := b.client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &b.o.Bucket, Key: &key})
			if want := "/some%20where/" + strings.TrimPrefix(b.blob(small.SHA256()), "some where/"); err != nil || *out.ContentLength != 0 || *out.WebsiteRedirectLocation != want {
				t.Errorf("a redirect to %v, want %s (%v)", out.WebsiteRedirectLocation, want, err)
			}
			for range 2 {
				if err := b.Withdraw(t.Context(), rel); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := read(b, t, rel); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("what was withdrawn: %v", err)
			}
			if err := b.WithdrawAside(t.Context(), deep); err != nil {
				t.Fatal(err)
			}
			var left []string
			if err := b.list(t.Context(), "", func(o *Object) error { left = append(left, strings.TrimPrefix(o.Key, b.prefix)); return nil }); err != nil || len(left) != 3 || !slices.ContainsFunc(left, func(key string) bool { return strings.HasPrefix(key, "aside/public/ab/large/") }) {
				t.Errorf("left: %q (%v)", left, err)
			}
			// No content is exposed that is not there.
			gone := item(t, "gone", "nobody has it")
			if _, err := b.Expose(t.Context(), "gone", gone.SHA256(), gone.Size, PublishCopies); !Refused(err) {
				t.Errorf("what is not there: %v", err)
			}
		})
	}
}

func read(b *Bucket, t *testing.T, rel string) (digest.Digest, error) {
	r, err := b.OpenExposed(t.Context(), rel)
	if err != nil {
		return digest.Digest{}, err
	}
	defer r.Close()
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, r); err != nil {
		return digest.Digest{}, err
	}
	return digest.SHA256.Sum(buf.Bytes()), nil
}

// TestPublishing: the choice is kept with the bucket, and a server that forgets where an
// object leads to is refused before anything is chosen.
func TestPublishing(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	is := func(want Publishing) {
		t.Helper()
		if got, err := b.Publishing(t.Context()); got != want || err != nil {
			t.Errorf("it is %q, want %q (%v)", got, want, err)
		}
	}
	is(PublishNone)
	for _, p := range []Publishing{PublishCopies, PublishRedirects, PublishCopies} {
		if err := b.SetPublishing(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		is(p)
	}
	s.Lax = true
	if err := b.SetPublishing(t.Context(), PublishRedirects); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), "x-amz-website-redirect-location") {
		t.Errorf("a server that forgets redirects: %v", err)
	}
	is(PublishCopies)
	s.Put("some/where/doc/publish", "by pigeon\n")
	if p, err := b.Publishing(t.Context()); err == nil {
		t.Errorf("%q is taken", p)
	}
}
