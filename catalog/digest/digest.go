// Package digest parses, computes and compares the checksums that package
// trees publish.
//
// It knows every algorithm that Gentoo Manifests (GLEP 59, GLEP 74), OpenBSD
// distinfo files and pacman databases use. Some of them it can only parse and
// compare: [Algorithm.Computable] says which.
package digest

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// An Algorithm is one checksum algorithm. The zero value is no algorithm.
// The numbers are stored only where no other version of the program reads them; else
// names are.
type Algorithm uint8

// The known algorithms, strongest habits of the trees first: Set orders its
// digests by these numbers.
const (
	SHA256 Algorithm = 1 + iota
	SHA512
	BLAKE2B
	BLAKE2S
	SHA3_256
	SHA3_512
	SHA1
	MD5
	BLAKE3
	RMD160
	WHIRLPOOL
)

// Usual are the digests of most trees. They are computed of files that no tree
// names, so that they are known when one wants the content under another name.
var Usual = []Algorithm{BLAKE2B, SHA512}

type property struct {
	name   string
	size   int // bytes
	strong bool
}

var properties = [...]property{
	SHA256:    {"SHA256", 32, true},
	SHA512:    {"SHA512", 64, true},
	BLAKE2B:   {"BLAKE2B", 64, true},
	BLAKE2S:   {"BLAKE2S", 32, true},
	SHA3_256:  {"SHA3_256", 32, true},
	SHA3_512:  {"SHA3_512", 64, true},
	SHA1:      {"SHA1", 20, false},
	MD5:       {"MD5", 16, false},
	BLAKE3:    {"BLAKE3", 32, true},
	RMD160:    {"RMD160", 20, false},
	WHIRLPOOL: {"WHIRLPOOL", 64, true},
}

// ParseAlgorithm returns the algorithm of that name, as Manifests and distinfo
// files spell it. ok is false for a name that is not known: newer trees may
// use newer algorithms, and a reader is expected to ignore those.
func ParseAlgorithm(name string) (a Algorithm, ok bool) {
	switch name {
	case "SHA256":
		return SHA256, true
	case "SHA512":
		return SHA512, true
	case "BLAKE2B":
		return BLAKE2B, true
	case "BLAKE2S":
		return BLAKE2S, true
	case "SHA3_256":
		return SHA3_256, true
	case "SHA3_512":
		return SHA3_512, true
	case "SHA1":
		return SHA1, true
	case "MD5":
		return MD5, true
	case "BLAKE3":
		return BLAKE3, true
	case "RMD160":
		return RMD160, true
	case "WHIRLPOOL":
		return WHIRLPOOL, true
	}
	return 0, false
}

func (a Algorithm) known() bool { return a > 0 && int(a) < len(properties) }

// String returns the name that ParseAlgorithm accepts.
func (a Algorithm) String() string {
	if !a.known() {
		return fmt.Sprintf("Algorithm(%d)", uint8(a))
	}
	return properties[a].name
}

// Size is the length of a digest in bytes.
func (a Algorithm) Size() int {
	if !a.known() {
		return 0
	}
	return properties[a].size
}

// Strong reports whether equal digests prove equal content: no collision is
// known or in sight.
func (a Algorithm) Strong() bool { return a.known() && properties[a].strong }

// A Digest is one checksum. Digests are comparable with ==.
type Digest struct {
	Alg Algorithm
	sum string // raw bytes, Alg.Size() of them
}

// New makes a digest of raw bytes. It returns an error when their number is
// not that of the algorithm.
func New(a Algorithm, raw []byte) (Digest, error) { return FromRaw(a, string(raw)) }

// FromRaw is New of a string, which the digest may be a part of.
func FromRaw(a Algorithm, raw string) (Digest, error) {
	if !a.known() || len(raw) != a.Size() {
		return Digest{}, fmt.Errorf("%s digest has %d bytes, want %d", a, len(raw), a.Size())
	}
	return Digest{a, raw}, nil
}

// Parse reads the hexadecimal spelling, in either case.
func Parse(a Algorithm, s string) (Digest, error) {
	if !a.known() || len(s) != 2*a.Size() {
		return Digest{}, fmt.Errorf("%s digest has %d hex digits, want %d", a, len(s), 2*a.Size())
	}
	var buf [64]byte
	n, err := hex.Decode(buf[:], []byte(s))
	if err != nil {
		return Digest{}, fmt.Errorf("%s digest %q is not hexadecimal", a, s)
	}
	return Digest{a, string(buf[:n])}, nil
}

// ParseBase64 reads the padded standard base64 spelling of OpenBSD's distinfo.
// Only the one canonical spelling of a digest is accepted.
func ParseBase64(a Algorithm, s string) (Digest, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return Digest{}, fmt.Errorf("%s digest %q is not base64", a, s)
	}
	return New(a, raw)
}

// nix32 are the digits of Nix: no e, o, t or u, so that fewer words come out.
const nix32 = "0123456789abcdfghijklmnpqrsvwxyz"

// ParseNix32 reads the spelling in base 32 of Nix and Guix: the digest is a number of
// which the first byte is the lowest, and its highest digit comes first. Only the one
// spelling of a digest is accepted.
func ParseNix32(a Algorithm, s string) (Digest, error) {
	if want := (8*a.Size() + 4) / 5; !a.known() || len(s) != want {
		return Digest{}, fmt.Errorf("%s digest has %d digits of base 32, want %d", a, len(s), want)
	}
	raw := make([]byte, a.Size())
	for n := range len(s) {
		v := strings.IndexByte(nix32, s[len(s)-1-n])
		i, shift := 5*n/8, 5*n%8
		high := v << shift >> 8
		if v < 0 || high != 0 && i+1 >= len(raw) {
			return Digest{}, fmt.Errorf("%s digest %q is not base 32 of Nix", a, s)
		}
		raw[i] |= byte(v << shift)
		if high != 0 {
			raw[i+1] |= byte(high)
		}
	}
	return New(a, raw)
}

