package gentoo

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"distkeep/catalog"
)

// format writes what parse has read.
func format(m *manifest) []byte {
	var b bytes.Buffer
	for _, d := range m.dists {
		if d.broken {
			continue
		}
		fmt.Fprintf(&b, "DIST %s %d", d.name, d.size)
		for _, sum := range d.digests {
			fmt.Fprintf(&b, " %s %s", sum.Alg, sum.Hex())
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// FuzzManifest checks that only valid names come out, that what is read once
// is read again from its own spelling, and that each bad line is reported with
// its number.
func FuzzManifest(f *testing.F) {
	f.Add([]byte("DIST a-1.tar.xz 3 MD5 d41d8cd98f00b204e9800998ecf8427e SHA1 da39a3ee5e6b4b0d3255bfef95601890afd80709\n"))
	f.Add([]byte("DIST a 1\nDIST a 1 NEW x\nAUX b 1 MD5 x\nDIST a\x00b 1\nDIST ../c 1\n"))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nDIST x 99999999999999999999\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var m manifest
		m.reset()
		lines := bytes.Count(in, newline) + 1
		last := 0
		m.parse(in, func(line int, msg string) {
			if line <= last || line > lines || msg == "" {
				t.Fatalf("bad(%d, %q) after line %d of %d", line, msg, last, lines)
			}
			last = line
		})
		for i, d := range m.dists {
			if _, err := catalog.ParseName(string(d.name)); err != nil {
				t.Fatal(err)
			}
			if m.find([]byte(d.name)) != i || d.line == 0 || !d.broken && d.size < 0 {
				t.Fatalf("entry %d: %+v", i, d)
			}
		}
		first := format(&m)
		var again manifest
		again.reset()
		again.parse(first, func(line int, msg string) { t.Fatalf("again: %d: %s", line, msg) })
		if second := format(&again); !bytes.Equal(first, second) {
			t.Fatalf("parse(format(x)) != x:\n%s\n%s", first, second)
		}
	})
}

func TestManifestRefusesControlBytes(t *testing.T) {
	t.Parallel()
	var m manifest
	m.reset()
	var bad []int
	m.parse([]byte("DIST ok 1\nDIST a\x00b 1\nDIST a\x7f 1\nDIST a\x1bb 1\n"), func(line int, _ string) { bad = append(bad, line) })
	if !slices.Equal(bad, []int{2, 3, 4}) || len(m.dists) != 1 {
		t.Errorf("bad lines %v, want 2 3 4; %d entries, want 1", bad, len(m.dists))
	}
}

// A manifest is used for one directory after the other: nothing may stay.
func TestManifestReset(t *testing.T) {
	t.Parallel()
	var m manifest
	for n := range 3 {
		m.reset()
		var b bytes.Buffer
		for i := range 1000 - n*400 {
			fmt.Fprintf(&b, "DIST n%d-%d 1\n", n, i)
		}
		m.parse(b.Bytes(), func(line int, msg string) { t.Fatal(line, msg) })
		if len(m.dists) != 1000-n*400 || len(m.byName) != len(m.dists) {
			t.Errorf("round %d: %d entries, %d names", n, len(m.dists), len(m.byName))
		}
	}
}

// FuzzEntry checks that values are what follows the key in its line.
func FuzzEntry(f *testing.F) {
	f.Add([]byte("DEFINED_PHASES=-\nEAPI=8\nRESTRICT=test\nSRC_URI=https://example.org/a\n_md5_=0123\n"))
	f.Add([]byte("SRC_URI=\nSRC_URI=x=y\nEAPI\n_md5_= 1 \n=\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		e := parseEntry(in)
		lines := bytes.Split(in, newline)
		for _, c := range []struct {
			key   []byte
			value []byte
			line  int
		}{{keySrcURI, e.srcURI, e.srcLine}, {keyRestrict, e.restrict, e.restrictLine}} {
			if c.line == 0 {
				if bytes.HasPrefix(in, c.key) || bytes.Contains(in, append([]byte{'\n'}, c.key...)) {
					t.Fatalf("%s was overlooked", c.key)
				}
				continue
			}
			if got := string(c.key) + string(c.value); got != string(lines[c.line-1]) {
				t.Fatalf("%q is not line %d: %q", got, c.line, lines[c.line-1])
			}
		}
		parseEAPI(e.eapi)
	})
}

func TestParseEAPI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in string
		n  int
		ok bool
	}{{"", 0, true}, {"0", 0, true}, {"9", 9, true}, {"10", 0, false}, {"08", 0, false}, {"a", 0, false}, {"5-progress", 0, false}, {"-1", 0, false}} {
		if n, ok := parseEAPI([]byte(c.in)); n != c.n || ok != c.ok {
			t.Errorf("parseEAPI(%q) = %d, %v", c.in, n, ok)
		}
	}
}

