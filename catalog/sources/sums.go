package sources

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"distkeep/catalog/digest"
)

// A sumList collects the lines of one file name by name: most tools print one
// digest a line.
type sumList struct {
	*parser
	algorithm digest.Algorithm // of 128 hex digits
	owner     string           // or empty
	entries   []*entry
	byName    map[string]*entry
	bad       map[string]bool // names that are reported already
}

func newSumList(p *parser) *sumList {
	s := &sumList{parser: p, algorithm: digest.SHA512, byName: make(map[string]*entry), bad: make(map[string]bool)}
	if strings.Contains(strings.ToLower(path.Base(p.path)), "b2sum") {
		s.algorithm = digest.BLAKE2B
	}
	return s
}

// entry returns the entry of a name.
func (s *sumList) entry(name string, line int) *entry {
	e := s.byName[name]
	if e == nil {
		e = &entry{name: name, size: -1, owner: s.owner, line: line}
		s.byName[name] = e
		s.entries = append(s.entries, e)
	}
	return e
}

// wrong reports a name that cannot be used.
func (s *sumList) wrong(name string, line int, format string, args ...any) {
	if !s.bad[name] {
		s.reject(&entry{name: name, owner: s.owner, line: line}, format, args...)
	}
	s.bad[name] = true
}

// lines calls f with each line that is not blank, without white space at its
// end.
func (p *parser) lines(f func(num int, line string)) {
	num := 0
	for line := range strings.Lines(string(p.data)) {
		num++
		if line = strings.TrimRight(line, " \t\r\n"); line != "" {
			f(num, line)
		}
	}
}

// parseSums reads checksums as the programs of GNU and of the BSDs print them.
// Any other line but a comment is a problem: it may have been one of these.
func parseSums(p *parser) error {
	s := newSumList(p)
	p.lines(func(num int, line string) {
		switch {
		case line[0] == '#' || s.bsd(num, line) || s.gnu(num, line):
		case strings.HasPrefix(line, "untrusted comment: "):
		default:
			p.problem(num, "%q is no checksum", clip(line))
		}
	})
	if len(s.byName) == 0 {
		return fmt.Errorf("%s: there is no checksum in it", p.file)
	}
	return s.finish()
}

// parseDistinfo reads the distinfo of FreeBSD and of pkgsrc, which also has the
// patches of the package itself.
func parseDistinfo(p *parser) error {
	s := newSumList(p)
	s.owner = portOf(p.path)
	p.lines(func(num int, line string) {
		switch {
		case line[0] == '#' || strings.HasPrefix(line, "$NetBSD") || strings.HasPrefix(line, "TIMESTAMP = "):
		case !s.bsd(num, line):
			p.problem(num, "%q is no line of a distinfo", clip(line))
		}
	})
	s.entries = slices.DeleteFunc(s.entries, func(e *entry) bool {
		return e.size < 0 && strings.HasPrefix(path.Base(e.name), "patch-")
	})
	return s.finish()
}

// finish adds the entries.
func (s *sumList) finish() error {
	for _, e := range s.entries {
		if s.bad[e.name] {
			continue
		}
		if err := s.add(e); err != nil {
			return err
		}
	}
	return nil
}

// bsd reads "ALGORITHM (name) = value". ok is false for a line that has
// another form.
func (s *sumList) bsd(num int, line string) (ok bool) {
	word, rest, ok := strings.Cut(line, " (")
	i := strings.LastIndex(rest, ") = ")
	if !ok || i < 0 || strings.ContainsAny(word, " \t") {
		return false
	}
	name, value := plain(rest[:i]), rest[i+len(") = "):]
	word = strings.ToUpper(word)
	if word == "SIZE" {
		n, err := strconv.ParseUint(strings.TrimSuffix(value, " bytes"), 10, 63)
		e := s.entry(name, num)
		if err != nil || e.size >= 0 && e.size != int64(n) {
			s.wrong(name, num, "bad size %q", clip(value))
			return true
		}
		e.size = int64(n)
		return true
	}
	e := s.entry(name, num)
	if a, known := digest.ParseAlgorithm(word); known {
		s.sum(e, num, a, value)
	}
	return true
}

// gnu reads "digest  name" and "digest *name"; a name with a backslash or a
// line break has these escaped, and a backslash before the digest.
func (s *sumList) gnu(num int, line string) (ok bool) {
	text, escaped := strings.CutPrefix(line, `\`)
	sum, name, ok := strings.Cut(text, " ")
	if !ok || len(name) < 2 || name[0] != ' ' && name[0] != '*' || len(sum) < 32 || strings.Trim(sum, "0123456789abcdefABCDEF") != "" {
		return false
	}
	name = name[1:]
	if escaped {
		name = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(name)
	}
	e := s.entry(plain(name), num)
	switch len(sum) {
	case 2 * digest.SHA256.Size():
		s.sum(e, num, digest.SHA256, sum)
	case 2 * digest.SHA512.Size():
		s.sum(e, num, s.algorithm, sum)
	case 2 * digest.SHA1.Size():
		s.sum(e, num, digest.SHA1, sum)
	case 2 * digest.MD5.Size():
		s.sum(e, num, digest.MD5, sum)
	}
	return true // or another algorithm, which is not known
}

// sum adds a digest, in hex or in base64, to e.
func (s *sumList) sum(e *entry, num int, a digest.Algorithm, value string) {
	d, err := digest.Parse(a, value)
	if err != nil {
		if d, err = digest.ParseBase64(a, value); err != nil {
			s.wrong(e.name, num, "%s digest %q is neither hexadecimal nor base64 of %d bytes", a, clip(value), a.Size())
			return
		}
	}
	set, ok := digest.NewSet(append(slices.Clip(e.digests), d)...)
	if !ok {
		s.wrong(e.name, num, "two %s digests", a)
		return
	}
	e.digests = set
}

// plain is a name relative to the directory of the list, as find prints it.
func plain(name string) string { return strings.TrimPrefix(name, "./") }
