package layout

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

func TestParseConf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"gentoo", "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n", "filename-hash BLAKE2B 8,flat"},
		{"any order, spaces, comments", "# c\n; c\n\n[structure]\n1 : flat\n\n  # in between\n0 = content-hash SHA512 8:8:8\n", "content-hash SHA512 8:8:8,flat"},
		{"newer keys and sections", "[info]\n0=x\nmotto: y\n[structure]\nnote=hello\n0=flat\n1a=what\n[later]\n0=z\n", "flat"},
		{"crlf", "[structure]\r\n0=flat\r\n", "flat"},
		{"no newline at the end", "[structure]\n0=flat", "flat"},
		{"continued value", "[structure]\n0=filename-hash\n  # still\n  BLAKE2B 8\n1=flat\n", "filename-hash BLAKE2B 8,flat"},
		{"continued other value", "[structure]\nnote=a\n  0=flat x\n0=flat\n", "flat"},
		{"indented", " [structure]\n  0=flat\n  1=filename-hash MD5 4\n", "flat,filename-hash MD5 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := ParseConf("f", strings.NewReader(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range c {
				got = append(got, l.String())
			}
			if s := strings.Join(got, ","); s != tc.want {
				t.Errorf("got %s, want %s", s, tc.want)
			}
		})
	}
}

func TestParseConfErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "f:0: no layout"},
		{"no structure", "[info]\nx=y\n", "f:2: no layout"},
		{"empty structure", "[structure]\n", "f:1: no layout"},
		{"no section", "0=flat\n", "f:1: want [structure]"},
		{"no assignment", "[structure]\n0=flat\n\nflat\n", "f:4: want NUMBER=LAYOUT"},
		{"no key", "[structure]\n=flat\n", "f:2: want NUMBER=LAYOUT"},
		{"bad layout", "[structure]\n0=flat\n\n1=tree\n", "f:4: layout"},
		{"empty layout", "[structure]\n0=\n", "f:2: layout is empty"},
		{"gap", "[structure]\n3=flat\n0=flat\n2=flat\n", "f:4: number 1 is missing"},
		{"from one", "[structure]\n1=flat\n", "f:2: number 0 is missing"},
		{"padded", "[structure]\n00=flat\n", "f:2: bad number 00"},
		{"huge", "[structure]\n99999999999999999999=flat\n", "f:2: bad number"},
		{"number twice", "[structure]\n0=flat\n0=flat\n", "f:3: number 0 occurs twice"},
		{"layout twice", "[structure]\n0=flat\n1=flat\n", "f:3: layout 1 is the same as layout 0"},
		{"section twice", "[structure]\n0=flat\n[structure]\n", "f:3: section [structure] occurs twice"},
		{"long line", "[structure]\n0=" + strings.Repeat(" ", maxConf) + "flat\n", "f:2: file is longer than 65536 bytes"},
		{"long file", "[structure]\n0=flat\n" + strings.Repeat("#\n", maxConf/2), "file is longer than 65536 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, err := ParseConf("f", strings.NewReader(tc.in))
			var se *SyntaxError
			if !errors.As(err, &se) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, %v, want an error with %q", c, err, tc.want)
			}
		})
	}
}

