package certificate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distkeep/catalog"
)

// A garden is a directory of a test.
type garden struct {
	t   *testing.T
	dir string
	key *Key
}

func newGarden(t *testing.T) *garden {
	g := &garden{t, t.TempDir(), NewKey()}
	for _, f := range []string{"a", "d/b", "d/e/c", "d/e/skipped", "shut/x/f"} {
		g.must(os.MkdirAll(filepath.Dir(g.path(f)), 0o755), os.WriteFile(g.path(f), []byte(f), 0o644))
	}
	// More than one goroutine does alone.
	for i := range 300 {
		g.must(os.WriteFile(g.path(fmt.Sprintf("d/many%03d", i)), nil, 0o644))
	}
	g.must(os.Symlink("d/b", g.path("link")), os.Symlink("nowhere", g.path("dangling")))
	return g
}

func (g *garden) path(rel string) string { return filepath.Join(g.dir, rel) }

func (g *garden) must(errs ...error) {
	g.t.Helper()
	if err := errors.Join(errs...); err != nil {
		g.t.Fatal(err)
	}
}

func (g *garden) place() Place {
	return Place{
		Place: catalog.Place{Path: g.dir, Skip: func(rel string) bool { return rel == "d/e/skipped" }},
		Shut:  func(rel string) bool { return rel == "shut/x" },
		Busy:  true,
	}
}

func (g *garden) sum(places ...Place) Sum {
	g.t.Helper()
	s, err := (&Hasher{Key: g.key}).Sum(g.t.Context(), places...)
	g.must(err)
	return s
}

func TestSum(t *testing.T) {
	t.Parallel()
	old := time.Unix(1e9, 0)
	for _, c := range []struct {
		name   string
		change func(g *garden)
		same   bool
	}{
		{"nothing", func(g *garden) {}, true},
		{"bytes", func(g *garden) { g.must(os.WriteFile(g.path("d/e/c"), []byte("d/e/C"), 0o644)) }, false},
		{"bytes of the same time", func(g *garden) {
			fi, err := os.Stat(g.path("d/b"))
			g.must(err, os.WriteFile(g.path("d/b"), []byte("x/b"), 0o644), os.Chtimes(g.path("d/b"), fi.ModTime(), fi.ModTime()))
		}, false},
		{"time put back", func(g *garden) { g.must(os.Chtimes(g.path("a"), old, old)) }, false},
		{"mode", func(g *garden) { g.must(os.Chmod(g.path("a"), 0o600)) }, false},
		{"mode of a directory", func(g *garden) { g.must(os.Chmod(g.path("d/e"), 0o700)) }, false},
		{"mode of the place itself", func(g *garden) { g.must(os.Chmod(g.dir, 0o700)) }, false},
		{"link count", func(g *garden) {
			g.must(os.Link(g.path("a"), g.path("d/e/skipped2")), os.Remove(g.path("d/e/skipped2")))
		}, false},
		{"renamed", func(g *garden) { g.must(os.Rename(g.path("a"), g.path("b"))) }, false},
		{"names exchanged", func(g *garden) {
			g.must(os.Rename(g.path("d/many001"), g.path("t")), os.Rename(g.path("d/many002"), g.path("d/many001")), os.Rename(g.path("t"), g.path("d/many002")))
		}, false},
		{"gone", func(g *garden) { g.must(os.Remove(g.path("d/many299"))) }, false},
		{"empty directory", func(g *garden) { g.must(os.Mkdir(g.path("d/new"), 0o755)) }, false},
		{"moved away and back", func(g *garden) { g.must(os.Rename(g.path("d"), g.path("t")), os.Rename(g.path("t"), g.path("d"))) }, false},
		{"target of a link", func(g *garden) { g.must(os.Remove(g.path("link")), os.Symlink("a", g.path("link"))) }, false},
		{"a target comes", func(g *garden) { g.must(os.WriteFile(filepath.Join(g.dir, "nowhere"), nil, 0o644)) }, false},
		{"name in a directory that is shut", func(g *garden) { g.must(os.WriteFile(g.path("shut/x/g"), nil, 0o644)) }, false},
		{"what is skipped", func(g *garden) { g.must(os.WriteFile(g.path("d/e/skipped"), []byte("x"), 0o644)) }, true},
		{"a file replaced in the place itself, and the same back", func(g *garden) {
			g.must(os.WriteFile(g.path("t"), nil, 0o644), os.Remove(g.path("t")))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGarden(t)
			before := g.sum(g.place())
			c.change(g)
			if after := g.sum(g.place()); (after == before) != c.same {
				t.Errorf("the same: %v", after == before)
			}
		})
	}
}

