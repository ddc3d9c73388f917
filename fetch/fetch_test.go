package fetch_test

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream starts an upstream on a loopback address for the length of a test.
func upstream(t testing.TB, addr string) *fetchtest.Upstream {
	t.Helper()
	u, err := fetchtest.Start(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

// options are those of tests: loopback is allowed, and pauses are short. The patience
// is the usual one, which no machine is too busy for.
func options(bases ...string) fetch.Options {
	o := fetch.Options{
		AllowNets:     []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		RetryWait:     20 * time.Millisecond,
		MaxRetryWait:  200 * time.Millisecond,
		MaxRetryAfter: 1500 * time.Millisecond,
	}
	for _, base := range bases {
		u, err := url.Parse(base)
		if err != nil {
			panic(err)
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			panic(err)
		}
		o.Ports = append(o.Ports, port)
	}
	return o
}

// fetcher returns a Fetcher for the length of a test.
func fetcher(t testing.TB, o fetch.Options) *fetch.Fetcher {
	t.Helper()
	f, err := fetch.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// want is a request for data from urls.
func want(t testing.TB, dir, name string, data []byte, urls ...string) *fetch.Request {
	t.Helper()
	h := digest.NewHasher(digest.SHA512, digest.BLAKE2B)
	h.Write(data)
	sum := h.Sum()
	set, _ := digest.NewSet(sum.Get(digest.SHA512), sum.Get(digest.BLAKE2B))
	r := &fetch.Request{Name: catalog.Name(name), Size: int64(len(data)), Digests: set, Part: filepath.Join(dir, name+".part")}
	for _, u := range urls {
		r.Sources = append(r.Sources, catalog.Source{URI: u})
	}
	return r
}

// run fetches and returns the results by name.
func run(t testing.TB, ctx context.Context, f *fetch.Fetcher, reqs ...*fetch.Request) map[string]fetch.Result {
	t.Helper()
	var mu sync.Mutex
	out := make(map[string]fetch.Result)
	err := f.Run(ctx, fetch.Made(reqs...), func(r fetch.Result) {
		mu.Lock()
		defer mu.Unlock()
		if _, twice := out[string(r.Request.Name)]; twice {
			t.Errorf("%s: ended twice", r.Request.Name)
		}
		out[string(r.Request.Name)] = r
	})
	if err != context.Cause(ctx) {
		t.Errorf("Run: %v, want %v", err, context.Cause(ctx))
	}
	if len(out) != len(reqs) {
		t.Errorf("%d results for %d requests", len(out), len(reqs))
	}
	return out
}

// checkClass compares the class of a result, and for success the file.
func checkClass(t testing.TB, r fetch.Result, class failure.Class, data []byte) {
	t.Helper()
	if got := fetch.Classify(r.Err); got != class {
		t.Errorf("%s: class %q (%v), want %q", r.Request.Name, got, r.Err, class)
		return
	}
	if class != "" {
		var e *fetch.Error
		if !errors.As(r.Err, &e) || strings.ContainsAny(e.Reason(), "\n\t") || !strings.HasPrefix(e.Reason(), string(class)+": ") {
			t.Errorf("%s: bad error %v", r.Request.Name, r.Err)
		}
		return
	}
	got, err := os.ReadFile(r.Request.Part)
	if err != nil || string(got) != string(data) {
		t.Errorf("%s: file has %d bytes, want the %d sent (%v)", r.Request.Name, len(got), len(data), err)
	}
	if r.Size != int64(len(data)) || r.Digests.Get(digest.SHA256).IsZero() || r.Request.Digests.Compare(r.Digests) != digest.Same {
		t.Errorf("%s: size %d, digests %v", r.Request.Name, r.Size, r.Digests)
	}
}

// TestFaults asks for one file under each fault and checks its class.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 300_000} {
		for _, fault := range fetchtest.Faults(false) {
			t.Run(fault.Name+"-"+strconv.Itoa(size), func(t *testing.T) {
				t.Parallel()
				u, other := upstream(t, "127.0.0.1:0"), upstream(t, "127.0.0.2:0")
				u.Other, other.Other = other.URL, u.URL
				name := fault.Name + ".tar"
				data := fetchtest.Content(name, size)
				u.Add(name, data)
				other.Add(name, data)
				dir := t.TempDir()
				f := fetcher(t, options(u.URL, other.URL))
				res := run(t, t.Context(), f, want(t, dir, name, data, u.URL+"/"+fault.Name+"/"+name))
				checkClass(t, res[name], failure.Class(fault.Class), data)
			})
		}
	}
}
