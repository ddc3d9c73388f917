package layout

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A published content is one under one name.
type published struct {
	name catalog.Name
	data string
}

func (p published) sums(c Conf) digest.Set {
	h := digest.NewHasher(c.Algorithms()...)
	h.Write([]byte(p.data))
	return h.Sum()
}

// paths are those of p in the layouts of c, or nil when c refuses its name.
func (p published) paths(c Conf) (paths []string) {
	if c.Check(p.name) != nil {
		return nil
	}
	for _, l := range c {
		if path, ok := l.Path(p.name, p.sums(c)); ok {
			paths = append(paths, path)
		}
	}
	return paths
}

// below reports whether path is below the file or directory at.
func below(path, at string) bool { return strings.HasPrefix(path, at+"/") }

// apart checks that two contents with two names share no path in any two layouts,
// and that none is in the way of the other.
func apart(t *testing.T, c Conf, a, b published) {
	t.Helper()
	if a.name == b.name || a.data == b.data {
		return
	}
	nested := below(string(a.name), string(b.name)) || below(string(b.name), string(a.name))
	for _, p := range a.paths(c) {
		for _, q := range b.paths(c) {
			if p == q || !nested && (below(p, q) || below(q, p)) {
				t.Errorf("%v: %q is at %s, %q at %s", c, a.name, p, b.name, q)
			}
		}
	}
}

var pairSpecs = []string{
	"flat",
	"filename-hash SHA256 4", "filename-hash BLAKE2B 4", "filename-hash BLAKE2B 8", "filename-hash BLAKE2B 4:4", "filename-hash BLAKE2B 4:8:4",
	"content-hash SHA256 4", "content-hash SHA512 4", "content-hash BLAKE2B 8", "content-hash SHA256 4:4", "content-hash SHA256 4:8",
}

// TestPairs: in every pair of layouts no two contents have one path, whatever
// their names.
func TestPairs(t *testing.T) {
	t.Parallel()
	const data = "content"
	h := digest.NewHasher(digest.BLAKE2B, digest.SHA512)
	h.Write([]byte(data))
	names := []catalog.Name{"foo", "foo/bar", "a", "aa", "a/foo", "aa/foo", "a/b/foo", "a/bb/foo", "f", "0/foo"}
	for _, d := range h.Sum() {
		hex := d.Hex()
		for _, dir := range []string{"", hex[:1] + "/", hex[:2] + "/", hex[1:2] + "/", hex[1:3] + "/", hex[:1] + "/" + hex[1:2] + "/"} {
			names = append(names, catalog.Name(dir+hex), catalog.Name(dir+hex+"/foo"))
		}
	}
	for _, x := range pairSpecs {
		for _, y := range pairSpecs {
			if x == y {
				continue
			}
			c := Conf{mustParse(t, x), mustParse(t, y)}
			for i, a := range names {
				apart(t, c, published{a, "other"}, published{"plain", data})
				for _, b := range names[:i] {
					apart(t, c, published{a, "other"}, published{b, data})
				}
			}
		}
	}
	// A name that is the digest of a content is in its directory now and then.
	c := Conf{mustParse(t, "filename-hash BLAKE2B 4"), mustParse(t, "content-hash SHA256 4")}
	taken := 0
	for i := range 200 {
		b := published{"plain", strconv.Itoa(i)}
		a := published{catalog.Name(b.sums(c).Get(digest.SHA256).Hex()), "other"}
		apart(t, c, a, b)
		if c.Check(a.name) != nil {
			taken++
		}
	}
	if taken == 0 || taken > 50 {
		t.Errorf("%d of 200 names are refused, want about one in 16", taken)
	}
	// Names that no layout is in the way of are refused by none.
	for _, x := range pairSpecs {
		for _, y := range pairSpecs {
			c := Conf{mustParse(t, x), mustParse(t, y)}
			for _, n := range []catalog.Name{"foo-1.0.tar.gz", "go/a%2Fb@v1.zip", "abc", "sub/a/b"} {
				if err := c.Check(n); err != nil {
					t.Errorf("%v: %v", c, err)
				}
			}
		}
	}
}

func FuzzPairs(f *testing.F) {
	h := digest.NewHasher(digest.SHA512)
	h.Write([]byte("b"))
	hex := h.Sum().Get(digest.SHA512).Hex()
	f.Add("flat", "filename-hash SHA256 4", "a/foo", "a", "foo", "b")
	f.Add("filename-hash SHA256 4", "content-hash SHA512 4", hex, "a", "foo", "b")
	f.Add("filename-hash SHA256 4", "filename-hash SHA256 4:4", "5/foo", "a", "foo", "b")
	f.Fuzz(func(t *testing.T, x, y, n, data, o, other string) {
		a, err := catalog.ParsePath(n)
		if err != nil {
			t.Skip()
		}
		b, err := catalog.ParsePath(o)
		if err != nil {
			t.Skip()
		}
		var c Conf
		for _, spec := range []string{x, y} {
			l, err := Parse(spec)
			if err != nil || slices.Contains(c, l) {
				t.Skip()
			}
			if alg, ok := l.Algorithm(); ok && !alg.Strong() {
				t.Skip()
			}
			c = append(c, l)
		}
		apart(t, c, published{a, data}, published{b, other})
		// A name that is a digest of the other content, in its directory or not.
		for _, d := range (published{b, other}).sums(c) {
			apart(t, c, published{catalog.Name(d.Hex()), data}, published{b, other})
			apart(t, c, published{catalog.Name(d.Hex()[:1] + "/" + d.Hex()), data}, published{b, other})
		}
	})
}
