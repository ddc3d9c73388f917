package archive

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"distkeep/archive/archivetest"
	"distkeep/archive/demand"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// TestBring: what somebody waits for is had from where a run would have it, and no run has
// been there afterwards.
func TestBring(t *testing.T) {
	t.Parallel()
	const text = "content"
	for what, c := range map[string]struct {
		prepare  func(b *archivetest.Box)
		name     catalog.Name
		unnamed  bool
		gone     bool
		requests int64
		class    failure.Class
		files    int
	}{
		"upstream has it":        {requests: 1, files: 1},
		"without a name":         {unnamed: true, requests: 1, files: 1},
		"upstream has lost it":   {gone: true, requests: 1, class: failure.Gone},
		"it has another name":    {prepare: func(b *archivetest.Box) { b.Put("b.tgz", catalog.Gentoo, true, text) }, gone: true, files: 2},
		"it is there, unknown":   {prepare: func(b *archivetest.Box) { os.WriteFile(b.Path("a.tgz"), []byte(text), 0o644) }, gone: true, files: 1},
		"its place is taken":     {prepare: func(b *archivetest.Box) { os.Mkdir(b.Path("a.tgz"), 0o755) }, class: failure.Local},
		"its name is our own":    {name: "layout.conf", class: failure.Policy},
		"other bytes are there":  {prepare: func(b *archivetest.Box) { os.WriteFile(b.Path("a.tgz"), []byte("onten"), 0o644) }, requests: 1, files: 1},
		"and somebody else's is": {prepare: func(b *archivetest.Box) { b.Put("b.tgz", catalog.Gentoo, true, "other") }, requests: 1, files: 2},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1); c.gone {
					http.NotFound(w, r)
					return
				}
				w.Write([]byte(text))
			}))
			defer srv.Close()
			u, _ := url.Parse(srv.URL)
			port, _ := strconv.Atoi(u.Port())
			b := archivetest.New(t)
			if c.prepare != nil {
				c.prepare(b)
			}
			desk := demand.NewDesk(b.Now)
			o := MirrorOptions{Desk: desk, Fetch: fetch.Options{Schemes: []string{"http"}, Ports: []int{port}, AllowPrivate: true}}
			sums, _ := digest.NewSet(digest.SHA512.Sum([]byte(text)), digest.BLAKE2B.Sum([]byte(text)))
			d := &catalog.Distfile{Name: "a.tgz", Size: int64(len(text)), Digests: sums, Kind: catalog.Gentoo, Sources: []catalog.Source{{URI: srv.URL + "/a"}}}
			if c.name != "" {
				d.Name = c.name
			}
			f, err := desk.Ask(d, !c.unnamed)
			if err != nil {
				t.Fatal(err)
			}
			is := bring(t, b, o, f)
			refused := (*demand.Refused)(nil)
			if errors.As(is.Err, &refused); c.class == "" && !is.Held || c.class != "" && (refused == nil || refused.Class != c.class) {
				t.Errorf("%+v", is)
			}
			// What fetches at once may have asked before it was known to be of no use.
			if n := asked.Load(); n < c.requests || n > max(c.requests, 1) {
				t.Errorf("%d requests", n)
			}
			if n := len(b.Records()); n != c.files {
				t.Errorf("%v", b.Records())
			}
			// Archives downstream are told.
			if _, err := os.Stat(b.Path("generations/latest")); (err == nil) != is.Held {
				t.Errorf("generations: %v", err)
			}
			b.Do(func(v *vault.Vault) {
				if err := v.Load(t.Context()); err != nil {
					t.Fatal(err)
				}
				runs, err := v.Ledger().Runs(9)
				if err != nil || len(runs) != 0 || len(v.Index.Failures) != 0 {
					t.Errorf("%v, %v, %v", runs, v.Index.Failures, err)
				}
				if left, err := os.ReadDir(v.Store.PartsDir()); err != nil || len(left) > 0 {
					t.Errorf("parts: %v, %v", left, err)
				}
			})
		})
	}
}

// bring lets Bring work until it is known what becomes of f.
func bring(t *testing.T, b *archivetest.Box, o MirrorOptions, f *demand.File) demand.State {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- Bring(ctx, b.Options, o) }()
	for {
		is, changed := f.State()
		if is.Held || is.Err != nil {
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			return is
		}
		select {
		case <-changed:
		case err := <-ended:
			t.Fatal(err)
		}
	}
}