// FuzzSrcURI checks that items are words of the value, never structure, and
// that a value made of the items gives the same items.
func FuzzSrcURI(f *testing.F) {
	f.Add([]byte("https://e.example/a x? ( https://e.example/b -> c !y? ( mirror://gnu/d ) )"), 8)
	f.Add([]byte("mirror+https://e.example/a fetch+https://e.example/b"), 8)
	f.Add([]byte("a -> b ) ( || x?"), 2)
	f.Fuzz(func(t *testing.T, in []byte, eapi int) {
		items, err := parseSrcURI(nil, in, eapi, func(string) {})
		if len(items) > maxURIs {
			t.Fatalf("%d items", len(items))
		}
		words := bytes.FieldsFunc(in, func(r rune) bool { return r < 128 && isSpace(byte(r)) })
		var again []byte
		for _, it := range items {
			if len(it.name) == 0 || hasControl(it.uri) || !isName(it.name) && !bytes.HasSuffix(it.uri, it.name) {
				t.Fatalf("item %q -> %q", it.uri, it.name)
			}
			word := string(it.uri)
			switch it.lift {
			case liftFetch:
				word = "fetch+" + word
			case liftMirror:
				word = "mirror+" + word
			}
			if it.lift != liftNone && eapi < eapiPrefixes {
				t.Fatalf("%q lifts in EAPI %d", it.uri, eapi)
			}
			if !slices.ContainsFunc(words, func(w []byte) bool { return string(w) == word }) {
				t.Fatalf("%q is no word of %q", word, in)
			}
			again = append(again, word...)
			if isName(it.name) {
				again = fmt.Appendf(again, " -> %s", it.name)
			}
			again = append(again, '\n')
		}
		if err != nil || eapi < eapiArrow {
			return
		}
		second, err := parseSrcURI(nil, again, eapi, func(msg string) { t.Fatal(msg) })
		if err != nil || !slices.EqualFunc(items, second, func(a, b item) bool {
			return string(a.uri) == string(b.uri) && string(a.name) == string(b.name) && a.lift == b.lift
		}) {
			t.Fatalf("%q: %v", again, err)
		}
	})
}

func TestSrcURIBounded(t *testing.T) {
	t.Parallel()
	v := []byte(strings.Repeat("https://e.example/a ", maxURIs+1))
	items, err := parseSrcURI(nil, v, 8, func(string) {})
	if err == nil || len(items) != maxURIs {
		t.Errorf("%d items, error %v", len(items), err)
	}
}

