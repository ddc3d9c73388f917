package gentoo

import (
	"bytes"
	"fmt"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A dist is what one package directory knows about one file name.
type dist struct {
	name    catalog.Name
	size    int64 // -1 where the Manifest does not say
	digests digest.Set
	line    int  // of the Manifest; 0 when it has no such line
	broken  bool // the line is there and is reported as bad
	wanted  bool // by some SRC_URI
	crowded bool // it has more URIs than are looked at

	// open and shut are the distfiles made of it so far: one for the
	// packages that allow it to be mirrored, one for those that do not.
	open, shut *catalog.Distfile

	fate fate // in the ebuild at hand
}

// A manifest holds the files of one package directory. It is used for one
// directory after the other.
type manifest struct {
	dists  []dist
	byName map[string]int
	sums   []digest.Digest
}

func (m *manifest) reset() {
	m.dists = m.dists[:0]
	// Clearing a map costs what its largest content did.
	if len(m.byName) > 512 || m.byName == nil {
		m.byName = make(map[string]int)
	} else {
		clear(m.byName)
	}
}

// find returns the index of name, or -1.
func (m *manifest) find(name []byte) int {
	if i, ok := m.byName[string(name)]; ok {
		return i
	}
	return -1
}

func (m *manifest) add(d dist) int {
	m.byName[string(d.name)] = len(m.dists)
	m.dists = append(m.dists, d)
	return len(m.dists) - 1
}

// parse adds the DIST lines of a Manifest (GLEP 74) and calls bad for those
// that are wrong; the others count all the same. Lines of another type are
// ignored, and with them those of a signature, and so are unknown algorithms.
// A line without any digest is accepted: old trees have some.
func (m *manifest) parse(b []byte, bad func(line int, msg string)) {
	for n := 1; len(b) > 0; n++ {
		line, rest, _ := bytes.Cut(b, newline)
		b = rest
		typ, line := cutField(line)
		if string(typ) != "DIST" {
			continue
		}
		m.parseDist(line, n, bad)
	}
}

var newline = []byte{'\n'}

// parseDist parses a line after its type: a name, a size, and pairs of an
// algorithm and a digest.
func (m *manifest) parseDist(line []byte, n int, bad func(line int, msg string)) {
	word, line := cutField(line)
	name, err := catalog.ParseName(string(word))
	if err != nil {
		bad(n, err.Error())
		return
	}
	d := dist{name: name, line: n}
	word, line = cutField(line)
	var msg string
	if d.size, msg = parseSize(word); msg == "" {
		d.digests, msg = m.parseDigests(line)
	}
	if msg != "" {
		bad(n, string(name)+": "+msg)
		d.size, d.digests, d.broken = -1, nil, true
	}
	i, again := m.byName[string(name)]
	if !again {
		m.add(d)
		return
	}
	old := &m.dists[i]
	if d.broken || old.broken {
		return
	}
	if old.size != d.size || old.digests.Compare(d.digests) == digest.Different {
		bad(n, fmt.Sprintf("%s: another size or digest than in line %d", name, old.line))
		return
	}
	old.digests = old.digests.Union(d.digests)
}

// parseSize parses a decimal number, without the signs and underscores that
// strconv allows. msg says what is wrong.
func parseSize(word []byte) (size int64, msg string) {
	for _, b := range word {
		if !digitByte(b) || size > (1<<63-1-9)/10 {
			return 0, fmt.Sprintf("bad size %.40q", word)
		}
		size = size*10 + int64(b-'0')
	}
	if len(word) == 0 {
		return 0, "no size"
	}
	return size, ""
}

func (m *manifest) parseDigests(line []byte) (s digest.Set, msg string) {
	m.sums = m.sums[:0]
	for {
		var name, sum []byte
		name, line = cutField(line)
		if len(name) == 0 {
			break
		}
		sum, line = cutField(line)
		if len(sum) == 0 {
			return nil, fmt.Sprintf("no digest after %.40q", name)
		}
		alg, ok := digest.ParseAlgorithm(string(name))
		if !ok {
			continue
		}
		var raw [64]byte
		if len(sum) != 2*alg.Size() {
			return nil, fmt.Sprintf("%s digest has %d hex digits, want %d", alg, len(sum), 2*alg.Size())
		}
		if !decodeHex(raw[:alg.Size()], sum) {
			return nil, fmt.Sprintf("%s digest %.40q is not hexadecimal", alg, sum)
		}
		d, err := digest.New(alg, raw[:alg.Size()])
		if err != nil {
			return nil, err.Error()
		}
		m.sums = append(m.sums, d)
	}
	if len(m.sums) == 0 {
		return nil, ""
	}
	s, ok := digest.NewSet(m.sums...)
	if !ok {
		return nil, "two digests of one algorithm"
	}
	return s, ""
}

// decodeHex decodes src, of twice the length of dst, in either case.
func decodeHex(dst, src []byte) bool {
	var all byte
	for i := range dst {
		hi, lo := unhex[src[2*i]], unhex[src[2*i+1]]
		all |= hi | lo
		dst[i] = hi<<4 | lo&0xf
	}
	return all < 16
}

// unhex maps hex digits to their values and all other bytes to 0xff.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range 16 {
		t["0123456789abcdef"[i]] = byte(i)
		t["0123456789ABCDEF"[i]] = byte(i)
	}
	return t
}()

// cutField cuts the first word off line.
func cutField(line []byte) (word, rest []byte) {
	i := 0
	for i < len(line) && isSpace(line[i]) {
		i++
	}
	j := i
	for j < len(line) && !isSpace(line[j]) {
		j++
	}
	return line[i:j], line[j:]
}

func isSpace(b byte) bool { return b == ' ' || '\t' <= b && b <= '\r' }