// Compare orders digests by algorithm, then by their bytes.
func (d Digest) Compare(o Digest) int {
	return cmp.Or(cmp.Compare(d.Alg, o.Alg), cmp.Compare(d.sum, o.sum))
}

// IsZero reports whether d is no digest at all.
func (d Digest) IsZero() bool { return d.Alg == 0 }

// Raw returns the bytes of the digest.
func (d Digest) Raw() []byte { return []byte(d.sum) }

// Hex returns the lower-case hexadecimal spelling.
func (d Digest) Hex() string {
	var room [2 * 64]byte // of the longest digest
	return string(d.AppendHex(room[:0]))
}

// AppendHex appends what Hex returns.
func (d Digest) AppendHex(b []byte) []byte {
	for i := range len(d.sum) {
		b = append(b, hexDigits[d.sum[i]>>4], hexDigits[d.sum[i]&15])
	}
	return b
}

const hexDigits = "0123456789abcdef"

// Base64 returns the padded standard base64 spelling, which may contain "/".
func (d Digest) Base64() string { return base64.StdEncoding.EncodeToString([]byte(d.sum)) }

// String returns the algorithm and the hexadecimal digest.
func (d Digest) String() string { return d.Alg.String() + " " + d.Hex() }

// A Set holds at most one digest an algorithm, in the order of the algorithms.
// It is read-only once made. A nil Set is empty.
type Set []Digest

// NewSet makes a set of ds. ok is false when ds names an algorithm twice with
// different digests; the set then holds the first.
func NewSet(ds ...Digest) (s Set, ok bool) {
	s = slices.Clone(ds)
	slices.SortStableFunc(s, func(a, b Digest) int { return int(a.Alg) - int(b.Alg) })
	ok = true
	s = slices.CompactFunc(s, func(a, b Digest) bool {
		if a.Alg == b.Alg && a != b {
			ok = false
		}
		return a.Alg == b.Alg
	})
	return s, ok
}

// Get returns the digest by a, or the zero Digest.
func (s Set) Get(a Algorithm) Digest {
	for _, d := range s {
		if d.Alg == a {
			return d
		}
	}
	return Digest{}
}

// Strongest returns the digest to name content by: the first strong one, else
// the first, else the zero Digest.
func (s Set) Strongest() Digest {
	for _, d := range s {
		if d.Alg.Strong() {
			return d
		}
	}
	if len(s) > 0 {
		return s[0]
	}
	return Digest{}
}

// Algorithms returns the algorithms of s in order.
func (s Set) Algorithms() []Algorithm {
	as := make([]Algorithm, len(s))
	for i, d := range s {
		as[i] = d.Alg
	}
	return as
}

// Others returns the digests but SHA256, in hex by the names of their algorithms, or
// nil if there are none: so records of a content, which has SHA256 for a key, are
// written for other programs.
func (s Set) Others() map[string]string {
	var m map[string]string
	for _, d := range s {
		if d.Alg == SHA256 {
			continue
		}
		if m == nil {
			m = make(map[string]string, len(s))
		}
		m[d.Alg.String()] = d.Hex()
	}
	return m
}

// Verifiable reports whether this program can compute at least one digest of
// s. Content that is not verifiable is never archived.
func (s Set) Verifiable() bool {
	return slices.ContainsFunc(s, func(d Digest) bool { return d.Alg.Computable() })
}

// Union returns the digests of both sets; where both have an algorithm, that
// of s wins.
func (s Set) Union(o Set) Set {
	u, _ := NewSet(append(slices.Clip(s), o...)...)
	return u
}

// Share has s, which nobody else has yet, keep the digests that it has in common with o in
// the memory of o.
func (s Set) Share(o Set) {
	for i, d := range s {
		if g := o.Get(d.Alg); g == d {
			s[i] = g
		}
	}
}

// A Relation is what two sets say about the contents they describe.
type Relation int

const (
	// Unknown: no common algorithm.
	Unknown Relation = iota
	// Same: a strong algorithm agrees and none disagrees.
	Same
	// Weak: only algorithms with known collisions agree, and none disagrees.
	Weak
	// Different: at least one algorithm disagrees.
	Different
)

// Compare tells how the contents described by s and o relate.
func (s Set) Compare(o Set) Relation {
	r := Unknown
	for i, j := 0, 0; i < len(s) && j < len(o); {
		switch {
		case s[i].Alg < o[j].Alg:
			i++
		case s[i].Alg > o[j].Alg:
			j++
		default:
			switch {
			case s[i].sum != o[j].sum:
				return Different
			case s[i].Alg.Strong():
				r = Same
			case r == Unknown:
				r = Weak
			}
			i++
			j++
		}
	}
	return r
}

// Mismatch returns the first pair of digests by one algorithm that differ, for
// an error message; both are zero when there is none.
func (s Set) Mismatch(o Set) (want, got Digest) {
	for _, d := range s {
		if g := o.Get(d.Alg); !g.IsZero() && g != d {
			return d, g
		}
	}
	return Digest{}, Digest{}
}
