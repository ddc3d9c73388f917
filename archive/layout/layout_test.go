package layout

import (
	"path"
	"strings"
	"testing"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

func mustParse(t testing.TB, spec string) Layout {
	t.Helper()
	l, err := Parse(spec)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ spec, want string }{
		{"flat", "flat"},
		{" \tflat ", "flat"},
		{"filename-hash BLAKE2B 8", "filename-hash BLAKE2B 8"},
		{"filename-hash  MD5\t8:16 ", "filename-hash MD5 8:16"},
		{"content-hash SHA512 8:8:8", "content-hash SHA512 8:8:8"},
		{"content-hash SHA256 4:08", "content-hash SHA256 4:8"},
		{"content-hash SHA1 160", "content-hash SHA1 160"},
		{"content-hash SHA512 256:256", "content-hash SHA512 256:256"},
	} {
		l, err := Parse(tc.spec)
		if err != nil {
			t.Errorf("Parse(%q): %v", tc.spec, err)
			continue
		}
		if got := l.String(); got != tc.want {
			t.Errorf("Parse(%q) = %s, want %s", tc.spec, got, tc.want)
		}
		if again, err := Parse(l.String()); err != nil || again != l {
			t.Errorf("Parse(%q) = %v, %v, want the same layout", l, again, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ spec, want string }{
		{"", "empty"},
		{"  ", "empty"},
		{"Flat", "not known"},
		{"flat 8", "no arguments"},
		{"tree SHA256 8", "not known"},
		{"filename-hash", "want an algorithm"},
		{"filename-hash BLAKE2B", "want an algorithm"},
		{"filename-hash BLAKE2B 8 8", "want an algorithm"},
		{"filename-hash blake2b 8", "cannot be computed"},
		{"content-hash WHIRLPOOL 8", "cannot be computed"},
		{"content-hash NEWER 8", "cannot be computed"},
		{"filename-hash BLAKE2B 0", `cutoff "0"`},
		{"filename-hash BLAKE2B 6", `cutoff "6"`},
		{"filename-hash BLAKE2B -8", `cutoff "-8"`},
		{"filename-hash BLAKE2B +8", `cutoff "+8"`},
		{"filename-hash BLAKE2B 8:", `cutoff ""`},
		{"filename-hash BLAKE2B 8,8", `cutoff "8,8"`},
		{"filename-hash BLAKE2B 65536", `cutoff "65536"`},
		{"filename-hash SHA1 164", "more than the 160 bits of SHA1"},
		{"content-hash SHA256 128:128:4", "more than the 256 bits"},
		{"content-hash SHA512 1024:4", "more than the 512 bits"},
	} {
		if l, err := Parse(tc.spec); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Parse(%q) = %v, %v, want an error with %q", tc.spec, l, err, tc.want)
		}
	}
}

// The digests are those of b2sum and sha512sum.
func TestPath(t *testing.T) {
	t.Parallel()
	h := digest.NewHasher(digest.SHA512)
	h.Write([]byte("content"))
	sums := h.Sum()
	sha512 := sums.Get(digest.SHA512).Hex()
	sha256 := sums.Get(digest.SHA256).Hex()
	for _, tc := range []struct {
		spec string
		name catalog.Name
		want string // empty = none
	}{
		{"flat", "foo-1.tar.gz", "foo-1.tar.gz"},
		{"flat", "go/a%2Fb@v1.zip", "go/a%2Fb@v1.zip"},
		{"flat", "layout.conf", ""},
		{"flat", "by_cipher/x", ""},
		{"filename-hash BLAKE2B 8", "foo-1.tar.gz", "1b/foo-1.tar.gz"},
		{"filename-hash BLAKE2B 8:16", "foo-1.tar.gz", "1b/32b8/foo-1.tar.gz"},
		{"filename-hash BLAKE2B 4:4:12", "go/a%2Fb@v1.zip", "1/c/aea/go/a%2Fb@v1.zip"},
		{"filename-hash SHA512 8", "foo-1.tar.gz", "5c/foo-1.tar.gz"},
		{"filename-hash SHA512 512", "foo-1.tar.gz", "5cd586476b2800a2a46291b74b1683651774b059ee3d5ba9a45a3317ab96ee7f" +
			"becc81905bfcbdb83e28b7cd1c9457eec0ff3231b7de161418985d427644d869/foo-1.tar.gz"},
		{"filename-hash BLAKE2B 8", "layout.conf", "9f/layout.conf"},
		{"content-hash SHA512 8:8:8", "foo-1.tar.gz", sha512[:2] + "/" + sha512[2:4] + "/" + sha512[4:6] + "/" + sha512},
		{"content-hash SHA256 16", "history", sha256[:4] + "/" + sha256},
		{"content-hash SHA256 256", "foo", sha256 + "/" + sha256},
		{"content-hash BLAKE2B 8", "foo-1.tar.gz", ""},
	} {
		got, ok := mustParse(t, tc.spec).Path(tc.name, sums)
		if got != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: Path(%q) = %q, %t, want %q", tc.spec, tc.name, got, ok, tc.want)
		}
	}
}

func TestNameOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		spec, path string
		want       catalog.Name // empty = none
	}{
		{"flat", "foo-1.tar.gz", "foo-1.tar.gz"},
		{"flat", "sub/foo", "sub/foo"},
		{"flat", "history", ""},
		{"flat", "../foo", ""},
		{"flat", "/foo", ""},
		{"flat", "", ""},
		{"filename-hash BLAKE2B 8", "1b/foo-1.tar.gz", "foo-1.tar.gz"},
		{"filename-hash BLAKE2B 8", "1B/foo-1.tar.gz", ""},
		{"filename-hash BLAKE2B 8", "1c/foo-1.tar.gz", ""},
		{"filename-hash BLAKE2B 8", "foo-1.tar.gz", ""},
		{"filename-hash BLAKE2B 8", "1b/", ""},
		{"filename-hash BLAKE2B 8", "1b", ""},
		{"filename-hash BLAKE2B 4:4:12", "1/c/aea/go/a%2Fb@v1.zip", "go/a%2Fb@v1.zip"},
		{"content-hash SHA512 8", "1b/foo-1.tar.gz", ""},
	} {
		got, ok := mustParse(t, tc.spec).NameOf(tc.path)
		if got != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: NameOf(%q) = %q, %t, want %q", tc.spec, tc.path, got, ok, tc.want)
		}
	}
}

func TestAlgorithm(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]digest.Algorithm{
		"flat": 0, "filename-hash BLAKE2B 8": 0, "content-hash SHA512 8": digest.SHA512,
	} {
		l := mustParse(t, spec)
		a, ok := l.Algorithm()
		if a != want || ok != (want != 0) || l.IsContentHash() != ok {
			t.Errorf("%s: Algorithm() = %v, %t, IsContentHash() = %t", spec, a, ok, l.IsContentHash())
		}
	}
}

func TestReserved(t *testing.T) {
	t.Parallel()
	for _, n := range []catalog.Name{"layout.conf", "distinfo", "history", "by_cipher", "by_cipher/a", "lastsync", "lastupdate", "history/x", "generations", "generations/latest"} {
		if !Reserved(n) {
			t.Errorf("Reserved(%q) = false", n)
		}
	}
	for _, n := range []catalog.Name{"last-1.0.tar.gz", "lastfm-1.tar.gz", "History", "by_cipher.tar", "a/history", "layout.conf.gz"} {
		if Reserved(n) {
			t.Errorf("Reserved(%q) = true", n)
		}
	}
}

func TestObeyed(t *testing.T) {
	t.Parallel()
	for n, want := range map[catalog.Name]bool{
		".htaccess": true, ".well-known/acme-challenge/x": true, "go/.user.ini": true, "a.htaccess": false, "a..b": false, "x/y.z": false,
	} {
		if obeyed(n) != want {
			t.Errorf("obeyed(%q) = %v", n, !want)
		}
		for _, c := range []Conf{{Flat()}, {mustParse(t, "filename-hash BLAKE2B 8")}, {mustParse(t, "content-hash SHA512 8")}} {
			if err := c.Check(n); (err != nil) != want {
				t.Errorf("%s: Check(%q) = %v", c, n, err)
			}
		}
	}
}