// TestBringLeavesTheRest: what was not finished is for the next who comes, and what cannot
// even begin is told.
func TestBringLeavesTheRest(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 9)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	port, _ := strconv.Atoi(u.Port())
	b := archivetest.New(t)
	desk := demand.NewDesk(b.Now)
	sums, _ := digest.NewSet(digest.SHA512.Sum([]byte("content")))
	f, _ := desk.Ask(&catalog.Distfile{Name: "a.tgz", Size: 7, Digests: sums, Sources: []catalog.Source{{URI: srv.URL + "/a"}}}, true)
	o := MirrorOptions{Desk: desk, Fetch: fetch.Options{Schemes: []string{"http"}, Ports: []int{port}, AllowPrivate: true}}
	b.Do(func(*vault.Vault) {
		if err := Bring(t.Context(), b.Options, o); !errors.Is(err, vault.ErrLocked) {
			t.Errorf("while the archive is in use: %v", err)
		}
	})
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- Bring(ctx, b.Options, o) }()
		<-begun
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if left := desk.Take(); len(left) != 1 || left[0] != f {
		t.Errorf("%v is left", left)
	}
}

// TestBringAgain: what a run could not get, and would wait with, is had for who asks.
func TestBringAgain(t *testing.T) {
	t.Parallel()
	const text = "content"
	var there atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !there.Load() {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(text))
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	port, _ := strconv.Atoi(u.Port())
	b := archivetest.New(t)
	sums, _ := digest.NewSet(digest.SHA512.Sum([]byte(text)), digest.BLAKE2B.Sum([]byte(text)))
	d := &catalog.Distfile{
		Name: "a.tgz", Size: int64(len(text)), Digests: sums, Kind: catalog.Gentoo,
		Owners: []catalog.Owner{{Repo: "r", Package: "c/a-1"}}, Sources: []catalog.Source{{URI: srv.URL + "/a"}},
	}
	o := MirrorOptions{
		Repositories: []catalog.Repository{static{d}},
		Fetch:        fetch.Options{Schemes: []string{"http"}, Ports: []int{port}, AllowPrivate: true},
	}
	b.Do(func(v *vault.Vault) {
		if s, err := Mirror(t.Context(), v, o); err != nil || s.NewFailures() != 1 {
			t.Fatalf("%+v, %v", s, err)
		}
	})
	there.Store(true)
	o.Desk = demand.NewDesk(b.Now)
	f, err := o.Desk.Ask(d, true)
	if err != nil {
		t.Fatal(err)
	}
	if is := bring(t, b, o, f); !is.Held {
		t.Errorf("%+v", is)
	}
}

// TestBringBarred: who waits is told when a file cannot be published although it came.
func TestBringBarred(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	begun, barred := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("/"))
		if r.URL.Path == "/a" {
			w.(http.Flusher).Flush() // a host that is slow has one transfer
			close(begun)
			<-barred
		}
		w.Write([]byte(r.URL.Path[1:]))
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	port, _ := strconv.Atoi(u.Port())
	desk := demand.NewDesk(b.Now)
	ask := func(path string) *demand.File {
		sums, _ := digest.NewSet(digest.SHA512.Sum([]byte(path)), digest.BLAKE2B.Sum([]byte(path)))
		f, err := desk.Ask(&catalog.Distfile{Name: catalog.Name(path[1:] + ".tgz"), Size: int64(len(path)), Digests: sums, Kind: catalog.Gentoo, Sources: []catalog.Source{{URI: srv.URL + path}}}, true)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := ask("/a")
	go func() {
		defer close(barred)
		<-begun
		// What is asked for later is planned later, so that f is planned when that is had.
		for later := ask("/b"); ; {
			is, changed := later.State()
			if is.Held || is.Err != nil {
				break
			}
			<-changed
		}
		if err := os.Mkdir(b.Path("a.tgz"), 0o755); err != nil {
			t.Error(err)
		}
	}()
	is := bring(t, b, MirrorOptions{Desk: desk, Fetch: fetch.Options{Schemes: []string{"http"}, Ports: []int{port}, AllowPrivate: true}}, f)
	if errors.As(is.Err, new(*demand.Refused)) || is.Err == nil || is.Held {
		t.Errorf("%+v", is)
	}
}
