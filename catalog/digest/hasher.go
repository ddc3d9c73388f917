package digest

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"hash"
	"slices"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/blake2s"
)

// Computable reports whether this program can compute a. RIPEMD-160,
// WHIRLPOOL and BLAKE3 are only parsed: no tree relies on the first two alone,
// and portage has never written the third.
func (a Algorithm) Computable() bool {
	switch a {
	case SHA256, SHA512, BLAKE2B, BLAKE2S, SHA3_256, SHA3_512, SHA1, MD5:
		return true
	}
	return false
}

func (a Algorithm) hash() hash.Hash {
	switch a {
	case SHA256:
		return sha256.New()
	case SHA512:
		return sha512.New()
	case BLAKE2B:
		h, _ := blake2b.New512(nil) // fails for a key that is too long only
		return h
	case BLAKE2S:
		h, _ := blake2s.New256(nil)
		return h
	case SHA3_256:
		return sha3.New256()
	case SHA3_512:
		return sha3.New512()
	case SHA1:
		return sha1.New()
	case MD5:
		return md5.New()
	}
	return nil
}

// Sum returns the digest of data by a, or the zero Digest when a cannot be
// computed.
func (a Algorithm) Sum(data []byte) Digest {
	h := a.hash()
	if h == nil {
		return Digest{}
	}
	h.Write(data)
	return Digest{a, string(h.Sum(nil))}
}

// A Hasher computes several digests of one stream in one pass. It is an
// io.Writer whose Write never fails. It must not be used concurrently.
type Hasher struct {
	algs   []Algorithm
	hashes []hash.Hash
	n      int64
}

// NewHasher returns a Hasher for those of the algorithms that can be computed,
// and always for SHA256, under which the archive keeps every content.
func NewHasher(algs ...Algorithm) *Hasher {
	h := new(Hasher)
	for _, a := range append([]Algorithm{SHA256}, algs...) {
		if a.Computable() && !slices.Contains(h.algs, a) {
			h.algs = append(h.algs, a)
			h.hashes = append(h.hashes, a.hash())
		}
	}
	return h
}

// Write adds p to the stream.
func (h *Hasher) Write(p []byte) (int, error) {
	for _, w := range h.hashes {
		w.Write(p)
	}
	h.n += int64(len(p))
	return len(p), nil
}

// Size is the number of bytes written so far.
func (h *Hasher) Size() int64 { return h.n }

// Reset forgets what was written.
func (h *Hasher) Reset() {
	for _, w := range h.hashes {
		w.Reset()
	}
	h.n = 0
}

// Sum returns the digests of what was written so far; more may be written
// after it.
func (h *Hasher) Sum() Set {
	s := make(Set, len(h.hashes))
	for i, w := range h.hashes {
		s[i] = Digest{h.algs[i], string(w.Sum(nil))}
	}
	s, _ = NewSet(s...)
	return s
}
