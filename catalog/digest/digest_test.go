package digest

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// all are the algorithms that have a name.
func all() []Algorithm {
	var as []Algorithm
	for a := SHA256; a.known(); a++ {
		as = append(as, a)
	}
	return as
}

// of makes a digest of one byte repeated.
func of(t testing.TB, a Algorithm, b byte) Digest {
	t.Helper()
	d, err := New(a, slices.Repeat([]byte{b}, a.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func set(t testing.TB, ds ...Digest) Set {
	t.Helper()
	s, ok := NewSet(ds...)
	if !ok {
		t.Fatalf("NewSet(%v) is contradictory", ds)
	}
	return s
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	// Lengths in hex digits, from the Manifests and distinfo that have them.
	want := map[string]int{
		"SHA256": 64, "SHA512": 128, "BLAKE2B": 128, "BLAKE2S": 64, "SHA3_256": 64, "SHA3_512": 128,
		"SHA1": 40, "MD5": 32, "BLAKE3": 64, "RMD160": 40, "WHIRLPOOL": 128,
	}
	for _, a := range all() {
		name := a.String()
		if got, ok := ParseAlgorithm(name); !ok || got != a {
			t.Errorf("ParseAlgorithm(%s) = %v, %t", name, got, ok)
		}
		if 2*a.Size() != want[name] {
			t.Errorf("%s has %d bytes, want %d hex digits", name, a.Size(), want[name])
		}
		if weak := name == "SHA1" || name == "MD5" || name == "RMD160"; a.Strong() == weak {
			t.Errorf("%s: Strong() = %t", name, a.Strong())
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
	for _, name := range []string{"", "sha256", "SHA-256", "SHA3-256", "SIZE"} {
		if a, ok := ParseAlgorithm(name); ok {
			t.Errorf("ParseAlgorithm(%q) = %v", name, a)
		}
	}
	for _, a := range []Algorithm{0, WHIRLPOOL + 1, 255} {
		if a.Size() != 0 || a.Strong() || a.Computable() || !a.Sum(nil).IsZero() || !strings.HasPrefix(a.String(), "Algorithm(") {
			t.Errorf("%v behaves like an algorithm", a)
		}
	}
}

// known are the digests of "abc" by openssl dgst.
var known = map[Algorithm]string{
	SHA256:   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	SHA512:   "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	BLAKE2B:  "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
	BLAKE2S:  "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
	SHA3_256: "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
	SHA3_512: "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
	SHA1:     "a9993e364706816aba3e25717850c26c9cd0d89d",
	MD5:      "900150983cd24fb0d6963f7d28e17f72",
}

func TestSum(t *testing.T) {
	t.Parallel()
	for _, a := range all() {
		got := a.Sum([]byte("abc"))
		if want := known[a]; got.IsZero() != (want == "") || got.Hex() != want {
			t.Errorf("%s of abc = %s, want %s", a, got.Hex(), want)
		}
		if a.Computable() != (known[a] != "") {
			t.Errorf("%s: Computable() = %t", a, a.Computable())
		}
	}
}

func TestHasher(t *testing.T) {
	t.Parallel()
	h := NewHasher(append(all(), MD5)...)
	for range 2 {
		h.Reset()
		for _, p := range []string{"a", "", "bc"} {
			if n, err := h.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
			h.Sum() // must not end the stream
		}
		s := h.Sum()
		if h.Size() != 3 || len(s) != len(known) {
			t.Errorf("%d bytes, %d digests, want 3 and %d", h.Size(), len(s), len(known))
		}
		for i, d := range s {
			if d.Hex() != known[d.Alg] {
				t.Errorf("%s, want %s", d, known[d.Alg])
			}
			if i > 0 && s[i-1].Alg >= d.Alg {
				t.Errorf("%s is out of order", d.Alg)
			}
		}
	}
	if got := NewHasher(RMD160).Sum().Algorithms(); !slices.Equal(got, []Algorithm{SHA256}) {
		t.Errorf("algorithms = %v, want SHA256 alone", got)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	abc := known[SHA256]
	d, err := Parse(SHA256, strings.ToUpper(abc))
	if err != nil || d.Hex() != abc || d.String() != "SHA256 "+abc || d.IsZero() {
		t.Errorf("Parse = %v, %v", d, err)
	}
	e, err := ParseBase64(SHA256, d.Base64())
	if err != nil || e != d {
		t.Errorf("ParseBase64(%s) = %v, %v, want %v", d.Base64(), e, err, d)
	}
	if f, err := New(SHA256, d.Raw()); err != nil || f != d {
		t.Errorf("New(Raw()) = %v, %v", f, err)
	}
	d.Raw()[0]++
	if e != d {
		t.Error("Raw gave away the digest itself")
	}
	if !(Digest{}).IsZero() {
		t.Error("the zero Digest is one")
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	abc := known[SHA256]
	b64 := base64.StdEncoding.EncodeToString(SHA256.Sum([]byte("abc")).Raw())
	for _, tc := range []struct {
		alg Algorithm
		s   string
	}{
		{SHA256, ""}, {SHA256, abc[1:]}, {SHA256, abc + "0"}, {SHA256, "g" + abc[1:]}, {SHA512, abc}, {0, ""}, {0, abc}, {255, abc},
		{SHA256, strings.Repeat("é", 32)},
	} {
		if d, err := Parse(tc.alg, tc.s); err == nil {
			t.Errorf("Parse(%v, %q) = %v", tc.alg, tc.s, d)
		}
	}
	for _, s := range []string{
		"", b64[:43], b64 + "=", "\n" + b64, b64[:20] + "\r\n" + b64[20:], strings.TrimRight(b64, "="), "-" + b64[1:],
		b64[:42] + "1=", // the same bytes, were the spare bits not checked
		"AAAA",
	} {
		if d, err := ParseBase64(SHA256, s); err == nil {
			t.Errorf("ParseBase64(%q) = %v", s, d)
		}
	}
	if d, err := New(MD5, make([]byte, 15)); err == nil {
		t.Errorf("New of 15 bytes = %v", d)
	}
	if d, err := New(0, nil); err == nil {
		t.Errorf("New of no algorithm = %v", d)
	}
}

func TestNewSet(t *testing.T) {
	t.Parallel()
	in := []Digest{of(t, MD5, 1), of(t, SHA512, 2), of(t, SHA256, 3), of(t, SHA512, 2)}
	s := set(t, in...)
	if want := (Set{in[2], in[1], in[0]}); !slices.Equal(s, want) {
		t.Errorf("NewSet = %v, want %v", s, want)
	}
	if in[0].Alg != MD5 {
		t.Error("NewSet sorted its argument")
	}
	if got := s.Algorithms(); !slices.Equal(got, []Algorithm{SHA256, SHA512, MD5}) {
		t.Errorf("Algorithms() = %v", got)
	}
	s, ok := NewSet(of(t, MD5, 1), of(t, SHA256, 3), of(t, MD5, 2))
	if want := (Set{of(t, SHA256, 3), of(t, MD5, 1)}); ok || !slices.Equal(s, want) {
		t.Errorf("NewSet of a contradiction = %v, %t, want %v, false", s, ok, want)
	}
	if s, ok := NewSet(); len(s) != 0 || !ok {
		t.Errorf("NewSet() = %v, %t", s, ok)
	}
}

func TestSetGet(t *testing.T) {
	t.Parallel()
	s := set(t, of(t, SHA512, 1), of(t, MD5, 2))
	if got := s.Get(MD5); got != of(t, MD5, 2) {
		t.Errorf("Get(MD5) = %v", got)
	}
	if got := s.Get(SHA256); !got.IsZero() {
		t.Errorf("Get(SHA256) = %v", got)
	}
	if got := Set(nil).Get(MD5); !got.IsZero() {
		t.Errorf("Get of nothing = %v", got)
	}
}

func TestStrongest(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		set  Set
		want Algorithm
	}{
		{nil, 0},
		{set(t, of(t, MD5, 1)), MD5},
		{set(t, of(t, MD5, 1), of(t, SHA1, 1)), SHA1},
		{set(t, of(t, MD5, 1), of(t, WHIRLPOOL, 1)), WHIRLPOOL},
		{set(t, of(t, BLAKE2B, 1), of(t, SHA512, 1)), SHA512},
	} {
		if got := tc.set.Strongest(); got.Alg != tc.want {
			t.Errorf("%v: Strongest() = %v, want %v", tc.set.Algorithms(), got.Alg, tc.want)
		}
	}
}

func TestVerifiable(t *testing.T) {
	t.Parallel()
	for _, a := range all() {
		if got := set(t, of(t, a, 1)).Verifiable(); got != a.Computable() {
			t.Errorf("%s alone: Verifiable() = %t", a, got)
		}
	}
	if Set(nil).Verifiable() {
		t.Error("nothing is verifiable")
	}
	if !set(t, of(t, WHIRLPOOL, 1), of(t, MD5, 1)).Verifiable() {
		t.Error("one that can be computed is not enough")
	}
}

func TestOthers(t *testing.T) {
	t.Parallel()
	sha512, md5 := of(t, SHA512, 1), of(t, MD5, 1)
	want := map[string]string{"SHA512": sha512.Hex(), "MD5": md5.Hex()}
	if got := set(t, of(t, SHA256, 1), sha512, md5).Others(); !maps.Equal(got, want) {
		t.Errorf("Others = %v, want %v", got, want)
	}
	if got := set(t, of(t, SHA256, 1)).Others(); got != nil {
		t.Errorf("Others of the key alone = %v", got)
	}
}

func TestUnion(t *testing.T) {
	t.Parallel()
	s, o := set(t, of(t, SHA512, 1), of(t, MD5, 1)), set(t, of(t, SHA256, 2), of(t, MD5, 2))
	if got, want := s.Union(o), set(t, of(t, SHA256, 2), of(t, SHA512, 1), of(t, MD5, 1)); !slices.Equal(got, want) {
		t.Errorf("Union = %v, want %v", got, want)
	}
	if got := Set(nil).Union(o); !slices.Equal(got, o) {
		t.Errorf("Union of nothing and %v = %v", o, got)
	}
	// Sets are shared: a union must not write into the room behind one.
	roomy := append(make(Set, 0, 8), s...)
	roomy.Union(o)
	if got := roomy[:3][2]; !got.IsZero() {
		t.Errorf("Union wrote %v behind its set", got)
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	a, b := func(alg Algorithm) Digest { return of(t, alg, 1) }, func(alg Algorithm) Digest { return of(t, alg, 2) }
	for _, tc := range []struct {
		name string
		s, o Set
		want Relation
	}{
		{"nothing", nil, nil, Unknown},
		{"one side", set(t, a(SHA256)), nil, Unknown},
		{"nothing in common", set(t, a(SHA256), a(MD5)), set(t, a(SHA512), a(SHA1)), Unknown},
		{"strong", set(t, a(SHA256), a(SHA1)), set(t, a(SHA256), a(MD5)), Same},
		{"strong and weak", set(t, a(SHA256), a(MD5)), set(t, a(SHA256), a(MD5)), Same},
		{"weak", set(t, a(SHA256), a(MD5)), set(t, a(SHA512), a(MD5)), Weak},
		{"two weak", set(t, a(SHA1), a(MD5)), set(t, a(SHA1), a(MD5)), Weak},
		{"strong differs", set(t, a(SHA256)), set(t, b(SHA256)), Different},
		{"weak differs", set(t, a(SHA256), a(MD5)), set(t, a(SHA256), b(MD5)), Different},
		{"strong differs behind a weak one", set(t, a(SHA1), a(WHIRLPOOL)), set(t, a(SHA1), b(WHIRLPOOL)), Different},
		{"last of several", set(t, a(SHA256), a(BLAKE2B), a(MD5)), set(t, a(SHA512), a(MD5)), Weak},
	} {
		if got := tc.s.Compare(tc.o); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		if got := tc.o.Compare(tc.s); got != tc.want {
			t.Errorf("%s, the other way: %v, want %v", tc.name, got, tc.want)
		}
		want, got := tc.s.Mismatch(tc.o)
		if (tc.want == Different) == want.IsZero() || want.Alg != got.Alg || want == got && !want.IsZero() {
			t.Errorf("%s: Mismatch = %v, %v", tc.name, want, got)
		}
		if !want.IsZero() && (tc.s.Get(want.Alg) != want || tc.o.Get(got.Alg) != got) {
			t.Errorf("%s: Mismatch = %v, %v are not of the sets in this order", tc.name, want, got)
		}
	}
}

// TestNix32: the spellings of "abc" are those of nix-hash --to-base32.
func TestNix32(t *testing.T) {
	t.Parallel()
	for a, s := range map[Algorithm]string{
		MD5:    "3jgzhjhz9zjvbb0kyj7jc500ch",
		SHA1:   "kpcd173cq987hw957sx6m0868wv3x6d9",
		SHA256: "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
		SHA512: "2gs8k559z4rlahfx0y688s49m2vvszylcikrfinm30ly9rak69236nkam5ydvly1ai7xac99vxfc4ii84hawjbk876blyk1jfhkbbyx",
	} {
		if d, err := ParseNix32(a, s); err != nil || d != a.Sum([]byte("abc")) {
			t.Errorf("%s %s is %v, %v", a, s, d, err)
		}
	}
	for what, s := range map[string]string{
		"too short": "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5", "no digit": "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicyee",
		"too large": "zb8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s", "capitals": "1B8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
		"empty": "",
	} {
		if d, err := ParseNix32(SHA256, s); err == nil {
			t.Errorf("%s: %v", what, d)
		}
	}
	if _, err := ParseNix32(0, ""); err == nil {
		t.Error("no algorithm has digests")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("SHA256", known[SHA256])
	f.Add("MD5", strings.ToUpper(known[MD5]))
	f.Add("SHA1", "kpcd173cq987hw957sx6m0868wv3x6d9")
	f.Add("SHA256", "a0SoQ5UfNxtwEMdU7MPKvv6BXVztHFuUCfstaX6KiQ0=")
	f.Fuzz(func(t *testing.T, name, s string) {
		a, ok := ParseAlgorithm(name)
		if !ok {
			t.Skip()
		}
		if d, err := Parse(a, s); err == nil {
			if d.Hex() != strings.ToLower(s) || len(d.Raw()) != a.Size() || hex.EncodeToString(d.Raw()) != d.Hex() {
				t.Fatalf("Parse(%s, %q) = %v", a, s, d)
			}
		}
		if d, err := ParseBase64(a, s); err == nil && d.Base64() != s {
			t.Fatalf("ParseBase64(%s, %q) = %s", a, s, d.Base64())
		}
		if d, err := ParseNix32(a, s); err == nil && formatNix32(d) != s {
			t.Fatalf("ParseNix32(%s, %q) = %s", a, s, formatNix32(d))
		}
	})
}

// formatNix32 takes the digest for a number, as Nix does.
func formatNix32(d Digest) string {
	raw := d.Raw()
	slices.Reverse(raw)
	n := new(big.Int).SetBytes(raw)
	s := make([]byte, (8*len(raw)+4)/5)
	for i := range s {
		digit := new(big.Int)
		n.DivMod(n, big.NewInt(32), digit)
		s[len(s)-1-i] = nix32[digit.Int64()]
	}
	return string(s)
}

// TestShare: equal digests are kept once, and others stay as they are.
func TestShare(t *testing.T) {
	t.Parallel()
	wanted := set(t, of(t, SHA512, 1), of(t, BLAKE2B, 2))
	s := set(t, of(t, SHA256, 0), of(t, SHA512, 1), of(t, BLAKE2B, 3))
	want := slices.Clone(s)
	s.Share(wanted)
	if !slices.Equal(s, want) || unsafe.StringData(s[1].sum) != unsafe.StringData(wanted[0].sum) {
		t.Errorf("%v became %v", want, s)
	}
}
