package deposit

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"distkeep/archive/bucket"
	"distkeep/archive/bucket/s3test"
	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A worker is a state directory with its own view of the bucket.
type worker struct {
	t *testing.T
	b *bucket.Bucket
	o vault.Options
}

func newWorker(t *testing.T, s *s3test.Server) *worker {
	t.Helper()
	b, err := bucket.New(bucket.Options{
		Bucket: s3test.Bucket, Prefix: "x", Endpoint: s.URL, Lease: 6 * time.Second,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s3test.Key, SecretAccessKey: s3test.Secret}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	w := &worker{t: t, b: b, o: vault.Options{Distfiles: filepath.Join(state, "public"), State: state, Remote: b}}
	if err := vault.Init(w.o.Distfiles, state, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := vault.Bind(state, &vault.Binding{URL: b.String(), Mark: "m"}); err != nil {
		t.Fatal(err)
	}
	return w
}

// open opens the archive, as who has taken its lease from somebody or not.
func (w *worker) open(taken bool) *vault.Vault {
	w.t.Helper()
	o := w.o
	o.CatchUp = func(v *vault.Vault) error { return CatchUp(w.t.Context(), v, w.b, taken) }
	v, err := vault.Open(o)
	if err == nil {
		err = v.Load(w.t.Context())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// adds records a content, and exports what there is.
func adds(t *testing.T, v *vault.Vault, name string) {
	t.Helper()
	sums, _ := digest.NewSet(digest.SHA256.Sum([]byte(name)))
	var b ledger.Batch
	b.PutDistfile(&ledger.Distfile{Content: layout.Content{Name: catalog.Name(name), Size: 1, Digests: sums, Named: true}})
	err := v.Commit(&b)
	if err == nil {
		err = export.Refresh(v, "test")
	}
	if err == nil {
		err = os.WriteFile(v.Store.Path("history"), []byte(name), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// leaves leaves all for others.
func leaves(t *testing.T, v *vault.Vault, b *bucket.Bucket) {
	t.Helper()
	err := Upload(t.Context(), v, b)
	if err == nil {
		err = Publish(t.Context(), v, b, bucket.PublishNone)
	}
	if err == nil {
		err = Seal(t.Context(), v, b, bucket.PublishNone)
	}
	if err != nil {
		t.Error(err)
	}
}

func closed(t *testing.T, v *vault.Vault) {
	t.Helper()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

func names(v *vault.Vault) string {
	var all []string
	for _, d := range v.Index.Distfiles {
		all = append(all, string(d.Name))
	}
	return strings.Join(all, " ")
}

// TestCatchUp: each worker goes on where the last one has ended, with what that has
// published; what was not left is not there.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	one, two := newWorker(t, s), newWorker(t, s)
	for i, turn := range []struct {
		w               *worker
		name            string
		upload          bool
		before, history string
	}{
		{one, "a", true, "", ""},
		{two, "b", true, "a", "a"},
		{two, "c", false, "a b", "b"}, // killed before it leaves anything
		{one, "d", true, "a b", "b"},
		{two, "e", true, "a b d", "d"},
		{two, "f", true, "a b d e", "e"},
	} {
		v := turn.w.open(false)
		history, err := os.ReadFile(v.Store.Path("history"))
		if got := names(v); got != turn.before || string(history) != turn.history || err != nil && turn.history != "" {
			t.Errorf("turn %d begins with %q and %q (%v), want %q and %q", i, got, history, err, turn.before, turn.history)
		}
		adds(t, v, turn.name)
		if turn.upload {
			leaves(t, v, turn.w.b)
		}
		closed(t, v)
	}
}

// TestKilledWhileLeft: a process that was killed while it left its ledger goes on with
// it, whether it was written or not.
func TestKilledWhileLeft(t *testing.T) {
	t.Parallel()
	for _, written := range []bool{false, true} {
		s := s3test.New(t)
		w := newWorker(t, s)
		v := w.open(false)
		adds(t, v, "a")
		l, err := load(v.State)
		if err == nil {
			_, err = put(t.Context(), v, w.b, ledgerDoc, l.Ledger, func(w io.Writer) error { return export.Ledger(v, w) }, func(sum digest.Digest) error {
				l.Coming = sum.Hex()
				return l.save(v)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
		if !written {
			s.Delete("x/doc/" + ledgerDoc)
		}
		adds(t, v, "b") // it came this far
		closed(t, v)
		v = w.open(false)
		if got := names(v); got != "a b" {
			t.Errorf("written %v: it has %q", written, got)
		}
		leaves(t, v, w.b)
		closed(t, v)
	}
}

// TestTaken: whoever has lost the lease, and comes to run again at a moment when nothing keeps him from a
// request, does not write his ledger over the one of who has it.
func TestTaken(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	one, two := newWorker(t, s), newWorker(t, s)
	v := one.open(false)
	adds(t, v, "a")
	leaves(t, v, one.b)
	adds(t, v, "late")
	held, err := two.b.Hold(t.Context(), "two", "the second")
	if err != nil {
		t.Fatal(err)
	}
	w := two.open(true)
	if err := Upload(t.Context(), v, one.b); !errors.Is(err, ErrOther) {
		t.Errorf("the first leaves its ledger: %v", err)
	}
	adds(t, w, "b")
	leaves(t, w, two.b)
	closed(t, w)
	if err := held.Release(); err != nil {
		t.Error(err)
	}
	closed(t, v)
	v = one.open(false)
	if got := names(v); got != "a b" {
		t.Errorf("the first goes on with %q", got)
	}
	closed(t, v)
}
