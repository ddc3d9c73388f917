package openbsd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// Limits of one distinfo file. The largest of the trees at hand has 13 kB in 144
// lines, none above 141 bytes; a big Rust or Go program wants some thousand files.
const (
	maxDistinfo     = 16 << 20
	maxDistinfoLine = 4 << 10
	// maxFileProblems keeps a file that is no distinfo at all from filling
	// the report.
	maxFileProblems = 100
)

// An entry is what a distinfo file says about one distfile.
type entry struct {
	// Name is the path below DISTDIR, after dpb's normalisation.
	Name catalog.Name
	// Size is -1 where the file has no SIZE line.
	Size int64
	// Digests are all that the file has, SHA256 among them in every file
	// that dpb accepts.
	Digests digest.Set
	// Line is that of the first mention of the name.
	Line int
}

// parseDistinfo reads a distinfo file: lines "SIZE (path) = n" and
// "ALGORITHM (path) = digest" with the digest in base64 or, as older files
// have it, in hexadecimal. Entries are in the order of their first
// lines. An entry may lack its size or its SHA256: whether that matters depends
// on who wants it.
//
// Lines of any other form and algorithms that are not known are ignored, as dpb
// does. A line that is known but wrong, contradicts an earlier one, or names a
// path outside of DISTDIR is a problem; it carries file and line only. The error
// of r, and a file beyond the limits, are problems too.
func parseDistinfo(file string, r io.Reader) ([]entry, []catalog.Problem) {
	p := distinfoParser{file: file, index: make(map[catalog.Name]int)}
	rest := &io.LimitedReader{R: r, N: maxDistinfo + 1}
	lr := newLineReader(rest, maxDistinfoLine)
	for {
		line, err := lr.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.problem(lr.num, "cannot read: %v", reason(err))
			break
		}
		if lr.long {
			p.problem(lr.num, "line is longer than %d bytes", maxDistinfoLine)
			continue
		}
		p.line(lr.num, line)
	}
	if rest.N == 0 {
		p.problem(lr.num, "distinfo is larger than %d bytes", maxDistinfo)
	}
	entries := make([]entry, len(p.entries))
	for i, e := range p.entries {
		// Contradictions were reported when they were read.
		e.Digests, _ = digest.NewSet(e.Digests...)
		entries[i] = e
	}
	return entries, p.problems
}

type distinfoParser struct {
	file     string
	entries  []entry // Digests in the order of the lines
	index    map[catalog.Name]int
	problems []catalog.Problem
}

func (p *distinfoParser) problem(line int, format string, args ...any) {
	switch n := len(p.problems); {
	case n < maxFileProblems:
		p.problems = append(p.problems, catalog.Problem{File: p.file, Line: line, Msg: fmt.Sprintf(format, args...)})
	case n == maxFileProblems:
		p.problems = append(p.problems, catalog.Problem{File: p.file, Line: line, Msg: "more problems from here on"})
	}
}

func (p *distinfoParser) line(num int, line []byte) {
	word, rest, ok := bytes.Cut(line, []byte(" ("))
	if !ok {
		return
	}
	// The last one, so that a name may contain what looks like the end of it.
	end := bytes.LastIndex(rest, []byte(") = "))
	if end < 0 {
		return
	}
	path, value := rest[:end], string(rest[end+len(") = "):])
	alg, known := digest.ParseAlgorithm(string(word))
	if !known && string(word) != "SIZE" {
		return
	}
	name, err := catalog.ParsePath(normalize(string(path)))
	if err != nil {
		p.problem(num, "%v", err)
		return
	}
	if known {
		p.digest(num, name, alg, value)
	} else {
		p.size(num, name, value)
	}
}

// entry returns the entry of name, valid until the next call.
func (p *distinfoParser) entry(num int, name catalog.Name) *entry {
	i, ok := p.index[name]
	if !ok {
		i = len(p.entries)
		p.index[name] = i
		p.entries = append(p.entries, entry{Name: name, Size: -1, Line: num})
	}
	return &p.entries[i]
}

func (p *distinfoParser) size(num int, name catalog.Name, value string) {
	// 63 bits without a sign: ParseInt alone would take "+1".
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		p.problem(num, "size %q of %s is not a number", clip(value), name)
		return
	}
	e := p.entry(num, name)
	if e.Size >= 0 && e.Size != int64(n) {
		p.problem(num, "%s has two sizes: %d and %d", name, e.Size, n)
		return
	}
	e.Size = int64(n)
}

func (p *distinfoParser) digest(num int, name catalog.Name, alg digest.Algorithm, value string) {
	parse := digest.ParseBase64
	if len(value) == 2*alg.Size() {
		parse = digest.Parse
	}
	d, err := parse(alg, value)
	if err != nil {
		p.problem(num, "%s: %s digest %q is neither base64 nor hexadecimal of %d bytes", name, alg, clip(value), alg.Size())
		return
	}
	e := p.entry(num, name)
	if old := e.Digests.Get(alg); !old.IsZero() {
		if old != d {
			p.problem(num, "%s has two %s digests", name, alg)
		}
		return
	}
	e.Digests = append(e.Digests, d)
}

// sha256 returns the digest without which dpb takes a port for broken.
func (e entry) sha256() digest.Digest { return e.Digests.Get(digest.SHA256) }
