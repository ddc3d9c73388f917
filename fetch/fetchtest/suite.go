package fetchtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// A Place is where a transport finds what the suite asks for.
type Place struct {
	// Options let the place be asked.
	Options fetch.Options
	// Publish makes data available and returns its URL.
	Publish func(t *testing.T, name string, data []byte) string
	// Break does the same, but the first transfer ends in the middle. Nil when
	// the place cannot be made to.
	Break func(t *testing.T, name string, data []byte) string
	// Whole tells that the place cannot continue a transfer: it sends files as
	// a whole only.
	Whole bool
}

// want is a request for data from url.
func want(dir, name string, data []byte, url string) *fetch.Request {
	h := digest.NewHasher(digest.BLAKE2B)
	h.Write(data)
	return &fetch.Request{
		Name: catalog.Name(name), Size: int64(len(data)), Digests: h.Sum(),
		Sources: []catalog.Source{{URI: url}}, Part: filepath.Join(dir, "part-of-"+strings.ReplaceAll(name, "/", "_")),
	}
}

// run fetches from the place and returns the results in the order of reqs.
func (p Place) run(t *testing.T, ctx context.Context, o fetch.Options, reqs ...*fetch.Request) []fetch.Result {
	t.Helper()
	f, err := fetch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var mu sync.Mutex
	by := make(map[*fetch.Request]fetch.Result)
	f.Run(ctx, fetch.Made(reqs...), func(r fetch.Result) {
		mu.Lock()
		defer mu.Unlock()
		by[r.Request] = r
	})
	out := make([]fetch.Result, len(reqs))
	for i, r := range reqs {
		out[i] = by[r]
	}
	return out
}

// one is run for a single request of which success is expected.
func (p Place) one(t *testing.T, r *fetch.Request, data []byte) fetch.Result {
	t.Helper()
	res := p.run(t, t.Context(), p.Options, r)[0]
	check(t, res, data)
	return res
}

func check(t *testing.T, res fetch.Result, data []byte) {
	t.Helper()
	if res.Err != nil {
		t.Errorf("%s: %v", res.Request.Name, res.Err)
		return
	}
	got, err := os.ReadFile(res.Request.Part)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%s: %d bytes, want the %d published (%v)", res.Request.Name, len(got), len(data), err)
	}
	if res.Size != int64(len(data)) || res.Digests.Get(digest.SHA256).IsZero() {
		t.Errorf("%s: size %d, digests %v", res.Request.Name, res.Size, res.Digests)
	}
}

func (p Place) fails(t *testing.T, r *fetch.Request, class failure.Class) {
	t.Helper()
	res := p.run(t, t.Context(), p.Options, r)[0]
	if got := fetch.Classify(res.Err); got != class {
		t.Errorf("%s: class %q (%v), want %q", r.Name, got, res.Err, class)
	}
}

