package serve

import (
	"bytes"
	"encoding/binary"
	"iter"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// records are contents in as few bytes as they need, in memory that no collector has to
// look into: there are many of them, of which a request is about one.
//
// A record has the size, the time of the file in nanoseconds, or noTime, whether it is
// named, and the length of its digests; then for each of these the algorithm and the raw
// bytes; then the name, the kind, the owner, the origin and the shard, each behind its length.
type records struct {
	chunks [][]byte // of chunkSize, or of one long record
	at     []uint32 // where each begins: the chunk, and the place in it
}

const (
	chunkBits = 20
	chunkSize = 1 << chunkBits

	sizeAt, timeAt, namedAt, lengthAt, sumsAt = 0, 8, 16, 17, 19

	noTime = -1 << 63
)

// add appends a record.
func (r *records) add(c *content) {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.Size))
	nano := int64(noTime)
	if !c.ModTime.IsZero() {
		nano = c.ModTime.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(nano))
	named := byte(0)
	if c.Named {
		named = 1
	}
	length := 0
	for _, d := range c.Digests {
		length += 1 + d.Alg.Size()
	}
	b = binary.BigEndian.AppendUint16(append(b, named), uint16(length))
	for _, d := range c.Digests {
		b = append(append(b, byte(d.Alg)), d.Raw()...)
	}
	for _, s := range []string{string(c.Name), string(c.Kind), c.owner, c.origin, c.shard} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	last := len(r.chunks) - 1
	if last < 0 || cap(r.chunks[last])-len(r.chunks[last]) < len(b) {
		r.chunks = append(r.chunks, make([]byte, 0, max(chunkSize, len(b))))
		last++
	}
	r.at = append(r.at, uint32(last<<chunkBits|len(r.chunks[last])))
	r.chunks[last] = append(r.chunks[last], b...)
}

// record returns the bytes from the i-th content on.
func (r *records) record(i int) []byte {
	at := r.at[i]
	return r.chunks[at>>chunkBits][at&(chunkSize-1):]
}

// get returns the i-th content.
func (r *records) get(i int) *content {
	b := r.record(i)
	c := &content{owner: string(r.field(i, 2)), origin: string(r.field(i, 3)), shard: string(r.field(i, 4))}
	c.Content = layout.Content{
		Name: catalog.Name(r.name(i)), Kind: catalog.Kind(r.field(i, 1)),
		Size: int64(binary.BigEndian.Uint64(b[sizeAt:])), Named: b[namedAt] == 1,
	}
	if nano := int64(binary.BigEndian.Uint64(b[timeAt:])); nano != noTime {
		c.ModTime = time.Unix(0, nano).UTC()
	}
	var sums []digest.Digest
	for alg, raw := range r.sums(i) {
		if d, err := digest.New(alg, raw); err == nil {
			sums = append(sums, d)
		}
	}
	c.Digests, _ = digest.NewSet(sums...)
	return c
}

// sums yields the digests of the i-th content.
func (r *records) sums(i int) iter.Seq2[digest.Algorithm, []byte] {
	return func(yield func(digest.Algorithm, []byte) bool) {
		b := r.record(i)
		for b = b[sumsAt : sumsAt+binary.BigEndian.Uint16(b[lengthAt:])]; len(b) > 0; {
			alg := digest.Algorithm(b[0])
			if !yield(alg, b[1:1+alg.Size()]) {
				return
			}
			b = b[1+alg.Size():]
		}
	}
}

// sum returns the digest of an algorithm, or nil.
func (r *records) sum(i int, of digest.Algorithm) []byte {
	for alg, raw := range r.sums(i) {
		if alg == of {
			return raw
		}
	}
	return nil
}

// field returns the n-th text of the i-th content.
func (r *records) field(i, n int) []byte {
	b := r.record(i)
	for b = b[sumsAt+binary.BigEndian.Uint16(b[lengthAt:]):]; ; n-- {
		size, head := binary.Uvarint(b)
		if n == 0 {
			return b[head : head+int(size)]
		}
		b = b[head+int(size):]
	}
}

func (r *records) name(i int) []byte   { return r.field(i, 0) }
func (r *records) origin(i int) []byte { return r.field(i, 3) }

// base is the last component of a name.
func base(name []byte) []byte { return name[bytes.LastIndexByte(name, '/')+1:] }