func TestByCipher(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ base64, hex, want64 string }{
		{
			"a0SoQ5UfNxtwEMdU7MPKvv6BXVztHFuUCfstaX6KiQ0=",
			"by_cipher/sha256/6b/6b44a843951f371b7010c754ecc3cabefe815d5ced1c5b9409fb2d697e8a890d/x y",
			"by_cipher/sha256/a0/a0SoQ5UfNxtwEMdU7MPKvv6BXVztHFuUCfstaX6KiQ0=/x y",
		},
		{
			"/0SoQ5U//xtwEMdU7MPKvv6BXVztHFuUCfstaX6K/w0=",
			"by_cipher/sha256/ff/ff44a843953fff1b7010c754ecc3cabefe815d5ced1c5b9409fb2d697e8aff0d/x y",
			"by_cipher/sha256/0/0SoQ5U/xtwEMdU7MPKvv6BXVztHFuUCfstaX6K/w0=/x y",
		},
		{
			"///Q5UfNxtwEMdU7MPKvv6BXVztHFuUCfstaX6KiQ0A=",
			"by_cipher/sha256/ff/ffffd0e547cdc6dc0431d53b30f2afbfa057573b4716e5027ecb5a5fa2a24340/x y",
			"by_cipher/sha256/Q5UfNxtwEMdU7MPKvv6BXVztHFuUCfstaX6KiQ0A=/x y",
		},
		{
			"a/SoQ5UfNxtwEMdU7MPKvv6BXVztHFuUCfstaX6KiQ0=",
			"by_cipher/sha256/6b/6bf4a843951f371b7010c754ecc3cabefe815d5ced1c5b9409fb2d697e8a890d/x y",
			"by_cipher/sha256/a/a/SoQ5UfNxtwEMdU7MPKvv6BXVztHFuUCfstaX6KiQ0=/x y",
		},
	} {
		d, err := digest.ParseBase64(digest.SHA256, tc.base64)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := ByCipher(d, "x y"); got != tc.hex {
			t.Errorf("ByCipher(%s) = %q, want %q", tc.base64, got, tc.hex)
		}
		if got := ByCipherBase64(d, "x y"); got != tc.want64 {
			t.Errorf("ByCipherBase64(%s) = %q, want %q", tc.base64, got, tc.want64)
		}
	}
}

func FuzzNameOf(f *testing.F) {
	f.Add("flat", "a%2Fb@v1.zip")
	f.Add("filename-hash BLAKE2B 8:16", "go/a%2Fb@v1.zip")
	f.Add("filename-hash MD5 128", "1b/foo")
	f.Add("content-hash SHA1 8", "x")
	f.Fuzz(func(t *testing.T, spec, s string) {
		l, err := Parse(spec)
		if err != nil {
			t.Skip()
		}
		if again, err := Parse(l.String()); err != nil || again != l {
			t.Fatalf("Parse(%q) = %v, %v", l, again, err)
		}
		if name, ok := l.NameOf(s); ok {
			if p, ok := l.Path(name, nil); !ok || p != s {
				t.Fatalf("%s: NameOf(%q) = %q, whose path is %q", l, s, name, p)
			}
		}
		name, err := catalog.ParsePath(s)
		if err != nil || l.IsContentHash() || l == Flat() && Reserved(name) {
			t.Skip()
		}
		p, ok := l.Path(name, nil)
		if back, ok2 := l.NameOf(p); !ok || !ok2 || back != name {
			t.Fatalf("%s: Path(%q) = %q, whose name is %q, %t", l, name, p, back, ok2)
		}
		if _, err := catalog.ParsePath(p); err != nil && len(p) <= 1024 {
			t.Fatalf("%s: Path(%q) = %q: %v", l, name, p, err)
		}
	})
}

// TestIsCipher: a directory of by_cipher is one of a content when it is spelt in hex.
func TestIsCipher(t *testing.T) {
	t.Parallel()
	sum := digest.SHA256.Sum([]byte("a"))
	hex, b64 := path.Dir(ByCipher(sum, "x")), path.Dir(ByCipherBase64(sum, "x"))
	for dir, want := range map[string]bool{
		hex: true, b64: false, hex + "/x": false, path.Dir(hex): false, CipherDir: false, "": false,
		strings.ToUpper(hex): false, hex[:len(hex)-1] + "g": false, hex[:len(hex)-1]: false, "x" + hex: false,
		CipherDir + "/zz/" + path.Base(hex): false,
	} {
		if IsCipher(dir) != want {
			t.Errorf("%q: %v", dir, !want)
		}
	}
}
