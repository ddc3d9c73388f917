package fetch

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"distkeep/catalog"
	"distkeep/fetch/failure"
)

func bases(host string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, "https://"+host+strconv.Itoa(i)+"/pub//")
	}
	return out
}

// TestOrder checks emirrordist's order: mirrors up to half of the tries, plain
// URIs, the rest of the mirrors.
func TestOrder(t *testing.T) {
	t.Parallel()
	group := catalog.Source{URI: "mirror://gnu/a/a-1.tar", Bases: bases("m", 8)}
	plain := []catalog.Source{{URI: "https://one/a"}, {URI: "http://two/a"}, {URI: "https://one/a"}}
	kind := func(urls []string) string {
		var b strings.Builder
		for _, u := range urls {
			if strings.HasPrefix(u, "https://m") {
				b.WriteByte('m')
			} else {
				b.WriteByte('p')
			}
		}
		return b.String()
	}
	for _, c := range []struct {
		name    string
		o       Options
		sources []catalog.Source
		want    string
	}{
		{"mirrors come first, up to half of the tries", Options{}, append(plain, group), "mmmmmppmmm"},
		{"few mirrors", Options{}, append(plain, catalog.Source{URI: "mirror://gnu/a", Bases: bases("m", 2)}), "mmpp"},
		{"few tries", Options{Tries: 3}, append(plain, group), "mmpp"},
		{"plain URIs are tried when the tries are used up", Options{Tries: 1}, append(plain, group), "mpp"},
		{"primary", Options{PreferPrimary: true}, append(plain, group), "ppmmmmmmmm"},
		{"primary with few tries", Options{PreferPrimary: true, Tries: 2}, append(plain, group), "ppm"},
		{"unknown group", Options{}, []catalog.Source{{URI: "mirror://nothing/a"}}, ""},
		{"bare name", Options{}, []catalog.Source{{URI: "a-1.tar"}}, ""},
		{"group without a path", Options{}, []catalog.Source{{URI: "mirror://gnu", Bases: bases("m", 2)}}, ""},
	} {
		o := c.o.withDefaults()
		if got := kind(o.order(&Request{Name: "a", Sources: c.sources})); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestOrderSpread checks that the mirrors of a group share the load, in the same
// way in every run.
func TestOrderSpread(t *testing.T) {
	t.Parallel()
	o := Options{}.withDefaults()
	seeded := Options{Seed: 1}.withDefaults()
	first := make(map[string]int)
	differ := 0
	for i := range 600 {
		r := &Request{Name: catalog.Name("f" + strconv.Itoa(i)), Sources: []catalog.Source{{URI: "mirror://g/f" + strconv.Itoa(i), Bases: bases("m", 3)}}}
		urls := o.order(r)
		if len(urls) != 3 || !slices.Equal(urls, o.order(r)) {
			t.Fatalf("order of %s: %v", r.Name, urls)
		}
		u, _ := url.Parse(urls[0])
		first[u.Host]++
		if urls[0] != seeded.order(r)[0] {
			differ++
		}
	}
	for h, n := range first {
		if n < 150 || n > 250 {
			t.Errorf("%s comes first %d times of 600", h, n)
		}
	}
	if differ < 300 {
		t.Errorf("another seed changed only %d of 600", differ)
	}
}

func TestMirrorPath(t *testing.T) {
	t.Parallel()
	o := Options{}.withDefaults()
	for uri, want := range map[string]string{
		"mirror://goproxy//github.com/x/@v/v1.zip":           "https://proxy.example//github.com/x/@v/v1.zip",
		"mirror://goproxy/a%2Fb@v1.zip":                      "https://proxy.example/a%2Fb@v1.zip",
		"mirror://goproxy/download.php?file=a&x=https://y/z": "https://proxy.example/download.php?file=a&x=https://y/z",
	} {
		got := o.order(&Request{Sources: []catalog.Source{{URI: uri, Bases: []string{"https://proxy.example/"}}}})
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
}

// TestParseURL checks what goes over the wire: the text of the tree, with only
// those bytes escaped that cannot be in a URL.
func TestParseURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://h/a%2Fb@v1.zip":          "/a%2Fb@v1.zip",
		"https://h/a%2fb":                 "/a%2fb",
		"https://h//x//y":                 "//x//y",
		"https://h/a b":                   "/a%20b",
		"https://h/100%":                  "/100%25",
		"https://h/%zz%2F^":               "/%25zz%2F%5E",
		"https://h/ü":                     "/%C3%BC",
		"https://h/{P}.tar":               "/%7BP%7D.tar",
		"https://h/vdr[1].tgz":            "/vdr[1].tgz",
		"https://h/a+b,c;d=e~f'(g)!*":     "/a+b,c;d=e~f'(g)!*",
		"https://h/d.ashx?file=57&q=a b":  "/d.ashx?file=57&q=a%20b",
		"https://h?x=/y":                  "/?x=/y",
		"https://h/p#frag":                "/p",
		"https://h":                       "/",
		"HTTPS://H/x":                     "/x",
		"http://u:p@h:8080/CHK@a,b/c.tar": "/CHK@a,b/c.tar",
	} {
		u, err := parseURL(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := u.RequestURI(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for _, in := range []string{
		"", "a-1.tar", "://h/x", "https:///x", "https://h:port/x", "https://h/a\nb", "https://[::1/x",
		"https//www.example/x", "https://h/" + strings.Repeat("a", 9000), "https://us er@h/x",
	} {
		if u, err := parseURL(in); err == nil {
			t.Errorf("%.60q gives %v", in, u)
		} else if Classify(err) != failure.BadURI {
			t.Errorf("%.60q: class %s", in, Classify(err))
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	u, err := parseURL("https://me:secret@h/p%2Fq?sig=secret")
	if err != nil {
		t.Fatal(err)
	}
	if got := redact(u); got != "https://h/p%2Fq?sig=secret" {
		t.Error(got)
	}
	if got := redactFinal(u); got != "https://h/p%2Fq" {
		t.Error(got)
	}
	for _, in := range []string{"https://me:sec%zzret@h/", "https://me:%zz@h/", "https://me:zz/x@h/"} {
		if _, err := parseURL(in); err == nil || strings.Contains(err.Error(), "zz") {
			t.Errorf("error shows the password: %v", err)
		}
	}
}

func TestLaneKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://Example.ORG/x":    "example.org",
		"http://example.org.:80/x": "example.org",
		"ftp://example.org/x":      "example.org",
		"http://example.org:8080/": "example.org:8080",
		"http://[2001:DB8::1]/":    "[2001:db8::1]",
		"http://[2001:DB8::1]:81/": "[2001:db8::1]:81",
		"file:///etc/passwd":       "file",
	} {
		u, err := parseURL(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := laneKey(u); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"https://h/a%2Fb@v1.zip", "http://u:p@h:1/%zz?q=%#f", "ftp://[::1]/ä b", "https://h/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		u, err := parseURL(in)
		if err != nil {
			t.Skip()
		}
		again, err := parseURL(u.String())
		if err != nil || again.RequestURI() != u.RequestURI() || laneKey(again) != laneKey(u) {
			t.Fatalf("%q: %q becomes %q (%v)", in, u, again, err)
		}
		// What needs no escape is sent as it is.
		_, rest, _ := strings.Cut(in, "://")
		rest, _, _ = strings.Cut(rest, "#")
		if i := strings.IndexAny(rest, "/?"); i >= 0 && rest[i] == '/' && escape(rest[i:]) == rest[i:] && strings.TrimSuffix(u.RequestURI(), "?") != strings.TrimSuffix(rest[i:], "?") {
			t.Fatalf("%q is sent as %q", rest[i:], u.RequestURI())
		}
		if u.User != nil && u.User.String() != "" && strings.Contains(redact(u), u.User.String()+"@"+u.Host) {
			t.Fatalf("%q keeps the user", redact(u))
		}
	})
}
