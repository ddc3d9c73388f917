package catalog

import (
	"strings"
	"testing"
)

func TestParseName(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"a", "foo-1.0.tar.gz", "a%2Fb@v1.zip", "x?action=y&z=1.jar", "{P}.tar.gz", "UPPER", "upper", " sp ace ", "...", "..a", ".hidden",
		"-dash", "#hash", "back\\slash", "é", "\xff\xfe", "a:b", "C:", "~", "*", strings.Repeat("n", 186), strings.Repeat("n", 255),
	} {
		if n, err := ParseName(s); err != nil || string(n) != s {
			t.Errorf("ParseName(%q) = %q, %v", s, n, err)
		}
		if n, err := ParsePath(s); err != nil || string(n) != s {
			t.Errorf("ParsePath(%q) = %q, %v", s, n, err)
		}
	}
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"kde/a.tar.bz2", "go_modules/git.sr.ht/~x/y/@v/v1.zip", "a/b/c", ".../a", strings.Repeat("n", 255) + "/a",
		strings.Repeat("n/", 511) + "nn",
	} {
		if n, err := ParsePath(s); err != nil || string(n) != s {
			t.Errorf("ParsePath(%q) = %q, %v", s, n, err)
		}
		if n, err := ParseName(s); err == nil {
			t.Errorf("ParseName(%q) = %q, want an error for the slash", s, n)
		}
	}
}

func TestParseNameErrors(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", ".", "..", "../x", "x/..", "x/../y", "a/./b", "/", "/a", "a/", "a//b", "a\x00b", "a\nb", "a\rb", "a\tb", "a\x1bb", "a\x7fb", "\n",
		"a/b\x00", strings.Repeat("n", 256), "a/" + strings.Repeat("n", 256), strings.Repeat("n/", 512) + "n",
	} {
		if n, err := ParseName(s); err == nil || n != "" {
			t.Errorf("ParseName(%q) = %q, %v", s, n, err)
		}
		n, err := ParsePath(s)
		if err == nil || n != "" {
			t.Errorf("ParsePath(%q) = %q, %v", s, n, err)
			continue
		}
		if msg := err.Error(); strings.ContainsAny(msg, "\x00\n\r\x1b") || len(msg) > 2000 {
			t.Errorf("ParsePath(%.20q): the message is not fit for a log: %q", s, msg)
		}
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	for n, want := range map[Name]string{"a": "a", "a/b": "b", "a/b/c%2Fd": "c%2Fd"} {
		if got := n.Base(); got != want {
			t.Errorf("Base(%q) = %q, want %q", n, got, want)
		}
	}
}

// safe says in other words than the parser what a name must be.
func safe(s string) bool {
	for c := range strings.SplitSeq(s, "/") {
		if c == "" || c == "." || c == ".." || len(c) > 255 {
			return false
		}
	}
	return len(s) <= 1024 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"a%2Fb@v1.zip", "..", "a/b", "x\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if want := safe(s) && !strings.Contains(s, "/"); (err == nil) != want || err == nil && string(n) != s {
			t.Fatalf("ParseName(%q) = %q, %v", s, n, err)
		}
	})
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"a%2Fb@v1.zip", "a/../b", "a//b", "/a", "x\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParsePath(s)
		if (err == nil) != safe(s) || err == nil && string(n) != s {
			t.Fatalf("ParsePath(%q) = %q, %v", s, n, err)
		}
		if err == nil && !strings.HasSuffix(s, n.Base()) {
			t.Fatalf("Base(%q) = %q", s, n.Base())
		}
	})
}
