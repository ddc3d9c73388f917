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

	"distkeep/catalog"
	"distkeep/catalog/digest"
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

// wanted is a distfile as a catalog names it.
func wanted(name, text string) *catalog.Distfile {
	sums, _ := digest.NewSet(digest.SHA512.Sum([]byte(text)))
	return &catalog.Distfile{
		Name: catalog.Name(name), Size: int64(len(text)), Digests: sums, Kind: catalog.Gentoo,
		Sources: []catalog.Source{{URI: "https://up.example/" + name}}, Owners: []catalog.Owner{{Repo: "r", Package: "c/p-1"}},
	}
}

// working starts what gets files, until the test ends.
func (w *world) working(d *Demand) {
	w.t.Helper()
	s, err := New(Options{Distfiles: w.Distfiles, Reports: w.reports(), Now: w.Now, Demand: d, Warn: func(format string, _ ...any) { w.warning = format }})
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

// TestDemand: what is got is what a catalog names and may be mirrored, once for a minute when
// it cannot be had, and an archive that is busy says so.
func TestDemand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.At(time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC))
	shut, twice := wanted("shut.tgz", "shut"), wanted("v1.tgz", "other")
	shut.Restrict, twice.Unnamed = catalog.RestrictMirror, true
	other := wanted("v1.tgz", "one")
	other.Unnamed = true
	ds := []*catalog.Distfile{wanted("a.tgz", "a"), wanted("lost.tgz", "lost"), wanted("busy.tgz", "busy"), shut, twice, other}
	asked := make(map[string]int)
	w.working(&Demand{
		Every:  time.Hour,
		Wanted: func(context.Context) ([]*catalog.Distfile, error) { return ds, nil },
		Get: func(_ context.Context, ds []*catalog.Distfile, _ func(*catalog.Distfile, string)) error {
			for _, d := range ds {
				switch asked[string(d.Name)]++; d.Name {
				case "a.tgz":
					w.Put("a.tgz", catalog.Gentoo, true, "a")
				case "busy.tgz":
					return errors.New("locked")
				}
			}
			return nil
		},
	})
	for _, c := range []struct {
		uri    string
		status int
		count  string
	}{
		{"/a.tgz", 200, "a.tgz"}, {"/a.tgz", 200, "a.tgz"}, {"/sha512/" + hexOf(digest.SHA512, "a"), 200, "a.tgz"},
		{"/https://up.example/lost.tgz", 404, "lost.tgz"}, {"/lost.tgz", 404, "lost.tgz"},
		{"/shut.tgz", 404, ""}, {"/v1.tgz", 300, ""}, {"/nothing", 404, ""},
	} {
		r := w.get(c.uri)
		if r.StatusCode != c.status {
			t.Errorf("%s: %s", c.uri, r.Status)
		}
		if c.count != "" && asked[c.count] != 1 {
			t.Errorf("%s was asked for %d times", c.count, asked[c.count])
		}
	}
	if len(asked) != 2 {
		t.Errorf("asked for %v", asked)
	}
	for range 2 { // it is not known that it cannot be had
		if r := w.get("/busy.tgz"); r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" {
			t.Errorf("busy: %s", r.Status)
		}
	}
	w.s.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 1, 1, 0, time.UTC) }
	if w.get("/lost.tgz"); asked["lost.tgz"] != 2 || asked["busy.tgz"] != 2 {
		t.Errorf("a minute later: %v", asked)
	}
}

// TestFollowPart: whoever follows a file gets all of it when the archive has the content, and
// is cut off before the end when what has arrived was of another one.
func TestFollowPart(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", 20_000)
	for what, c := range map[string]struct {
		first, rest string
		ok          bool
	}{
		"right":          {text[:200_000], text[200_000:], true},
		"all at once":    {text, "", true},
		"wrong":          {"x" + text[1:200_000], text[200_000:], false},
		"wrong end":      {text[:len(text)-1], "x", false},
		"failed":         {text[:200_000], "", false},
		"failed at last": {text[:len(text)-1], "", false},
		"started anew":   {text[:200_000], "anew", false},
	} {
		w := newWorld(t)
		part, begun := filepath.Join(t.TempDir(), "part"), make(chan struct{})
		w.working(&Demand{
			Every: time.Hour,
			Wanted: func(context.Context) ([]*catalog.Distfile, error) {
				return []*catalog.Distfile{wanted("a.tgz", text)}, nil
			},
			Get: func(_ context.Context, ds []*catalog.Distfile, arriving func(*catalog.Distfile, string)) error {
				if err := os.WriteFile(part, []byte(c.first), 0o600); err != nil {
					return err
				}
				arriving(ds[0], part)
				<-begun
				if c.rest == "anew" {
					return os.Truncate(part, 10)
				}
				f, err := os.OpenFile(part, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					return err
				}
				_, err = f.WriteString(c.rest)
				return errors.Join(err, f.Close(), os.Remove(part))
			},
		})
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
			t.Errorf("%s: the beginning: %v", what, err)
		}
		close(begun)
		got, err := readAll(r)
		got = string(first) + got
		if (err == nil) != c.ok || c.ok && got != text || !c.ok && len(got) > len(text)-heldBack {
			t.Errorf("%s: %s, %d bytes, %v", what, r.Status, len(got), err)
		}
	}
}

// TestMirrorEvery: a run that the server makes itself is followed by who asks for what it
// fetches, and what it has brought is not got again.
func TestMirrorEvery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := strings.Repeat("0123456789abcdef", 20_000)
	part := filepath.Join(t.TempDir(), "part")
	arriving, asked := make(chan struct{}), make(chan struct{})
	w.working(&Demand{
		Every: time.Hour, MirrorEvery: time.Hour,
		Wanted: func(context.Context) ([]*catalog.Distfile, error) {
			return []*catalog.Distfile{wanted("a.tgz", text)}, nil
		},
		Mirror: func(_ context.Context, tell func(*catalog.Distfile, string)) error {
			if err := os.WriteFile(part, []byte(text[:200_000]), 0o600); err != nil {
				return err
			}
			tell(wanted("a.tgz", text), part)
			close(arriving)
			<-asked
			w.Put("a.tgz", catalog.Gentoo, true, text)
			return os.WriteFile(part, []byte(text), 0o600)
		},
		Get: func(context.Context, []*catalog.Distfile, func(*catalog.Distfile, string)) error {
			t.Error("what a run brings was got again")
			return nil
		},
	})
	l := listen(t, "127.0.0.1:0")
	srv := &http.Server{Handler: w.s}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	<-arriving
	r, err := http.Get("http://" + l.Addr().String() + "/a.tgz")
	if err != nil {
		t.Fatal(err)
	}
	close(asked)
	if got, err := readAll(r); got != text || err != nil {
		t.Errorf("%s: %d bytes, %v", r.Status, len(got), err)
	}
}
