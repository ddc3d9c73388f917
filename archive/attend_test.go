package archive

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"distkeep/archive/archivetest"
	"distkeep/archive/demand"
	"distkeep/archive/plan"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// TestAttend: what somebody waits for comes from what the run has, has whole or fetches,
// and only otherwise by a transfer of its own.
func TestAttend(t *testing.T) {
	t.Parallel()
	const text = "content"
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Write([]byte(text))
	}))
	defer srv.Close()
	u, _ := url.Parse(srv.URL)
	port, _ := strconv.Atoi(u.Port())
	sha512, sha256 := digest.SHA512.Sum([]byte(text)), digest.SHA256.Sum([]byte(text))
	d := &catalog.Distfile{Name: "a.tgz", Size: int64(len(text)), Digests: digest.Set{sha512}, Kind: catalog.Gentoo, Sources: []catalog.Source{{URI: srv.URL + "/a"}}}
	w := plan.NewWant(d, true)
	archivetest.New(t).Do(func(v *vault.Vault) {
		own := v.Store.Parts.Path(w.Name, w.ID())
		runs := v.Store.Parts.Path("run.tgz", "x")
		request := &fetch.Request{Name: "run.tgz", Size: d.Size, Digests: d.Digests, Sources: d.Sources, Part: runs}
		for what, c := range map[string]struct {
			run      func(a *attendant)
			want     demand.State
			requests int64
		}{
			"nobody has it":  {func(*attendant) {}, demand.State{Part: own, Whole: true}, 1},
			"the run has it": {func(a *attendant) { a.added(w, sha256) }, demand.State{Held: true}, 0},
			"the run has it whole": {func(a *attendant) {
				a.came([]*plan.Want{w}, &fetch.Result{Request: request, Size: d.Size, Digests: digest.Set{sha256}})
			}, demand.State{Part: runs, Whole: true}, 0},
			"the run fetches it": {func(a *attendant) { a.comes([]*plan.Want{w}, func() *fetch.Request { return request }) }, demand.State{Part: runs, Whole: true}, 1},
		} {
			asked.Store(0)
			desk := demand.NewDesk(v.Options.Now)
			fetcher, err := newFetcher(v, fetch.Options{Schemes: []string{"http"}, Ports: []int{port}, AllowPrivate: true}, 0, desk)
			if err != nil {
				t.Fatal(err)
			}
			a := attend(t.Context(), &attendant{desk: desk, v: v, fetcher: fetcher})
			c.run(a)
			f, err := desk.Ask(d, true)
			if err != nil {
				t.Fatal(err)
			}
			is := settled(f)
			if is.Part != c.want.Part || is.Whole != c.want.Whole || is.Held != c.want.Held || is.SHA256 != sha256 {
				t.Errorf("%s: %+v", what, is)
			}
			if n := asked.Load(); n != c.requests {
				t.Errorf("%s: %d requests", what, n)
			}
			a.end()
			if left := desk.Take(); (len(left) == 1) != !is.Held {
				t.Errorf("%s: %v is left to others", what, left)
			}
			fetcher.Close()
			if err := v.Store.Parts.Remove(own); err != nil {
				t.Error(err)
			}
			if err := v.Store.Parts.Remove(runs); err != nil {
				t.Error(err)
			}
		}
	})
}

// settled is what has become of f once that is known.
func settled(f *demand.File) demand.State {
	for {
		is, changed := f.State()
		if is.Whole || is.Held || is.Err != nil {
			return is
		}
		<-changed
	}
}

// TestAttendFails: what is wrong with a source is told as such, what is wrong here is
// tried again by the next who asks, and what was interrupted is for others to get.
func TestAttendFails(t *testing.T) {
	t.Parallel()
	desk := demand.NewDesk(archivetest.New(t).Now)
	a := &attendant{desk: desk}
	for what, c := range map[string]struct {
		err           error
		told, refused bool
	}{
		"gone":        {&fetch.Error{Class: failure.Gone}, true, true},
		"a full disk": {&fetch.Error{Class: failure.Disk}, true, false},
		"interrupted": {&fetch.Error{Class: failure.Interrupted}, false, false},
		"the end":     {context.Canceled, false, false},
	} {
		f, err := desk.Ask(&catalog.Distfile{Name: catalog.Name(what)}, true)
		if err != nil {
			t.Fatal(err)
		}
		a.failed(f, c.err)
		is, _ := f.State()
		if told, refused := is.Err != nil, errors.As(is.Err, new(*demand.Refused)); told != c.told || refused != c.refused {
			t.Errorf("%s: %v", what, is.Err)
		}
	}
}