func TestParseConfReadError(t *testing.T) {
	t.Parallel()
	broken := io.MultiReader(strings.NewReader("[structure]\n0=flat\n"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if c, err := ParseConf("f", broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, %v, want the error of the reader", c, err)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := Load(dir)
	if err != nil || !slices.Equal(c, Conf{Flat()}) {
		t.Errorf("without a file: %v, %v, want flat", c, err)
	}
	file := filepath.Join(dir, "layout.conf")
	want := Conf{mustParse(t, "filename-hash BLAKE2B 8"), Flat()}
	if err := os.WriteFile(file, want.Format(), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err = Load(dir); err != nil || !slices.Equal(c, want) {
		t.Errorf("got %v, %v, want %v", c, err, want)
	}
	if err := os.WriteFile(file, []byte("[structure]\n0=nothing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, err = Load(dir); err == nil || !strings.HasPrefix(err.Error(), file+":2: ") {
		t.Errorf("got %v, %v, want an error at %s:2", c, err, file)
	}
	if c, err = Load(file); err == nil {
		t.Errorf("below a file: %v, want an error", c)
	}
}

func TestConfAlgorithms(t *testing.T) {
	t.Parallel()
	c := Conf{
		mustParse(t, "content-hash SHA512 8"), Flat(), mustParse(t, "filename-hash MD5 8"),
		mustParse(t, "content-hash SHA512 8:8"), mustParse(t, "content-hash BLAKE2B 4"),
	}
	if got := c.Algorithms(); !slices.Equal(got, []digest.Algorithm{digest.SHA512, digest.BLAKE2B}) {
		t.Errorf("Algorithms() = %v", got)
	}
}

func TestConfCheck(t *testing.T) {
	t.Parallel()
	hashed := mustParse(t, "filename-hash BLAKE2B 8:8")
	for _, tc := range []struct {
		conf Conf
		name catalog.Name
		ok   bool
	}{
		{Conf{Flat()}, "foo", true},
		{Conf{Flat()}, "ab", true},
		{Conf{Flat()}, "history", false},
		{Conf{hashed}, "history", true},
		{Conf{hashed}, "ab", true},
		{Conf{hashed, Flat()}, "history", false},
		{Conf{hashed, Flat()}, "ab", false},
		{Conf{hashed, Flat()}, "ab/foo", false},
		{Conf{hashed, Flat()}, "abc", true},
		{Conf{hashed, Flat()}, "AB", true},
		{Conf{hashed, Flat()}, "foo/ab", true},
	} {
		if err := tc.conf.Check(tc.name); (err == nil) != tc.ok {
			t.Errorf("%v: Check(%q) = %v", tc.conf, tc.name, err)
		}
	}
}

func FuzzParseConf(f *testing.F) {
	f.Add([]byte("[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"))
	f.Add([]byte("[a]\nb=c\n d\n[structure]\n1:content-hash SHA1\n  4:4\n0=flat\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		first, err := ParseConf("in", bytes.NewReader(in))
		if err != nil {
			t.Skip()
		}
		again, err := ParseConf("again", bytes.NewReader(first.Format()))
		if err != nil || !slices.Equal(first, again) {
			t.Fatalf("parse(format(%v)) = %v, %v", first, again, err)
		}
	})
}

// TestParseForeign: another archive's file says what can be understood of it.
func TestParseForeign(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                      "flat",
		"[structure]\n0=flat\n": "flat",
		"[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n":                      "filename-hash BLAKE2B 8, flat",
		"[structure]\r\n0=filename-hash BLAKE2B 8\r\n":                          "filename-hash BLAKE2B 8",
		"[structure]\n0=tree-hash BLAKE3 8\n1=filename-hash BLAKE2B 8\n":        "filename-hash BLAKE2B 8, flat",
		"[structure]\n0=filename-hash BLAKE3 8\n1=filename-hash BLAKE2B 8\n":    "filename-hash BLAKE2B 8, flat",
		"[structure]\n0=filename-hash BLAKE2B 8\n2=flat\n":                      "filename-hash BLAKE2B 8, flat",
		"[structure]\n0=\n2=filename-hash SHA512 8:8\n":                         "filename-hash SHA512 8:8, flat",
		"[structure]\n5=content-hash SHA512 8\n":                                "content-hash SHA512 8, flat",
		"[structure]\n0=filename-hash BLAKE2B 8\n1=filename-hash BLAKE2B 8\n":   "filename-hash BLAKE2B 8, flat",
		"0=filename-hash BLAKE2B 8\n":                                           "flat",
		"<!DOCTYPE html><html>\n[structure]\n0=filename-hash SHA512 8\n</html>": "filename-hash SHA512 8, flat",
		"\x00\xff[": "flat",
	} {
		var got []string
		for _, l := range ParseForeign([]byte(in)) {
			got = append(got, l.String())
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%q: %s, want %s", in, s, want)
		}
	}
}

func TestEdit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, want string }{
		{"none", "", "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"},
		{"plain", "[structure]\n0=flat\n", "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"},
		{
			"comments", "# ours\n[other]\nkey = x\n y\n[structure]\n# first\n0 = flat\n; more\n1: filename-hash\n  SHA512 8\n\nword = 1\n# end",
			"# ours\n[other]\nkey = x\n y\n[structure]\n# first\n0=filename-hash BLAKE2B 8\n1=flat\n; more\n\nword = 1\n# end",
		},
		{"deep", "[structure]\n  0=flat\n", "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"},
		{"unreadable", "0=flat\n", "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"},
		{"no structure", "[other]\n", "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"},
		{"a value before", "[structure]\nword = 1\n  0=flat\n", "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"},
	} {
		conf, err := ParseConf("new", strings.NewReader("[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(conf.Edit([]byte(c.old))); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
