package gentoo

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A record is what the file of stamps has of a package. On disk are the fields in
// their order, then the distfiles, see appendDistfile. Numbers are varints; lists and
// strings have their lengths before them.
type record struct {
	// sum is the hash of the IDs.
	sum string
	// cat and pn are the names of the category and of the package.
	cat, pn string
	// manifest is 1 if there is one, or 0.
	manifest byte
	// unreferenced and nomirror are those of the unit.
	unreferenced, nomirror int
	// cpvs are the ebuilds, or the entries of the cache, as category/name-version.
	cpvs []string
}

// appendRecord appends that of u, which was scanned.
func appendRecord(b []byte, u *unit) []byte {
	b = append(b, u.stamp.sum[:]...)
	b = appendString(appendString(b, u.cat), u.pn)
	b = append(b, 0)
	if u.manifest {
		b[len(b)-1] = 1
	}
	b = binary.AppendUvarint(b, uint64(u.unreferenced))
	b = binary.AppendUvarint(b, uint64(u.nomirror))
	b = binary.AppendUvarint(b, uint64(len(u.files)))
	number := make(map[string]int, len(u.files))
	for i, file := range u.files {
		cpv := u.cat + "/" + strings.TrimSuffix(file, ".ebuild")
		number[cpv] = i
		b = appendString(b, cpv)
	}
	b = binary.AppendUvarint(b, uint64(len(u.distfiles)))
	for _, d := range u.distfiles {
		b = appendDistfile(b, d, number)
	}
	return b
}

// appendDistfile appends a distfile: its name, its size and one more, the restriction
// and its reason, the digests as the numbers of the algorithms and raw bytes, the
// URIs, and the owners by their numbers among the ebuilds.
func appendDistfile(b []byte, d *catalog.Distfile, number map[string]int) []byte {
	b = appendString(b, string(d.Name))
	b = binary.AppendUvarint(b, uint64(d.Size+1))
	b = appendString(appendString(b, string(d.Restrict)), d.Reason)
	b = binary.AppendUvarint(b, uint64(len(d.Digests)))
	for _, g := range d.Digests {
		b = append(append(b, byte(g.Alg)), g.Raw()...)
	}
	b = binary.AppendUvarint(b, uint64(len(d.Sources)))
	for i := range d.Sources {
		b = appendString(b, d.Sources[i].URI)
	}
	b = binary.AppendUvarint(b, uint64(len(d.Owners)))
	for _, o := range d.Owners {
		b = binary.AppendUvarint(b, uint64(number[o.Package]))
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// frame writes a record with its length and its checksum. The error of w stays.
func frame(w *bufio.Writer, r []byte) {
	head := binary.AppendUvarint(w.AvailableBuffer(), uint64(len(r)))
	_, _ = w.Write(binary.LittleEndian.AppendUint32(head, checksum(r)))
	_, _ = w.Write(r)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// A cursor reads what was appended. Once it is bad there is nothing left, and it
// reads zeros.
type cursor struct {
	rest string
	bad  bool
	room []byte // of unframe
}

func (c *cursor) fail() { c.rest, c.bad = "", true }

func (c *cursor) take(n int) string {
	if n > len(c.rest) {
		c.fail()
		return ""
	}
	s := c.rest[:n]
	c.rest = c.rest[n:]
	return s
}

func (c *cursor) byte() byte {
	if s := c.take(1); s != "" {
		return s[0]
	}
	return 0
}

func (c *cursor) uvarint() (v uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := c.byte()
		if v |= uint64(b&0x7f) << shift; b < 0x80 {
			return v
		}
	}
	c.fail()
	return 0
}

// number reads how many things there are that do not follow.
func (c *cursor) number() int {
	v := c.uvarint()
	if v > math.MaxInt32 {
		c.fail()
		return 0
	}
	return int(v)
}

// count reads how many things follow, each of a byte or more.
func (c *cursor) count() int {
	v := c.uvarint()
	if v > uint64(len(c.rest)) {
		c.fail()
		return 0
	}
	return int(v)
}

func (c *cursor) string() string { return c.take(c.count()) }

// unframe reads the next record that has its checksum, and of which unit it is.
func (c *cursor) unframe() (text string, of unit) {
	for c.rest != "" {
		n := c.uvarint()
		sum := c.take(4)
		text := c.take(int(min(n, maxStamps)))
		c.room = append(c.room[:0], text...)
		if r := (cursor{rest: text}); !c.bad && binary.LittleEndian.Uint32([]byte(sum)) == checksum(c.room) {
			r.take(stampSize)
			return text, unit{cat: r.string(), pn: r.string()}
		}
	}
	c.fail()
	return "", unit{}
}

// record reads a record up to the distfiles. Its ebuilds are put into cpvs.
func (c *cursor) record(cpvs []string) (r record) {
	r = record{sum: c.take(stampSize), cat: c.string(), pn: c.string(), manifest: c.byte(), unreferenced: c.number(), nomirror: c.number(), cpvs: cpvs[:0]}
	for range c.count() {
		cpv := c.string()
		if !strings.HasPrefix(cpv, r.cat+"/"+r.pn+"-") || strings.Count(cpv, "/") > 1 {
			c.fail()
		}
		r.cpvs = append(r.cpvs, cpv)
	}
	if r.manifest > 1 {
		c.fail()
	}
	return r
}

// A stock has things to be filled in, many of which are made at a time.
type stock[T any] struct{ left []T }

func (s *stock[T]) take(n int) []T {
	if n > len(s.left) {
		s.left = make([]T, max(n, 1<<10))
	}
	ts := s.left[:n:n]
	s.left = s.left[n:]
	return ts
}

// A stocks has what distfiles are made of.
type stocks struct {
	distfiles stock[catalog.Distfile]
	pointers  stock[*catalog.Distfile]
	digests   stock[digest.Digest]
	sources   stock[catalog.Source]
	owners    stock[catalog.Owner]
	files     stock[string]
}

// distfile reads what appendDistfile appended of a package with the ebuilds cpvs.
func (w *worker) distfile(c *cursor, d *catalog.Distfile, cpvs []string) {
	name, err := catalog.ParseName(c.string())
	size := c.uvarint()
	*d = catalog.Distfile{Name: name, Size: int64(size) - 1, Restrict: catalog.Restriction(c.string()), Reason: c.string(), Kind: catalog.Gentoo}
	if err != nil || size > 1<<63 {
		c.fail()
	}
	switch d.Restrict {
	case "", catalog.RestrictMirror, catalog.RestrictFetch:
	default:
		c.fail()
	}
	if n := c.count(); n > 0 {
		d.Digests = w.stocks.digests.take(n)
	}
	for i := range d.Digests {
		alg := digest.Algorithm(c.byte())
		g, err := digest.FromRaw(alg, c.take(alg.Size()))
		if d.Digests[i] = g; err != nil || i > 0 && d.Digests[i-1].Alg >= alg {
			c.fail()
		}
	}
	d.Sources = w.stocks.sources.take(c.count())
	for i := range d.Sources {
		d.Sources[i] = w.source(c.string())
	}
	d.Owners = w.stocks.owners.take(c.count())
	for i := range d.Owners {
		n := c.uvarint()
		if n >= uint64(len(cpvs)) {
			c.fail()
			return
		}
		d.Owners[i] = catalog.Owner{Repo: w.t.repo.name, Package: cpvs[n]}
	}
}