// FuzzRestrict checks that a restriction comes from a word of the value, and
// that all of it counts for nothing in a conditional group.
func FuzzRestrict(f *testing.F) {
	f.Add([]byte("strip mirror"))
	f.Add([]byte("!test? ( test ) x? ( fetch ( mirror ) ) ( mirror )"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseRestrict(in)
		if r.fetch && !r.mirror {
			t.Fatal("fetch does not imply mirror")
		}
		if r.mirror && !bytes.Contains(in, []byte("mirror")) && !bytes.Contains(in, []byte("fetch")) {
			t.Fatalf("%q restricts", in)
		}
		if err != nil {
			return
		}
		inner, err := parseRestrict(slices.Concat([]byte("flag? ( "), in, []byte(" )")))
		if err != nil || inner != (restriction{}) {
			t.Fatalf("in a conditional group: %+v, %v", inner, err)
		}
		outer, err := parseRestrict(slices.Concat([]byte("flag? ( mirror ) ( "), in, []byte(" )")))
		if err != nil || outer != r {
			t.Fatalf("in a plain group: %+v, %v; want %+v", outer, err, r)
		}
	})
}

// FuzzMirrors checks the strict parser against its own spelling.
func FuzzMirrors(f *testing.F) {
	f.Add("gnu\thttps://a.example/gnu/ https://b.example/ # comment\n# another\n\nkernel https://kernel.example\n")
	f.Add("a https://x\na https://y\n")
	f.Fuzz(func(t *testing.T, in string) {
		groups, err := ParseMirrorOverrides("in", strings.NewReader(in))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "in:") {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		var b strings.Builder
		for name, urls := range groups {
			fmt.Fprintln(&b, name, strings.Join(urls, " "))
		}
		again, err := ParseMirrorOverrides("again", strings.NewReader(b.String()))
		if err != nil || !maps.EqualFunc(groups, again, slices.Equal) {
			t.Fatalf("%v, %v; want %v", again, err, groups)
		}
	})
}

func TestParseMirrorOverrides(t *testing.T) {
	t.Parallel()
	got, err := ParseMirrorOverrides("f", strings.NewReader("# x\na https://1 https://2 # c\nb\tftp://3\na https://4\n"))
	want := map[string][]string{"a": {"https://1", "https://2", "https://4"}, "b": {"ftp://3"}}
	if err != nil || !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for in, want := range map[string]string{
		"a https://1\n\nb # https://2\n":  `f:3: mirror group "b" has no URL; to try none of its mirrors, skip the group`,
		"a https://1 www.example":         `f:1: mirror group "a": "www.example" is not a URL`,
		"a ://x":                          `f:1: mirror group "a": "://x" is not a URL`,
		strings.Repeat("#", maxProfile+1): fmt.Sprintf("f: larger than %d bytes", maxProfile),
	} {
		if _, err := ParseMirrorOverrides("f", strings.NewReader(in)); err == nil || err.Error() != want {
			t.Errorf("%.40q: %v, want %s", in, err, want)
		}
	}
}

// FuzzLayout: what was understood of a layout.conf means the same when it is
// spelt again, and names one line and one word each.
func FuzzLayout(f *testing.F) {
	f.Add([]byte("masters = gentoo other\nrepo-name = mine\nthin-manifests = true\n"))
	f.Add([]byte("masters =\n"))
	f.Add([]byte("# masters = gentoo\n repo-name=a=b\r\nmasters\n=\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		l := parseLayout(in)
		text := "repo-name = " + l.name + "\n"
		if l.masters != nil {
			text += "masters = " + strings.Join(l.masters, " ") + "\n"
		}
		if again := parseLayout([]byte(text)); again.name != l.name || (again.masters == nil) != (l.masters == nil) || !slices.Equal(again.masters, l.masters) {
			t.Fatalf("%+v is spelt %q, which is %+v", l, text, again)
		}
	})
}

// FuzzCategories: profiles/categories names nothing that is not a directory name
// of its own.
func FuzzCategories(f *testing.F) {
	f.Add([]byte("app-misc\n# comment\nvirtual # another\n\n../..\n.hidden\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		names := parseCategories(in)
		for _, c := range names {
			if c == ".." || c[0] == '.' || strings.ContainsAny(c, "/\x00\n #") {
				t.Fatalf("category %q", c)
			}
		}
		if again := parseCategories([]byte(strings.Join(names, "\n"))); !slices.Equal(again, names) {
			t.Fatalf("%q became %q", names, again)
		}
	})
}
