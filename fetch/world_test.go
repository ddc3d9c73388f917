package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A world is a transport without a network: time passes only in pauses, so that
// tests in a synctest bubble take none.
type world struct {
	mu     sync.Mutex
	active map[string]int
	peak   map[string]int
	asked  map[string]int
	total  int
	most   int
	// last is the URL that answer is asked about, which is what a host does
	// with the n-th request for a URL, from 1.
	last   string
	answer func(host string, n, active int) (took time.Duration, err error)
}

var _ transport = (*world)(nil)

const worldFile = "the file"

func (w *world) open(ctx context.Context, u *url.URL, _ resume) (*body, error) {
	w.mu.Lock()
	w.asked[u.String()]++
	w.active[u.Host]++
	w.total++
	w.peak[u.Host] = max(w.peak[u.Host], w.active[u.Host])
	w.most = max(w.most, w.total)
	w.last = u.String()
	took, err := w.answer(u.Host, w.asked[u.String()], w.active[u.Host])
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.active[u.Host]--
		w.total--
		w.mu.Unlock()
	}()
	select {
	case <-time.After(took):
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &body{ReadCloser: io.NopCloser(bytes.NewReader([]byte(worldFile))), size: int64(len(worldFile)), final: u, clean: true}, nil
}

// newWorld returns a fetcher for a world.
func newWorld(t *testing.T, o Options, answer func(host string, n, active int) (time.Duration, error)) (*Fetcher, *world) {
	t.Helper()
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{active: make(map[string]int), peak: make(map[string]int), asked: make(map[string]int), answer: answer}
	f.transports["http"] = w
	return f, w
}

// files are n requests for files of the hosts, each of which has all.
func files(t *testing.T, prefix string, n int, hosts ...string) []*Request {
	h := digest.NewHasher()
	h.Write([]byte(worldFile))
	dir := t.TempDir()
	var reqs []*Request
	for i := range n {
		name := fmt.Sprintf("%s-%d", prefix, i)
		r := &Request{Name: catalog.Name(name), Size: int64(len(worldFile)), Digests: h.Sum(), Part: filepath.Join(dir, name)}
		for _, host := range hosts {
			r.Sources = append(r.Sources, catalog.Source{URI: "http://" + host + "/" + name})
		}
		reqs = append(reqs, r)
	}
	return reqs
}

// outcomes runs and counts the classes of results, and notes when each name
// ended.
func outcomes(t *testing.T, ctx context.Context, f *Fetcher, reqs []*Request) (count map[failure.Class]int, when map[catalog.Name]time.Duration, results []Result) {
	t.Helper()
	var mu sync.Mutex
	count, when = make(map[failure.Class]int), make(map[catalog.Name]time.Duration)
	began := time.Now()
	f.Run(ctx, Made(reqs...), func(r Result) {
		mu.Lock()
		defer mu.Unlock()
		count[Classify(r.Err)]++
		when[r.Request.Name] = time.Since(began)
		results = append(results, r)
	})
	if len(results) != len(reqs) || len(when) != len(reqs) {
		t.Errorf("%d results for %d requests", len(results), len(reqs))
	}
	return count, when, results
}

func hostStats(t *testing.T, f *Fetcher, host string) HostStats {
	t.Helper()
	for _, h := range f.Hosts() {
		if h.Host == host {
			return h
		}
	}
	t.Fatalf("no figures of %s", host)
	return HostStats{}
}

var refused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
