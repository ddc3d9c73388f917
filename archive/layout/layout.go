// Package layout turns the names of distfiles into paths below the published
// directory of an archive: GLEP 75 (layout.conf and its structures flat,
// filename-hash and content-hash) and OpenBSD's by_cipher.
//
// It only computes paths, always relative and with slashes; [Load] and
// [ParseConf] are the only functions here that read anything.
package layout

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

type kind uint8

const (
	flat kind = iota
	filenameHash
	contentHash
)

// A Layout is one way to make a path of a name. Layouts are comparable with
// ==; the zero value is the flat layout.
type Layout struct {
	kind kind
	alg  digest.Algorithm
	// cuts has one byte a directory level: its number of hex digits. A
	// string keeps Layout comparable.
	cuts string
}

// Flat returns the layout in which the path is the name.
func Flat() Layout { return Layout{} }

// Parse reads one structure as layout.conf has it after "0=": "flat",
// "filename-hash BLAKE2B 8", "content-hash SHA512 8:8:8".
//
// A cutoff is a number of bits of the digest. GLEP 75 wants positive
// multiples of four, and all of them together cannot use more bits than the
// digest has. The name of the algorithm is in capitals: portage rejects any
// other spelling. An algorithm that this program cannot compute is an error,
// because files of other trees would have no path.
func Parse(spec string) (Layout, error) {
	f := strings.Fields(spec)
	if len(f) == 0 {
		return Layout{}, fmt.Errorf("layout is empty, want flat, filename-hash or content-hash")
	}
	l := Layout{}
	switch f[0] {
	case "flat":
		if len(f) != 1 {
			return Layout{}, fmt.Errorf("layout %q: flat takes no arguments", spec)
		}
		return l, nil
	case "filename-hash":
		l.kind = filenameHash
	case "content-hash":
		l.kind = contentHash
	default:
		return Layout{}, fmt.Errorf("layout %q is not known, want flat, filename-hash or content-hash", spec)
	}
	if len(f) != 3 {
		return Layout{}, fmt.Errorf("layout %q: want an algorithm and its cutoffs, as in %s BLAKE2B 8", spec, f[0])
	}
	alg, ok := digest.ParseAlgorithm(f[1])
	if !ok || !alg.Computable() {
		return Layout{}, fmt.Errorf("layout %q: algorithm %q cannot be computed, try BLAKE2B or SHA512", spec, f[1])
	}
	l.alg = alg
	cuts, err := parseCuts(f[2], alg)
	if err != nil {
		return Layout{}, fmt.Errorf("layout %q: %w", spec, err)
	}
	l.cuts = cuts
	return l, nil
}

func parseCuts(s string, alg digest.Algorithm) (string, error) {
	var cuts []byte
	sum := 0
	for c := range strings.SplitSeq(s, ":") {
		bits, err := strconv.ParseUint(c, 10, 16)
		if err != nil || bits == 0 || bits%4 != 0 {
			return "", fmt.Errorf("cutoff %q is not a positive multiple of 4 bits", c)
		}
		if sum += int(bits); sum > 8*alg.Size() {
			return "", fmt.Errorf("cutoffs %s need more than the %d bits of %s", s, 8*alg.Size(), alg)
		}
		cuts = append(cuts, byte(bits/4))
	}
	return string(cuts), nil
}

// String returns the canonical spelling, which Parse accepts.
func (l Layout) String() string {
	if l.kind == flat {
		return "flat"
	}
	var b strings.Builder
	b.WriteString("filename-hash ")
	if l.kind == contentHash {
		b.Reset()
		b.WriteString("content-hash ")
	}
	b.WriteString(l.alg.String())
	sep := byte(' ')
	for i := range len(l.cuts) {
		b.WriteByte(sep)
		b.WriteString(strconv.Itoa(4 * int(l.cuts[i])))
		sep = ':'
	}
	return b.String()
}

// IsContentHash reports whether paths depend on the content alone.
func (l Layout) IsContentHash() bool { return l.kind == contentHash }

// Algorithm returns the digest of the content that Path needs. ok is false for
// layouts that need none.
func (l Layout) Algorithm() (a digest.Algorithm, ok bool) {
	if l.kind != contentHash {
		return 0, false
	}
	return l.alg, true
}

// Path returns where the content with the digests sums is published under
// name. ok is false when there is no such path: a content-hash layout lacks
// its digest in sums, or the name is Reserved in a flat layout.
//
// The paths are those of portage: the directories are the leading hex digits
// of the digest, each level cut off what the level above has used; the last
// element is the whole name for filename-hash and the whole digest for
// content-hash. What filename-hash hashes are the bytes of the whole name, DIST_SUBDIR
// included.
func (l Layout) Path(name catalog.Name, sums digest.Set) (path string, ok bool) {
	switch l.kind {
	case filenameHash:
		return l.join(l.alg.Sum([]byte(name)).Hex(), string(name)), true
	case contentHash:
		d := sums.Get(l.alg)
		if d.IsZero() {
			return "", false
		}
		hex := d.Hex()
		return l.join(hex, hex), true
	}
	if Reserved(name) {
		return "", false
	}
	return string(name), true
}

// join cuts the directories off hex and puts base below them.
func (l Layout) join(hex, base string) string {
	var b strings.Builder
	b.Grow(len(hex) + len(l.cuts) + len(base))
	for i := range len(l.cuts) {
		n := int(l.cuts[i])
		b.WriteString(hex[:n])
		b.WriteByte('/')
		hex = hex[n:]
	}
	b.WriteString(base)
	return b.String()
}

