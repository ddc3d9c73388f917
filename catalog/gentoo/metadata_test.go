package gentoo

import (
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"distkeep/catalog"
)

// TestEclassesDecideFreshness changes an eclass of the tree and one of a master:
// an entry that was made with other bytes is not believed.
func TestEclassesDecideFreshness(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		own      string // what the entry says of own.eclass
		master   string // and of theirs.eclass
		problems int
		want     string // the file that is wanted
	}{
		{"fresh", "A=1\n", "B=1\n", 0, "x"},
		{"own eclass changed", "A=2\n", "B=1\n", 0, "y"},
		{"eclass of the master changed", "A=1\n", "B=2\n", 0, "y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir, master := small(t), small(t)
			text := "EAPI=8\ninherit own theirs\nSRC_URI=https://example.org/y\n"
			write(t, filepath.Join(dir, "eclass/own.eclass"), []byte("A=1\n"))
			write(t, filepath.Join(master, "eclass/theirs.eclass"), []byte("B=1\n"))
			write(t, filepath.Join(master, "eclass/own.eclass"), []byte("hidden by that of the tree\n"))
			write(t, filepath.Join(dir, "a/x/x-1.ebuild"), []byte(text))
			write(t, filepath.Join(dir, "a/x/Manifest"), []byte("DIST "+c.want+" 1 MD5 d41d8cd98f00b204e9800998ecf8427e\n"))
			sum := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
			write(t, filepath.Join(dir, cacheDir, "a/x-1"), fmt.Appendf(nil,
				"EAPI=8\nSRC_URI=https://example.org/x\n_eclasses_=elsewhere\t%s\town\t%s\ttheirs\t%s\n_md5_=%s\n",
				sum("not at hand"), sum(c.own), sum(c.master), sum(text)))
			r, err := Open(dir, Options{Masters: []string{master}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.Scan(t.Context())
			if err != nil || len(s.Problems) != c.problems || s.Distfiles[0].Name != catalog.Name(c.want) {
				t.Errorf("%v, problems %v\n%s", err, s.Problems, listing(s))
			}
		})
	}
}

// TestCacheIsUsed checks that what was worked out is worked out once, by putting
// something else into its place.
func TestCacheIsUsed(t *testing.T) {
	t.Parallel()
	dir, state := small(t), t.TempDir()
	write(t, filepath.Join(dir, "a/x/x-1.ebuild"), []byte("EAPI=8\ninherit xdg\nSRC_URI=https://example.org/x\n"))
	scan := func(o Options) string {
		o.Cache = state
		r, err := Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Scan(t.Context())
		if err != nil || len(s.Problems) > 0 {
			t.Fatalf("%v %v", err, s.Problems)
		}
		return listing(s)
	}
	entry := filepath.Join(state, "test/a/x-1")
	scan(Options{ReadOnly: true})
	if _, err := os.Stat(filepath.Join(state, "test")); err == nil {
		t.Error("a scan that must write nothing has made a cache")
	}
	scan(Options{})
	b, err := os.ReadFile(entry)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(b), "https://example.org/x", "https://example.net/x", 1)
	write(t, entry, []byte(other))
	if got := scan(Options{}); !strings.Contains(got, "https://example.net/x") {
		t.Errorf("the entry was not used:\n%s", got)
	}
	// One of another version is not, nor one whose eclass is at hand by now.
	write(t, entry, []byte(strings.Replace(other, "_distkeep_=", "_distkeep_=0.", 1)))
	if got := scan(Options{}); !strings.Contains(got, "https://example.org/x") {
		t.Errorf("an entry of another version was used:\n%s", got)
	}
	write(t, entry, []byte(other))
	write(t, filepath.Join(dir, "eclass/xdg.eclass"), []byte("IUSE=x\n"))
	if got := scan(Options{}); !strings.Contains(got, "https://example.org/x") {
		t.Errorf("an entry was used although an eclass has come:\n%s", got)
	}
	if err := os.RemoveAll(filepath.Join(dir, "a/x")); err != nil {
		t.Fatal(err)
	}
	scan(Options{})
	if _, err := os.Stat(entry); err == nil {
		t.Error("the entry of a package that has gone is still there")
	}
}

// TestManyURIs: what one package can ask for is bounded, with a message that names
// it, and takes no time to speak of.
func TestManyURIs(t *testing.T) {
	t.Parallel()
	dir := small(t)
	text := "inherit nowhere\n"
	var b strings.Builder
	fmt.Fprintf(&b, "EAPI=8\n_md5_=%x\nSRC_URI=", md5.Sum([]byte(text)))
	for i := range 16_000 {
		fmt.Fprintf(&b, "https://h%d.example.org/x ", i)
	}
	write(t, filepath.Join(dir, cacheDir, "a/x-1"), []byte(b.String()+"\n"))
	r, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Scan(t.Context())
	if err != nil || len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Error(), "a/x: a/x-1: more than 1024 URIs for x") {
		t.Fatalf("%v %v", err, s.Problems)
	}
	if n := len(s.Distfiles[0].Sources); n != catalog.MaxSources {
		t.Errorf("%d sources", n)
	}
}
