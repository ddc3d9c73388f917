package ledger

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"distkeep/catalog/digest"
)

// A coder writes the fields of a record to b, or reads them from it: there is one list
// of the fields of each kind of record for both, its method code. Numbers are varints,
// texts follow their length, lists their number.
//
// What it reads may be anything. It never reads behind the end, and makes nothing that
// is larger than what is left to read. Once something is wrong, all is: see end.
type coder struct {
	b       []byte
	writing bool
	err     error
	mem     *pool
}

// write returns the value of r in the binary form.
func write(r record) []byte {
	c := coder{b: append(make([]byte, 0, 320), versionBinary), writing: true}
	r.code(&c)
	return c.b
}

// end returns an error unless the record was read up to its end.
func (c *coder) end() error {
	if c.err == nil && len(c.b) > 0 {
		c.fail(errFields)
	}
	return c.err
}

var errFields = fmt.Errorf("%w: its fields are not those of its kind", errRecord)

func (c *coder) fail(err error) {
	c.b = nil
	if c.err == nil {
		c.err = err
	}
}

// take returns the next n bytes to read.
func (c *coder) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.fail(errFields)
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *coder) uint(p *uint64) {
	if c.writing {
		c.b = binary.AppendUvarint(c.b, *p)
		return
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail(errFields)
		return
	}
	*p, c.b = v, c.b[n:]
}

func (c *coder) int(p *int64) {
	if c.writing {
		c.b = binary.AppendVarint(c.b, *p)
		return
	}
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail(errFields)
		return
	}
	*p, c.b = v, c.b[n:]
}

func (c *coder) bool(p *bool) {
	var v uint64
	if *p {
		v = 1
	}
	c.uint(&v)
	if v > 1 {
		c.fail(errFields)
	}
	*p = v == 1
}

// text is for a string of any type.
func text[S ~string](c *coder, p *S) {
	n := uint64(len(*p))
	c.uint(&n)
	if c.writing {
		c.b = append(c.b, *p...)
	} else if b := c.take(n); len(b) > 0 {
		*p = S(c.mem.text(b))
	}
}

// list is for the elements of a list, each of which takes a byte at least.
func list[E any](c *coder, p *[]E, each func(*E)) {
	n := uint64(len(*p))
	c.uint(&n)
	switch {
	case c.writing:
	case n > uint64(len(c.b)):
		c.fail(errFields)
	case n > 0:
		*p = make([]E, 0, min(n, 16))
	}
	for i := range n {
		if !c.writing {
			if c.err != nil {
				return
			}
			*p = append(*p, *new(E))
		}
		each(&(*p)[i])
	}
}

// seconds and nanos are for a time as precise as that.
func (c *coder) seconds(p *time.Time) {
	s := p.Unix()
	c.int(&s)
	*p = secs(s)
}

func (c *coder) nanos(p *time.Time) {
	ns := p.UnixNano()
	c.int(&ns)
	*p = nanos(ns)
}

// moment is for a time that may be zero, and is one that JSON can have.
func (c *coder) moment(p *time.Time) {
	s, ns := p.Unix(), uint64(p.Nanosecond())
	c.int(&s)
	c.uint(&ns)
	if c.writing {
		return
	}
	if *p = time.Unix(s, int64(ns)).UTC(); ns >= uint64(time.Second) || p.Year() < 0 || p.Year() > 9999 {
		c.fail(errFields)
	}
}

// sha256 is for a digest that every record of its kind has.
func (c *coder) sha256(p *digest.Digest) {
	if c.writing {
		c.b = append(c.b, p.Raw()...)
	} else if b := c.take(uint64(digest.SHA256.Size())); b != nil {
		*p, _ = digest.FromRaw(digest.SHA256, c.mem.text(b))
	}
}

// marks are what stands for an algorithm before a digest. They stay what they are.
var marks = [...]byte{
	digest.SHA512: 1, digest.BLAKE2B: 2, digest.BLAKE2S: 3, digest.SHA3_256: 4, digest.SHA3_512: 5,
	digest.SHA1: 6, digest.MD5: 7, digest.BLAKE3: 8, digest.RMD160: 9, digest.WHIRLPOOL: 10,
}

var algorithms = func() (as [256]digest.Algorithm) {
	for a, mark := range marks {
		if mark != 0 {
			as[mark] = digest.Algorithm(a)
		}
	}
	return as
}()

// others is for the digests of a content but SHA256, which is in the key: the set that
// they are read into has it already.
func (c *coder) others(p *digest.Set) {
	n := uint64(max(len(*p)-1, 0))
	c.uint(&n)
	if c.writing {
		for _, d := range *p {
			if d.Alg != digest.SHA256 {
				c.b = append(append(c.b, marks[d.Alg]), d.Raw()...)
			}
		}
		return
	}
	if n >= uint64(len(marks)) {
		c.fail(errFields)
		return
	}
	set := c.mem.grow(*p, int(n))
	for range n {
		mark := c.take(1)
		if mark == nil {
			return
		}
		a := algorithms[mark[0]]
		d, err := digest.FromRaw(a, c.mem.text(c.take(uint64(a.Size()))))
		if err != nil || d.Alg <= set[len(set)-1].Alg {
			c.fail(errFields)
			return
		}
		set = append(set, d)
	}
	*p = set
}

// A pool holds the parts of many records in a few pieces of memory. Nil makes each
// part of its own.
type pool struct {
	last    coder
	texts   strings.Builder
	sets    digest.Set
	records []Distfile
}

// coder returns a coder that reads b, until the next one is asked for.
func (p *pool) coder(b []byte) *coder {
	if p == nil {
		return &coder{b: b}
	}
	p.last = coder{b: b, mem: p}
	return &p.last
}

func (p *pool) text(b []byte) string {
	const piece = 64 << 10
	if p == nil || len(b) > piece/16 {
		return string(b)
	}
	if p.texts.Cap()-p.texts.Len() < len(b) {
		p.texts = strings.Builder{}
		p.texts.Grow(piece)
	}
	at := p.texts.Len()
	p.texts.Write(b)
	return p.texts.String()[at:]
}

// grow returns s with room for n more digests: the set that was made last grows where
// it is.
func (p *pool) grow(s digest.Set, n int) digest.Set {
	if p == nil {
		return slices.Grow(s, n)
	}
	end := len(p.sets)
	last := end > 0 && len(s) > 0 && &s[len(s)-1] == &p.sets[end-1]
	if !last || end+n > cap(p.sets) {
		if end+len(s)+n > cap(p.sets) {
			p.sets = make(digest.Set, 0, 1024)
		}
		p.sets = append(p.sets, s...)
	}
	begin := len(p.sets) - len(s)
	p.sets = p.sets[:len(p.sets)+n]
	return p.sets[begin : begin+len(s) : len(p.sets)]
}

func (p *pool) distfile() *Distfile {
	if p == nil {
		return new(Distfile)
	}
	if len(p.records) == cap(p.records) {
		p.records = make([]Distfile, 0, 256)
	}
	p.records = append(p.records, Distfile{})
	return &p.records[len(p.records)-1]
}
