package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// TestPartMatrix is the table of the rules of .part files: what was left of an earlier
// run, and what the server does, against what becomes of the file.
func TestPartMatrix(t *testing.T) {
	t.Parallel()
	const size = 300_000
	data := fetchtest.Content("f.tar", size)
	bad := flip(data)
	write := func(b []byte) func(*testing.T, string) {
		return func(t *testing.T, part string) {
			if err := os.WriteFile(part, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	linked := func(b []byte) func(*testing.T, string) {
		return func(t *testing.T, part string) {
			write(b)(t, part)
			if err := os.Link(part, part+".other"); err != nil {
				t.Fatal(err)
			}
		}
	}
	const half = size / 2
	for _, c := range []struct {
		name   string
		before func(*testing.T, string)
		fault  string
		class  failure.Class
		// resumed and received are those of the Result.
		resumed, received int64
		requests          int
		// left is the .part after a failure, nil for none.
		left []byte
	}{
		{name: "nothing", received: size, requests: 1},
		{name: "empty", before: write(nil), received: size, requests: 1},
		{name: "short", before: write(data[:half]), resumed: half, received: size - half, requests: 1},
		{name: "one byte", before: write(data[:1]), resumed: 1, received: size - 1, requests: 1},
		{name: "one missing", before: write(data[:size-1]), resumed: size - 1, received: 1, requests: 1},
		{name: "complete", before: write(data), resumed: size},
		{name: "complete, server gone", before: write(data), fault: "404", resumed: size},
		{name: "complete but wrong", before: write(bad), received: size, requests: 1},
		{name: "too long", before: write(append(bytes.Clone(data), 'x')), received: size, requests: 1},
		{name: "short but wrong: once more from zero", before: write(bad[:half]), resumed: half, received: size - half + size, requests: 2},
		{name: "short, Range ignored: starts again", before: write(data[:half]), fault: "plain", resumed: half, received: size, requests: 1},
		{name: "short and wrong, Range ignored", before: write(bad[:half]), fault: "plain", resumed: half, received: size, requests: 1},
		{name: "short, 416: starts again", before: write(data[:half]), fault: "416-always", resumed: half, received: size, requests: 2},
		{name: "short, wrong Content-Range: starts again", before: write(data[:half]), fault: "bad-range-always", resumed: half, received: size, requests: 2},
		{name: "short, breaks again: goes on", before: write(data[:half]), fault: "cut", resumed: half, received: size - half, requests: 2},
		{name: "short, gone: stays", before: write(data[:half]), fault: "404", class: failure.Gone, resumed: half, requests: 2, left: data[:half]},
		{name: "short, cut at once, always: stays", before: write(data[:half]), fault: "cut-always", class: failure.Truncated, resumed: half, requests: 4, left: data[:half]},
		{name: "short, another size: stays for other sources", before: write(data[:half]), fault: "too-long", class: failure.Size, resumed: half, requests: 1, left: data[:half]},
		{name: "wrong from zero: nothing stays", fault: "wrong", class: failure.Digest, received: size, requests: 1},
		{name: "too long from zero: nothing stays", fault: "endless", class: failure.Size, received: -1, requests: 1},
		{name: "nothing, gone: nothing stays", fault: "404", class: failure.Gone, requests: 1},
		{name: "symbolic link", before: func(t *testing.T, part string) {
			write(data)(t, part+".other")
			if err := os.Symlink(part+".other", part); err != nil {
				t.Fatal(err)
			}
		}, received: size, requests: 1},
		{name: "directory", before: func(t *testing.T, part string) {
			if err := os.Mkdir(part, 0o755); err != nil {
				t.Fatal(err)
			}
		}, received: size, requests: 1},
		{name: "FIFO", before: func(t *testing.T, part string) {
			if err := syscall.Mkfifo(part, 0o600); err != nil {
				t.Fatal(err)
			}
		}, received: size, requests: 1},
		{name: "short with a second link: afresh", before: linked(data[:half]), received: size, requests: 1},
		{name: "complete with a second link: afresh", before: linked(data), received: size, requests: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := upstream(t, "127.0.0.1:0")
			u.Add("f.tar", data)
			dir := t.TempDir()
			fault := c.fault
			if fault == "" {
				fault = "ok"
			}
			r := want(t, dir, "f.tar", data, u.URL+"/"+fault+"/f.tar")
			if c.before != nil {
				c.before(t, r.Part)
			}
			other, _ := os.ReadFile(r.Part + ".other")
			res := run(t, t.Context(), fetcher(t, options(u.URL)), r)["f.tar"]
			checkClass(t, res, c.class, data)
			if res.Resumed != c.resumed || c.received >= 0 && res.Received != c.received || u.Total() != c.requests {
				t.Errorf("resumed %d, received %d, %d requests; want %d, %d, %d", res.Resumed, res.Received, u.Total(), c.resumed, c.received, c.requests)
			}
			if len(res.Attempts) != c.requests {
				t.Errorf("%d attempts for %d requests", len(res.Attempts), c.requests)
			}
			if c.class != "" {
				left, err := os.ReadFile(r.Part)
				if !bytes.Equal(left, c.left) || c.left == nil && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%d bytes are left (%v), want %d", len(left), err, len(c.left))
				}
			}
			if after, _ := os.ReadFile(r.Part + ".other"); !bytes.Equal(after, other) {
				t.Error("the file behind the other link was changed")
			}
		})
	}
}

// flip returns b with one bit changed.
func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[7] ^= 1
	return b
}

