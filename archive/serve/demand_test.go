package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/demand"
	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// TestAskedFor: a simple range is what is sent, and of any other all of the file is.
func TestAskedFor(t *testing.T) {
	t.Parallel()
	for header, want := range map[string][3]int64{
		"": {0, 10, 0}, "bytes=0-": {0, 10, 1}, "bytes=3-": {3, 7, 1}, "bytes=3-5": {3, 3, 1}, "bytes=3-3": {3, 1, 1}, "bytes=3-99": {3, 7, 1},
		"bytes=-3": {0, 10, 0}, "bytes=10-": {0, 10, 0}, "bytes=5-3": {0, 10, 0}, "bytes=1-2,4-5": {0, 10, 0}, "bytes=+1-2": {1, 2, 1}, "lines=1-2": {0, 10, 0},
		"bytes=99999999999999999999-": {0, 10, 0}, "bytes=3": {0, 10, 0}, "bytes=--1": {0, 10, 0},
	} {
		from, length, partial := askedFor(header, 10)
		if got := [3]int64{from, length, int64(bit(partial))}; got != want {
			t.Errorf("%q is %v, want %v", header, got, want)
		}
	}
}

// wants is a distfile as a catalog names it.
func wants(name, text string) *catalog.Distfile {
	sums, _ := digest.NewSet(digest.SHA512.Sum([]byte(text)))
	return &catalog.Distfile{
		Name: catalog.Name(name), Size: int64(len(text)), Digests: sums, Kind: catalog.Gentoo,
		Sources: []catalog.Source{{URI: "https://up.example/" + name}}, Owners: []catalog.Owner{{Repo: "r", Package: "c/p-1"}},
	}
}

// working starts a server that lets get have what is asked for, one by one, until the
// test ends.
func (w *world) working(c *catalog.Catalog, get func(d *demand.Desk, f *demand.File)) {
	w.t.Helper()
	d := &Demand{Desk: demand.NewDesk(w.Now), Every: time.Hour, Scan: func(context.Context) (*catalog.Catalog, error) { return c, nil }}
	d.Work = func(ctx context.Context, _ func(*catalog.Catalog)) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-d.Desk.Wake():
			}
			for _, f := range d.Desk.Take() {
				get(d.Desk, f)
			}
		}
	}
	o := w.options()
	o.Demand, o.Log = d, nil
	s, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
	ctx, cancel := context.WithCancel(context.Background())
	s.demand.scan(ctx, s)
	done := make(chan struct{})
	go func() { defer close(done); s.demand.work(ctx, s) }()
	w.t.Cleanup(func() { cancel(); <-done; s.Close() })
}

// TestDemand: what is got is what a catalog names and may be mirrored, and not again for a
// while when it cannot be had; an archive that is busy says so.
func TestDemand(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, makes func(t *testing.T, conf ...layout.Layout) *world) {
		w := makes(t)
		w.At(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC))
		shut, twice := wants("shut.tgz", "shut"), wants("v1.tgz", "other")
		shut.Restrict, twice.Unnamed = catalog.RestrictMirror, true
		other := wants("v1.tgz", "one")
		other.Unnamed = true
		c := &catalog.Catalog{
			Distfiles: []*catalog.Distfile{wants("a.tgz", "a"), wants("lost.tgz", "lost"), wants("slow.tgz", "slow"), wants("busy.tgz", "busy"), shut},
			Shadowed:  []*catalog.Distfile{twice, other},
		}
		asked := make(map[string]int)
		w.working(c, func(d *demand.Desk, f *demand.File) {
			switch asked[string(f.Name)]++; f.Name {
			case "a.tgz":
				w.Put("a.tgz", catalog.Gentoo, true, "a")
				d.Held(f.Distfile, digest.SHA256.Sum([]byte("a")))
			case "lost.tgz":
				d.Fail(f, failure.Gone)
			case "slow.tgz":
				d.Fail(f, failure.Stalled)
			case "busy.tgz":
				d.Drop(f, errors.New("locked"))
			}
		})
		for _, c := range []struct {
			uri    string
			status int
			after  string
		}{
			{"/a.tgz", 200, ""}, {"/a.tgz", 200, ""}, {"/sha512/" + hexOf(digest.SHA512, "a"), 200, ""},
			{"/https://up.example/lost.tgz", 404, "3300"}, {"/lost.tgz", 404, "3300"}, {"/slow.tgz", 404, "60"}, {"/slow.tgz", 404, "60"},
			{"/shut.tgz", 404, ""}, {"/v1.tgz", 300, ""}, {"/nothing", 404, ""},
			{"/busy.tgz", 503, "60"}, {"/busy.tgz", 503, "60"}, // it is not known that it cannot be had
		} {
			if r := w.get(c.uri); r.StatusCode != c.status || r.Header.Get("Retry-After") != c.after {
				t.Errorf("%s: %s, Retry-After %s", c.uri, r.Status, r.Header.Get("Retry-After"))
			}
		}
		want := map[string]int{"a.tgz": 1, "lost.tgz": 1, "slow.tgz": 1, "busy.tgz": 2}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("-want +asked for:\n%s", diff)
		}
	})
}

