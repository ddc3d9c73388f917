package digest

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"hash"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

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
// io.Writer whose Write never fails. It must not be used concurrently, but while the
// program leaves cores idle it computes the digests of large pieces at the same time,
// and those of a long stream behind the writer.
type Hasher struct {
	algs   []Algorithm
	hashes []hash.Hash
	n      int64
	pipe   *pipe // of a long stream
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

// worthHelp is the size of pieces that are worth another goroutine: to start one and
// to wait for it takes some 5 µs, the fastest digest of so much 40.
const worthHelp = 64 << 10

// hashing is how many goroutines of the program compute digests of large pieces.
var hashing atomic.Int32

// Write adds p to the stream. Goroutines of it end by themselves when they have nothing
// to do, those of a short stream before it returns.
func (h *Hasher) Write(p []byte) (int, error) {
	h.n += int64(len(p))
	if h.n > worthPipe && len(p) >= worthHelp && len(h.hashes) > 1 {
		if h.pipe == nil {
			h.pipe = newPipe(h.hashes)
		}
		if h.pipe.write(p) {
			return len(p), nil
		}
	}
	h.settle()
	if len(p) < worthHelp {
		for _, w := range h.hashes {
			w.Write(p)
		}
		return len(p), nil
	}
	var next atomic.Int32
	next.Store(int32(len(h.hashes)))
	work := func() {
		// From the end: the first is SHA256, the cheapest, and fills the gap.
		for i := next.Add(-1); i >= 0; i = next.Add(-1) {
			h.hashes[i].Write(p)
		}
		hashing.Add(-1)
	}
	hashing.Add(1)
	var helpers sync.WaitGroup
	for range len(h.hashes) - 1 {
		if hashing.Add(1) > int32(runtime.GOMAXPROCS(0)) {
			hashing.Add(-1)
			break
		}
		helpers.Go(work)
	}
	work()
	helpers.Wait()
	return len(p), nil
}

// settle returns when all that was written is hashed.
func (h *Hasher) settle() {
	if h.pipe != nil {
		h.pipe.wait()
	}
}

// Size is the number of bytes written so far.
func (h *Hasher) Size() int64 { return h.n }

// Reset forgets what was written.
func (h *Hasher) Reset() {
	h.settle()
	h.pipe = nil
	for _, w := range h.hashes {
		w.Reset()
	}
	h.n = 0
}

// Sum returns the digests of what was written so far; more may be written
// after it.
func (h *Hasher) Sum() Set {
	h.settle()
	s := make(Set, len(h.hashes))
	room := make([]byte, 0, 64) // for the longest digest
	for i, w := range h.hashes {
		s[i] = Digest{h.algs[i], string(w.Sum(room))}
	}
	slices.SortFunc(s, Digest.Compare)
	return s
}