// TestPartOfUnknownSize continues files of which the tree tells no size.
func TestPartOfUnknownSize(t *testing.T) {
	t.Parallel()
	data := fetchtest.Content("f", 5000)
	for _, c := range []struct {
		name, fault string
		before      []byte
		requests    int
	}{
		{"nothing", "ok", nil, 1},
		{"chunked", "chunked", nil, 1},
		{"short", "ok", data[:2000], 1},
		{"complete", "404", data, 0},
		{"complete, then junk", "ok", append(bytes.Clone(data), "junk"...), 2},
		{"complete but wrong", "ok", flip(data), 2},
		{"cut", "cut", nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := upstream(t, "127.0.0.1:0")
			u.Add("f", data)
			r := want(t, t.TempDir(), "f", data, u.URL+"/"+c.fault+"/f")
			r.Size = -1
			if c.before != nil {
				if err := os.WriteFile(r.Part, c.before, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			checkClass(t, run(t, t.Context(), fetcher(t, options(u.URL)), r)["f"], "", data)
			if u.Total() != c.requests {
				t.Errorf("%d requests, want %d", u.Total(), c.requests)
			}
		})
	}
	u := upstream(t, "127.0.0.1:0")
	u.Add("f", data)
	o := options(u.URL)
	o.MaxSize = 100_000
	r := want(t, t.TempDir(), "f", data, u.URL+"/endless/f")
	r.Size = -1
	res := run(t, t.Context(), fetcher(t, o), r)["f"]
	checkClass(t, res, failure.Size, nil)
	if res.Received > 2*o.MaxSize+1<<17 {
		t.Errorf("%d bytes of an endless file", res.Received)
	}
}

// TestPartSurvivesRuns ends a run in the middle of a transfer; the next one
// continues it.
func TestPartSurvivesRuns(t *testing.T) {
	t.Parallel()
	data := fetchtest.Content("f", 1<<20)
	u := upstream(t, "127.0.0.1:0")
	u.Add("f", data)
	r := want(t, t.TempDir(), "f", data, u.URL+"/stall/f")
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	o := options(u.URL)
	o.Stall = -1
	first := true
	seen := 0
	o.Events.Bytes = func(_ catalog.Name, n int) {
		if seen += n; first && seen >= len(data)/2 {
			first = false
			cancel(cause)
		}
	}
	f := fetcher(t, o)
	res := run(t, ctx, f, r)["f"]
	if fetch.Classify(res.Err) != failure.Interrupted || !errors.Is(res.Err, cause) || !errors.Is(res.Err, context.Canceled) {
		t.Fatalf("error %v does not tell the cause", res.Err)
	}
	res = run(t, t.Context(), f, r)["f"]
	checkClass(t, res, "", data)
	if res.Resumed < int64(len(data))/4 || res.Resumed+res.Received != int64(len(data)) {
		t.Errorf("resumed %d and received %d of %d", res.Resumed, res.Received, len(data))
	}
}

// TestPartUnwritable checks that trouble with our own disk is told from the
// upstream's.
func TestPartUnwritable(t *testing.T) {
	t.Parallel()
	data := fetchtest.Content("f", 100)
	u := upstream(t, "127.0.0.1:0")
	u.Add("f", data)
	r := want(t, filepath.Join(t.TempDir(), "missing"), "f", data, u.URL+"/ok/f")
	checkClass(t, run(t, t.Context(), fetcher(t, options(u.URL)), r)["f"], failure.Disk, nil)
}

// TestPartsOfMany: where the names of very many are looked through at once, each has of an
// earlier run what it had alone, and what comes meanwhile is in nobody's way.
func TestPartsOfMany(t *testing.T) {
	t.Parallel()
	u := upstream(t, "127.0.0.1:0")
	dir := t.TempDir()
	contents := make(map[string][]byte)
	parts := make(map[string]string)
	var reqs []*fetch.Request
	for i := range 100 {
		name := fmt.Sprintf("f%d", i)
		contents[name] = fetchtest.Content(name, 1000+i)
		u.Add(name, contents[name])
		r := want(t, dir, name, contents[name], u.URL+"/ok/"+name)
		parts[name] = r.Part
		reqs = append(reqs, r)
	}
	if err := errors.Join(
		os.WriteFile(parts["f1"], contents["f1"][:600], 0o644),
		os.WriteFile(parts["f2"], contents["f2"], 0o644),
		os.Mkdir(parts["f3"], 0o755)); err != nil {
		t.Fatal(err)
	}
	o := options(u.URL)
	o.Events.Start = func(name catalog.Name, _ string, _, _ int64) {
		if name != "f4" {
			return
		}
		if err := os.WriteFile(parts["f4"], []byte("somebody else's"), 0o644); err != nil {
			t.Error(err)
		}
	}
	results := run(t, t.Context(), fetcher(t, o), reqs...)
	for name, data := range contents {
		checkClass(t, results[name], "", data)
		if fi, err := os.Lstat(parts[name]); err != nil || fi.Mode() != 0o444 {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
		resumed := map[string]int64{"f1": 600, "f2": 1002}[name]
		if got := results[name].Resumed; got != resumed {
			t.Errorf("%s: %d bytes are resumed, want %d", name, got, resumed)
		}
	}
}