// NameOf is the inverse of Path: it returns the name whose path this is. ok is
// false when path is no path of this layout, which includes a file in the
// wrong directory, and always for content-hash.
func (l Layout) NameOf(path string) (name catalog.Name, ok bool) {
	rest := path
	switch l.kind {
	case contentHash:
		return "", false
	case filenameHash:
		for i := range len(l.cuts) {
			n := int(l.cuts[i])
			if len(rest) <= n || rest[n] != '/' {
				return "", false
			}
			rest = rest[n+1:]
		}
	}
	name, err := catalog.ParsePath(rest)
	if err != nil {
		return "", false
	}
	if p, ok := l.Path(name, nil); !ok || p != path {
		return "", false
	}
	return name, true
}

// NameOf returns the name whose path in one of layouts rel is. In a flat layout a
// name has directories only if nested: such files may be an operator's own.
func NameOf(layouts []Layout, rel string, nested bool) (catalog.Name, bool) {
	isFlat := false
	for _, l := range layouts {
		if l == Flat() {
			isFlat = true
		} else if name, ok := l.NameOf(rel); ok {
			return name, true
		}
	}
	dir := path.Dir(rel)
	if !isFlat || dir != "." && (!nested || slices.ContainsFunc(layouts, func(l Layout) bool { return l.IsContentHash() && l.InBuckets(dir) })) {
		return "", false
	}
	return Flat().NameOf(rel)
}

// hasBucket reports whether l may have the directory s below directories of the
// lengths cuts.
func (l Layout) hasBucket(cuts, s string) bool {
	n := len(cuts)
	return n < len(l.cuts) && l.cuts[:n] == cuts && isHex(s, int(l.cuts[n]))
}

// isContent reports whether l is by content, and could have another one at the
// path that the layout o has for name, or at one that is a directory of it. first
// is the first component of name.
func (l Layout) isContent(o Layout, name catalog.Name, first string) bool {
	return l.kind == contentHash && l.cuts == o.cuts && isHex(first, 2*l.alg.Size()) &&
		l.join(first, first) == o.join(o.alg.Sum([]byte(name)).Hex(), first)
}

func isHex(s string, digits int) bool {
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

// InBuckets reports whether dir, a path relative to the published tree, may be
// one of the directories that l distributes files over, on any level.
func (l Layout) InBuckets(dir string) bool {
	parts := strings.Split(dir, "/")
	if len(parts) > len(l.cuts) {
		return false
	}
	for i, p := range parts {
		if !isHex(p, int(l.cuts[i])) {
			return false
		}
	}
	return true
}

// obeyed reports whether web servers give a meaning to name, such as .htaccess, or
// to a directory in it, such as .well-known.
func obeyed(name catalog.Name) bool {
	return strings.HasPrefix(string(name), ".") || strings.Contains(string(name), "/.")
}

// Reserved reports whether name is one that the archive needs itself beside
// the distfiles of a flat layout: layout.conf, distinfo, history, by_cipher,
// lastsync, lastupdate, generations, or anything below such a name. A hashed layout puts a
// directory in front and may use every name.
func Reserved(name catalog.Name) bool {
	first, _, _ := strings.Cut(string(name), "/")
	return first == ByCipherDir || first == GenerationsDir || slices.Contains(SmallFiles, first)
}

// SmallFiles are the files of the published tree that are about it, beside those in
// GenerationsDir.
var SmallFiles = []string{ConfFile, "distinfo", "history", "lastsync", "lastupdate"}

// GenerationsDir is the directory of the published tree that tells archives downstream
// what has changed.
const GenerationsDir = "generations"

// ByCipherDir is the directory of the published tree in which every content is found
// by its digest.
const ByCipherDir = "by_cipher"

// InByCipher reports whether rel, a path in a published tree, is that directory or
// below it.
func InByCipher(rel string) bool { return strings.HasPrefix(rel+"/", ByCipherDir+"/") }

// CipherDir is the directory of all paths of ByCipher.
const CipherDir = ByCipherDir + "/sha256"

// ByCipher returns the path of a content under its SHA-256 in hex:
// by_cipher/sha256/ab/<digest>/<base>. base is one component.
func ByCipher(sha256 digest.Digest, base string) string {
	hex := sha256.Hex()
	return ByCipherDir + "/sha256/" + hex[:2] + "/" + hex + "/" + base
}

// ParseByCipher is the inverse of ByCipher. ok is false for every other path.
func ParseByCipher(rel string) (sha256 digest.Digest, base catalog.Name, ok bool) {
	dir, last := path.Split(rel)
	sum, err := digest.Parse(digest.SHA256, path.Base(dir))
	if err != nil {
		return digest.Digest{}, "", false
	}
	base, err = catalog.ParseName(last)
	return sum, base, err == nil && ByCipher(sum, last) == rel
}

// IsCipher reports whether rel is the directory of one content below by_cipher, by its
// hex digest.
func IsCipher(rel string) bool {
	below, ok := strings.CutPrefix(rel, CipherDir+"/")
	if !ok || len(below) != len("ab/")+2*sha256.Size || below[:3] != below[3:5]+"/" {
		return false
	}
	return strings.Trim(below[3:], "0123456789abcdef") == ""
}

// ByCipherBase64 returns the path under which bsd.port.mk looks for a content
// with REFETCH: the first two characters of the base64 digest, the digest, the
// base. As in dpb, a "/" of base64 is a directory; several together, or one at
// the start, are one, as they are to a file system.
func ByCipherBase64(sha256 digest.Digest, base string) string {
	b64 := sha256.Base64()
	p := ByCipherDir + "/sha256/" + b64[:2] + "/" + b64 + "/" + base
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}