// TestSumPlaces: a sum is of all places, in any order, and each has its path in it.
func TestSumPlaces(t *testing.T) {
	t.Parallel()
	g := newGarden(t)
	file := func(rel string) Place { return Place{Place: catalog.Place{Path: g.path(rel)}} }
	whole := g.sum(file("a"), file("d"), file("none"))
	if g.sum(file("none"), file("d"), file("a")) != whole {
		t.Error("the order counts")
	}
	for _, places := range [][]Place{{file("a"), file("d")}, {file("a"), file("none")}, {file("a"), file("d"), file("none2")}, {file("d/b"), file("d"), file("none")}} {
		if g.sum(places...) == whole {
			t.Errorf("%v: the same", places)
		}
	}
	g.must(os.WriteFile(g.path("none"), nil, 0o644))
	if g.sum(file("a"), file("d"), file("none")) == whole {
		t.Error("what comes into a place does not count")
	}
	other := *g
	other.key = NewKey()
	if other.sum(file("a")) == g.sum(file("a")) {
		t.Error("the key does not count")
	}
}

// TestSumRefused: of what cannot be vouched for there is no sum.
func TestSumRefused(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name   string
		before time.Time
		change func(g *garden)
		want   error
	}{
		{"old enough", now.Add(time.Minute), func(g *garden) {}, nil},
		{"young", now.Add(-time.Minute), func(g *garden) {}, ErrYoung},
		{"a time that is to come", now.Add(time.Minute), func(g *garden) {
			g.must(os.Chtimes(g.path("d/many100"), time.Time{}, now.Add(time.Hour)))
		}, ErrYoung},
		{"a link to a directory", now.Add(time.Minute), func(g *garden) { g.must(os.Symlink("/", g.path("root"))) }, errLeads},
		{"too deep", now.Add(time.Minute), func(g *garden) { g.must(os.MkdirAll(g.path(strings.Repeat("x/", 70)), 0o755)) }, errDeep},
	} {
		g := newGarden(t)
		c.change(g)
		if _, err := (&Hasher{Key: g.key, Before: c.before}).Sum(t.Context(), g.place()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestSumYoung: the time of a change is one that nobody can put back.
func TestSumYoung(t *testing.T) {
	t.Parallel()
	g := newGarden(t)
	old, before := time.Unix(1e9, 0), time.Now().Add(-time.Minute)
	g.must(os.Chtimes(g.path("a"), old, old))
	place := Place{Place: catalog.Place{Path: g.path("a")}}
	if _, err := (&Hasher{Key: g.key, Before: before}).Sum(t.Context(), place); !errors.Is(err, ErrYoung) {
		t.Errorf("%v, want ErrYoung", err)
	}
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	c := &Certificate{
		Made: now, Last: now.Add(time.Hour), Due: now.Add(Valid), Settings: "s", Seal: "l", Key: NewKey(),
		Signs: Sum{6}, Inputs: Sum{1}, Archive: Sum{2, 3}, Aside: Sum{4}, State: Sum{5}, Files: [][]byte{[]byte("a\xff")}, Summary: []byte(`{"a":1}`),
	}
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 1
		if _, err := Parse(bad); err == nil {
			t.Fatalf("byte %d does not count", i)
		}
		if _, err := Parse(data[:i]); err == nil {
			t.Fatalf("%d bytes are enough", i)
		}
	}
	for _, w := range []struct {
		what           string
		now            time.Time
		settings, seal string
		change         func(c *Certificate)
		ok             bool
	}{
		{"an hour later", now.Add(2 * time.Hour), "s", "l", func(c *Certificate) {}, true},
		{"at the same time", now.Add(time.Hour), "s", "l", func(c *Certificate) {}, true},
		{"other options", now.Add(2 * time.Hour), "t", "l", func(c *Certificate) {}, false},
		{"another ledger", now.Add(2 * time.Hour), "s", "m", func(c *Certificate) {}, false},
		{"an open ledger", now.Add(2 * time.Hour), "s", "", func(c *Certificate) { c.Seal = "" }, false},
		{"the clock was put back", now.Add(time.Minute), "s", "l", func(c *Certificate) {}, false},
		{"a day is over", now.Add(Valid), "s", "l", func(c *Certificate) {}, false},
		{"without a hash", now.Add(2 * time.Hour), "s", "l", func(c *Certificate) { c.Key = nil }, false},
	} {
		got, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		w.change(got)
		if err := got.Holds(w.now, w.settings, w.seal); (err == nil) != w.ok {
			t.Errorf("%s: %v", w.what, err)
		}
	}
}

// FuzzParse: whatever is in the file, it is read, or is no certificate.
func FuzzParse(f *testing.F) {
	data, err := (&Certificate{Settings: "s", Key: NewKey(), Summary: []byte("{}")}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("distkeep certificate 1 \n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again); err != nil {
			t.Fatal(err)
		}
	})
}
