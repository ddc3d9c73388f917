package openbsd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"distkeep/catalog"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"a", "a"},
		{"a/../b", "b"},
		{"a/b/../../c", "c"},
		{"a/b/c/../../d/../e", "a/e"},
		{"..a/../b", "b"},
		{"a..//b///c", "a../b/c"},
		{"a//../b", "a/../b"},
		{"/a/../b", "/b"},
		{"../a", "../a"},
		{"../../a", "../../a"},
		{"./../a", "./../a"},
		{"a/../../b", "../b"},
		{"a/..", "a/.."},
		{"a/./b", "a/./b"},
		{"a/./../b/../c", "a/./../c"},
		{"/../a/../b", "/../b"},
	} {
		if got := normalize(c.in); got != c.want {
			t.Errorf("normalize(%q) = %q, want %q", c.in, got, c.want)
		}
	}
	// Quadratic work on a hostile word would be noticed here.
	if long := strings.Repeat("a/../", 200000) + "b"; normalize(long) != long {
		t.Error("a path of a million bytes was worked on")
	}
}

func TestParseWord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, suffix string
		want       word
	}{
		{"a-1.tgz", "", word{"a-1.tgz", "a-1.tgz", ""}},
		{"a-1.tgz:0", "", word{"a-1.tgz", "a-1.tgz", "0"}},
		{"a-1.tgz:10", "", word{"a-1.tgz:10", "a-1.tgz:10", ""}},
		{"a:1:2", "", word{"a:1", "a:1", "2"}},
		{":2", "", word{"", "", "2"}},
		{"a-1.tgz:0", ".x", word{"a-1.tgz:0", "a-1.tgz:0", ".x"}},
		{"par2-0.6.14{v0.6.14}.tgz", "", word{"par2-0.6.14.tgz", "v0.6.14.tgz", ""}},
		{"c-1.tgz{1.tgz}", "", word{"c-1.tgz", "1.tgz", ""}},
		{"p-{}1.tgz:3", "", word{"p-1.tgz", "1.tgz", "3"}},
		{"a-{a/b/}v1", ".github", word{"a-v1", "a/b/v1", ".github"}},
		{"a{b}c{d}e", "", word{"a{b}ce", "de", ""}},
		{"a{b{c}d}e", "", word{"a{be", "c}de", ""}},
		{"a}b{c", "", word{"a}b{c", "a}b{c", ""}},
		{"{P}.tgz", "", word{".tgz", "P.tgz", ""}},
		{`a{get\?f=}b`, "", word{"ab", "get?f=b", ""}},
		{`a\&b`, "", word{`a\&b`, "a&b", ""}},
	} {
		if got := parseWord(c.in, c.suffix); got != c.want {
			t.Errorf("parseWord(%q, %q) = %+v, want %+v", c.in, c.suffix, got, c.want)
		}
	}
}

func TestParseDistinfoLimits(t *testing.T) {
	t.Parallel()
	line := "SIZE (" + strings.Repeat("a", 200) + ") = 1\n"
	for _, c := range []struct {
		name    string
		r       io.Reader
		entries int
		want    string
	}{
		{"long line", strings.NewReader("SIZE (" + strings.Repeat("a", maxDistinfoLine) + ") = 1\nSIZE (b) = 1\n"), 1, "f:1: line is longer than 4096 bytes"},
		{"big file", strings.NewReader(strings.Repeat(line, maxDistinfo/len(line)+2)), 1, "f:79139: distinfo is larger than 16777216 bytes"},
		{"broken disk", io.MultiReader(strings.NewReader("SIZE (a) = 1\n"), iotest.ErrReader(errors.New("it broke"))), 1, "f:2: cannot read: it broke"},
		{"signed size", strings.NewReader("SIZE (a) = +1\n"), 0, `f:1: size "+1" of a is not a number`},
		{"huge size", strings.NewReader("SIZE (a) = 9223372036854775808\n"), 0, `f:1: size "9223372036854775808" of a is not a number`},
		{"control byte", strings.NewReader("SIZE (a\x1b) = 1\n"), 0, `f:1: bad distfile name "a\x1b": contains a control byte`},
		{"name like an end", strings.NewReader("SIZE (a) = 1) = 2\n"), 1, ""},
		{"other lines", strings.NewReader("$OpenBSD$\nSIZE a\nSIZE (a\nSIZE  (a) = 1\n size (a) = 1\nSHA999 (a) = 1\n\n"), 0, ""},
		{"without newline", strings.NewReader("SIZE (a) = 1"), 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			entries, problems := parseDistinfo("f", c.r)
			var got []string
			for _, p := range problems {
				got = append(got, p.Error())
			}
			if len(entries) != c.entries || strings.Join(got, "\n") != c.want {
				t.Errorf("%d entries, problems %q; want %d, %q", len(entries), got, c.entries, c.want)
			}
		})
	}
	_, problems := parseDistinfo("f", strings.NewReader(strings.Repeat("SIZE (a) = x\n", 1000)))
	if len(problems) != maxFileProblems+1 {
		t.Errorf("%d problems, want %d and one that says so", len(problems), maxFileProblems)
	}
}

// format writes entries as make makesum does.
func format(entries []entry) []byte {
	var b bytes.Buffer
	for _, e := range entries {
		for _, d := range e.Digests {
			fmt.Fprintf(&b, "%s (%s) = %s\n", d.Alg, e.Name, d.Base64())
		}
		if e.Size >= 0 {
			fmt.Fprintf(&b, "SIZE (%s) = %d\n", e.Name, e.Size)
		}
	}
	return b.Bytes()
}

func FuzzDistinfo(f *testing.F) {
	f.Add([]byte("SHA256 (s/a.tgz) = k3grJzHlOZk29fOxYLcqXYNoj3xYDNalsybtq2l1BQM=\nSIZE (s/a.tgz) = 2\n"))
	f.Add([]byte("MD5 (x/../b) = 9800068b0a06ae5370633fafa57eae10\nRMD160 (b) = xqlxBasmzx0ratRdUoiUYoz/BYY=\nSIZE (b) = 2\nSIZE (b) = 3\n"))
	f.Add([]byte("SHA256 (../a) = 1\nSIZE (a) = 1) = 2"))
	f.Fuzz(func(t *testing.T, in []byte) {
		first, problems := parseDistinfo("in", bytes.NewReader(in))
		for _, p := range problems {
			if strings.ContainsAny(p.Error(), "\n\x1b") {
				t.Errorf("problem is not fit to be printed: %q", p.Error())
			}
		}
		again, problems := parseDistinfo("again", bytes.NewReader(format(first)))
		if len(problems) > 0 || !bytes.Equal(format(first), format(again)) {
			t.Errorf("parse(format(x)) is not x: %v\n%s\n%s", problems, format(first), format(again))
		}
	})
}

func FuzzWord(f *testing.F) {
	f.Add("par2-0.6.14{v0.6.14}.tgz:0", "", "sub")
	f.Add("../a//b/x/../c", ".github", "s/../t")
	f.Fuzz(func(t *testing.T, in, suffix, subdir string) {
		w := parseWord(in, suffix)
		if len(w.local) > len(in) || len(w.remote) > len(in) {
			t.Errorf("parseWord(%q) = %+v is longer", in, w)
		}
		name, err := distName(subdir, w.local)
		if err != nil {
			return
		}
		if _, err := catalog.ParsePath(string(name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if again := normalize(string(name)); again != string(name) {
			t.Errorf("normalize(%q) = %q", name, again)
		}
	})
}