// follows serves a file of which the transfer is told by get, and returns what a client
// gets of it after half of it was there.
func follows(t *testing.T, text string, get func(d *demand.Desk, f *demand.File, part string, half chan struct{})) (string, *http.Response, error) {
	t.Helper()
	w := newWorld(t)
	half := make(chan struct{})
	part := filepath.Join(t.TempDir(), "part")
	w.working(&catalog.Catalog{Distfiles: []*catalog.Distfile{wants("a.tgz", text)}}, func(d *demand.Desk, f *demand.File) { get(d, f, part, half) })
	l := listen(t, "127.0.0.1:0")
	srv := &http.Server{Handler: w.s}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	r, err := http.Get("http://" + l.Addr().String() + "/a.tgz")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 100_000)
	if _, err := io.ReadFull(r.Body, first); err != nil {
		t.Errorf("the beginning: %v", err)
	}
	close(half)
	got, err := readAll(r)
	return string(first) + got, r, err
}

// TestFollowPart: whoever follows a file gets all of it when it is verified, and is cut off
// before the end when it is not, or begins anew.
func TestFollowPart(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", 20_000)
	sums, _ := digest.NewSet(digest.SHA256.Sum([]byte(text)))
	for what, c := range map[string]struct {
		rest func(d *demand.Desk, f *demand.File, part string)
		ok   bool
	}{
		"right": {func(d *demand.Desk, f *demand.File, part string) { d.Whole(f, part, f.Size, sums) }, true},
		"held": {func(d *demand.Desk, f *demand.File, part string) {
			d.Whole(f, part, f.Size, sums)
			d.Held(f.Distfile, sums[0])
		}, true},
		"wrong":      {func(d *demand.Desk, f *demand.File, _ string) { d.Fail(f, failure.Digest) }, false},
		"failed":     {func(d *demand.Desk, f *demand.File, _ string) { d.Drop(f, errors.New("disk")) }, false},
		"anew":       {func(d *demand.Desk, _ *demand.File, part string) { d.Grown(part, 0) }, false},
		"elsewhere":  {func(d *demand.Desk, f *demand.File, _ string) { d.Whole(f, "other", f.Size, sums) }, false},
		"not needed": {func(d *demand.Desk, f *demand.File, _ string) { d.Held(f.Distfile, sums[0]) }, false},
	} {
		got, r, err := follows(t, text, func(d *demand.Desk, f *demand.File, part string, half chan struct{}) {
			d.Arrives(f, part)
			if err := os.WriteFile(part, []byte(text[:200_000]), 0o600); err != nil {
				t.Error(err)
			}
			d.Grown(part, 200_000)
			<-half
			grown, err := os.OpenFile(part, os.O_WRONLY|os.O_APPEND, 0) // somebody reads it
			if err == nil {
				_, err = grown.WriteString(text[200_000:])
				err = errors.Join(err, grown.Close())
			}
			if err != nil {
				t.Error(err)
			}
			d.Grown(part, int64(len(text)))
			if c.ok {
				if err := os.Remove(part); err != nil {
					t.Error(err)
				}
			}
			c.rest(d, f, part)
		})
		if (err == nil) != c.ok || c.ok && got != text || !c.ok && len(got) > len(text)-heldBack || !strings.HasPrefix(text, got) {
			t.Errorf("%s: %s, %d bytes, %v", what, r.Status, len(got), err)
		}
	}
}