// Conformance checks that a transport keeps the promises of package fetch at a
// place.
func Conformance(t *testing.T, p Place) {
	t.Run("sizes", func(t *testing.T) {
		dir := t.TempDir()
		for _, size := range []int{0, 1, 1000, 128 << 10, 128<<10 + 1, 1 << 20} {
			name := fmt.Sprint("size-", size)
			data := Content(name, size)
			if res := p.one(t, want(dir, name, data, p.Publish(t, name, data)), data); res.Received != int64(size) || res.Resumed != 0 {
				t.Errorf("%s: received %d, resumed %d", name, res.Received, res.Resumed)
			}
		}
	})
	t.Run("unknown size", func(t *testing.T) {
		data := Content("unknown", 200_000)
		r := want(t.TempDir(), "unknown", data, p.Publish(t, "unknown", data))
		r.Size = -1
		p.one(t, r, data)
	})
	t.Run("odd names", func(t *testing.T) {
		dir := t.TempDir()
		for _, name := range []string{"a+b~c", "v0.3.1@v1.zip", "[1].tgz", "with space", "(AMD64)", "{P}.tar", "100%", "ü", "a&b=c", "it's", "-dash", "a*b"} {
			data := Content(name, 100)
			p.one(t, want(dir, name, data, p.Publish(t, name, data)), data)
		}
	})
	t.Run("many", func(t *testing.T) {
		dir := t.TempDir()
		var reqs []*fetch.Request
		var datas [][]byte
		for i := range 30 {
			name := fmt.Sprint("many-", i)
			data := Content(name, i*777)
			reqs, datas = append(reqs, want(dir, name, data, p.Publish(t, name, data))), append(datas, data)
		}
		for i, res := range p.run(t, t.Context(), p.Options, reqs...) {
			check(t, res, datas[i])
		}
	})
	t.Run("continued", func(t *testing.T) {
		data := Content("cont", 300_000)
		r := want(t.TempDir(), "cont", data, p.Publish(t, "cont", data))
		leave(t, r.Part, data[:100_000])
		res := p.one(t, r, data)
		if left := int64(200_000); res.Resumed != 100_000 || !p.Whole && res.Received != left || p.Whole && res.Received != 300_000 {
			t.Errorf("resumed %d, received %d", res.Resumed, res.Received)
		}
	})
	t.Run("continued from wrong bytes", func(t *testing.T) {
		data := Content("wrongcont", 300_000)
		r := want(t.TempDir(), "wrongcont", data, p.Publish(t, "wrongcont", data))
		leave(t, r.Part, Content("other", 100_000))
		p.one(t, r, data)
	})
	t.Run("complete already", func(t *testing.T) {
		data := Content("complete", 5000)
		r := want(t.TempDir(), "complete", data, p.Publish(t, "complete", data)+"-gone")
		leave(t, r.Part, data)
		if res := p.one(t, r, data); res.Received != 0 || res.Resumed != 5000 || len(res.Attempts) != 0 {
			t.Errorf("received %d, resumed %d, %d attempts", res.Received, res.Resumed, len(res.Attempts))
		}
	})
	t.Run("gone", func(t *testing.T) {
		r := want(t.TempDir(), "gone", []byte("x"), p.Publish(t, "gone", []byte("x"))+"-gone")
		p.fails(t, r, failure.Gone)
		leave(t, r.Part, nil)
		p.fails(t, r, failure.Gone)
	})
	t.Run("other bytes", func(t *testing.T) {
		dir := t.TempDir()
		url := p.Publish(t, "other", Content("other", 1000))
		p.fails(t, want(dir, "digest", Content("wanted", 1000), url), failure.Digest)
		p.fails(t, want(dir, "longer", Content("wanted", 999), url), failure.Size)
		p.fails(t, want(dir, "shorter", Content("wanted", 1001), url), failure.Size)
		if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
			t.Errorf("%v is left (%v)", left, err)
		}
	})
	t.Run("broken", func(t *testing.T) {
		if p.Break == nil {
			t.Skip("this place cannot be made to break off")
		}
		data := Content("broken", 400_000)
		r := want(t.TempDir(), "broken", data, p.Break(t, "broken", data))
		res := p.one(t, r, data)
		if len(res.Attempts) != 2 || !p.Whole && res.Received > 500_000 {
			t.Errorf("%d attempts, received %d", len(res.Attempts), res.Received)
		}
	})
	t.Run("interrupted", func(t *testing.T) { p.interrupted(t) })
}

// interrupted ends a run in the middle of a file and continues it in the next.
func (p Place) interrupted(t *testing.T) {
	const size = 4 << 20
	data := Content("interrupted", size)
	r := want(t.TempDir(), "interrupted", data, p.Publish(t, "interrupted", data))
	cause := errors.New("told to stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	o := p.Options
	o.HostRate = size
	started := 0
	o.Events.Start = func(_ catalog.Name, at string, offset, n int64) {
		if started++; at == "" || offset != 0 || n != size {
			t.Errorf("started %q at %d of %d", at, offset, n)
		}
	}
	seen := 0
	o.Events.Bytes = func(_ catalog.Name, n int) {
		if seen += n; seen > size/4 {
			cancel(cause)
		}
	}
	res := p.run(t, ctx, o, r)[0]
	if !errors.Is(res.Err, cause) || fetch.Classify(res.Err) != failure.Interrupted {
		t.Fatalf("error %v does not tell the cause", res.Err)
	}
	if started != 1 {
		t.Errorf("told %d times that the transfer began", started)
	}
	res = p.one(t, r, data)
	if res.Resumed == 0 || !p.Whole && res.Received != size-res.Resumed {
		t.Errorf("resumed %d, received %d of %d", res.Resumed, res.Received, size)
	}
}

func leave(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
