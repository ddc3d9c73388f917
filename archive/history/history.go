// Package history reads and writes the two lists that stand beside the
// published distfiles: distinfo, what the archive has, and history, what no
// package wants any more, and since when.
//
// The formats are those of OpenBSD's dpb and clean-old-distfiles:
//
//	SHA256 (file) = digest
//	UNIXTIME SHA256 (file) = digest
//
// Digests are in base64 where dpb reads them and in hex elsewhere, so that
// sha256sum -c accepts distinfo. A reader tells the spellings apart by their
// length.
package history

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// A Line says which content a name has, or had.
type Line struct {
	Name   catalog.Name
	SHA256 digest.Digest
	// Base64 is the spelling of the digest that openbsd repositories use;
	// otherwise it is hex.
	Base64 bool
}

// A Record is a line of history: Line was first not wanted at Time, which has
// whole seconds and is in UTC.
type Record struct {
	Time time.Time
	Line
}

// A SyntaxError points at the offending line of a list.
type SyntaxError struct {
	File string
	Line int
	Msg  string
}

// Error returns "file:line: message".
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

const (
	// maxFile bounds a list: two million lines of common length, ten times
	// what all distfiles of a large tree and its past need.
	maxFile = 256 << 20
	// maxLine is above the longest name, escaped, with all around it.
	maxLine = 4 << 10
	// maxTime is the end of the year 9999, beyond which times cannot be
	// written as dates.
	maxTime = 253402300799
)

// LoadDistinfo reads the distinfo at path. An archive without one has none.
func LoadDistinfo(path string) ([]Line, error) { return load(path, ParseDistinfo) }

// Distinfo yields the lines of the distinfo at path without holding all of them, but for
// those of known where they are in the order of WriteDistinfo: those that it has written
// cost next to nothing. An error is the last that it yields.
func Distinfo(path string, known []Line) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		more := true
		_, err := load(path, func(file string, r io.Reader) ([]Line, error) {
			return nil, scanDistinfo(file, r, newSpelling(known), func(l Line) bool {
				more = yield(l, nil)
				return more
			})
		})
		if more && err != nil {
			yield(Line{}, err)
		}
	}
}

// A spelling goes through the lines of a distinfo as WriteDistinfo has them.
type spelling struct {
	lines []Line // those to come
	text  []byte // the first of them
}

func newSpelling(lines []Line) *spelling {
	s := &spelling{lines: sorted(lines)}
	s.spell()
	return s
}

func (s *spelling) spell() {
	if s.text = s.text[:0]; len(s.lines) > 0 {
		s.text = bytes.TrimSuffix(appendDistinfo(s.text, s.lines[0]), []byte("\n"))
	}
}

// is reports whether the next line has this text, and goes to the one after it.
func (s *spelling) is(text []byte) bool {
	if len(s.lines) == 0 || !bytes.Equal(s.text, text) {
		return false
	}
	return s.pass(s.lines[0])
}

// pass goes on to the lines behind l, and reports whether it is one of the lines.
func (s *spelling) pass(l Line) (is bool) {
	for len(s.lines) > 0 && compare(s.lines[0], l) <= 0 {
		is = compare(s.lines[0], l) == 0
		s.lines = s.lines[1:]
	}
	s.spell()
	return is
}

// LoadHistory reads the history at path. An archive without one has none.
func LoadHistory(path string) ([]Record, error) { return load(path, ParseHistory) }

func load[T any](path string, parse func(string, io.Reader) ([]T, error)) ([]T, error) {
	f, err := regular.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(path, f)
}

// ParseDistinfo reads a distinfo; file is for errors, which are of type
// *SyntaxError unless reading failed. Blank lines, comments ("#" and "$"), SIZE
// lines and other digests are ignored. A line that begins with a backslash has
// its name escaped as sha256sum does it.
func ParseDistinfo(file string, r io.Reader) ([]Line, error) {
	var lines []Line
	err := scanDistinfo(file, r, new(spelling), func(l Line) bool {
		lines = append(lines, l.kept())
		return true
	})
	if err != nil {
		return nil, err
	}
	return lines, nil
}

// scanDistinfo calls yield with each line of a distinfo that is not in known, until that
// returns false.
func scanDistinfo(file string, r io.Reader, known *spelling, yield func(Line) bool) error {
	return scan(file, r, maxFile, known.is, func(text string) error {
		if ignored(text) {
			return nil
		}
		l, err := parseLine(text)
		if err != nil {
			return err
		}
		if !known.pass(l) && !yield(l) {
			return errEnough
		}
		return nil
	})
}

// errEnough ends a scan.
var errEnough = errors.New("the rest is not wanted")

// kept returns l without the text that it was read from, which is four times as long.
func (l Line) kept() Line {
	l.Name = catalog.Name(strings.Clone(string(l.Name)))
	return l
}

// ParseHistory reads a history; file is for errors, as in ParseDistinfo. It
// ignores blank lines only: the file is rewritten as a whole, and what is not
// understood would be lost.
func ParseHistory(file string, r io.Reader) ([]Record, error) {
	var rs []Record
	err := scan(file, r, maxFile, nil, func(text string) error {
		if text == "" {
			return nil
		}
		rest := strings.TrimLeft(text, "0123456789")
		digits := text[:len(text)-len(rest)]
		sec, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || sec > maxTime {
			return fmt.Errorf("bad time %.20q, want seconds since 1970", text)
		}
		body := strings.TrimLeft(rest, " \t")
		if len(body) == len(rest) {
			return errors.New("want UNIXTIME SHA256 (file) = digest")
		}
		if strings.HasPrefix(body, `\`) {
			return errors.New("names are not escaped in history")
		}
		l, err := parseLine(body)
		if err == nil {
			rs = append(rs, Record{time.Unix(sec, 0).UTC(), l.kept()})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rs, nil
}

// scan hands the lines of r, without white space at the end, to parse, unless known, if
// not nil, says that they are known, and points its errors at the line.
func scan(file string, r io.Reader, limit int, known func(text []byte) bool, parse func(text string) error) error {
	sc := bufio.NewScanner(io.LimitReader(r, int64(limit)+1))
	sc.Buffer(make([]byte, maxLine), maxLine)
	n, read := 0, 0
	for sc.Scan() {
		n++
		if read += len(sc.Bytes()) + 1; read > limit {
			return &SyntaxError{file, n, fmt.Sprintf("file is longer than %d bytes", limit)}
		}
		if known != nil && known(sc.Bytes()) {
			continue
		}
		if err := parse(strings.TrimRight(sc.Text(), " \t\r")); err != nil {
			return &SyntaxError{file, n, err.Error()}
		}
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return &SyntaxError{file, n + 1, fmt.Sprintf("line is longer than %d bytes", maxLine)}
	} else if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return nil
}

// otherKey matches the lines of distinfo that are not read: SIZE, TIMESTAMP and
// digests by other algorithms.
var otherKey = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*) ?(\(.*\) )?= `)

// ignored reports whether a line of distinfo is of no concern. What looks like
// a SHA256 line, or like nothing known, is of concern.
func ignored(text string) bool {
	if text == "" || text[0] == '#' || text[0] == '$' {
		return true
	}
	if strings.HasPrefix(text, "SHA256 (") {
		return false // spares the common line the regular expression
	}
	m := otherKey.FindStringSubmatch(text)
	return m != nil && m[1] != "SHA256"
}

var errLine = errors.New("want SHA256 (file) = digest")

func parseLine(text string) (Line, error) {
	rest, escaped := strings.CutPrefix(text, `\`)
	rest, ok := strings.CutPrefix(rest, "SHA256")
	if !ok {
		return Line{}, errLine
	}
	rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), "(")
	if !ok {
		return Line{}, errLine
	}
	// The last one, since a name may contain anything but a digest cannot.
	i := strings.LastIndex(rest, ") = ")
	if i < 0 {
		return Line{}, errLine
	}
	s, sum := rest[:i], rest[i+len(") = "):]
	var l Line
	var err error
	if escaped {
		if s, err = unescape(s); err != nil {
			return Line{}, err
		}
	}
	if l.Name, err = catalog.ParsePath(s); err != nil {
		return Line{}, err
	}
	switch size := digest.SHA256.Size(); len(sum) {
	case 2 * size:
		l.SHA256, err = digest.Parse(digest.SHA256, sum)
	case (size + 2) / 3 * 4:
		l.Base64 = true
		l.SHA256, err = digest.ParseBase64(digest.SHA256, sum)
	default:
		err = fmt.Errorf("SHA256 digest has %d characters, want 64 in hex or 44 in base64", len(sum))
	}
	return l, err
}

// unescape undoes what sha256sum does to the name in a line that it begins
// with a backslash.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch {
		case i < len(s) && s[i] == '\\':
			b.WriteByte('\\')
		case i < len(s) && s[i] == 'n':
			b.WriteByte('\n')
		case i < len(s) && s[i] == 'r':
			b.WriteByte('\r')
		default:
			return "", fmt.Errorf("bad escape in %q", s)
		}
	}
	return b.String(), nil
}

// appendLine appends l as it stands in both lists.
func appendLine(b []byte, l Line) []byte {
	b = append(b, "SHA256 ("...)
	b = append(b, l.Name...)
	b = append(b, ") = "...)
	if l.Base64 {
		b = append(b, l.SHA256.Base64()...)
	} else {
		b = l.SHA256.AppendHex(b)
	}
	return append(b, '\n')
}

// check keeps WriteDistinfo and WriteHistory from writing what cannot be read.
func (l Line) check() error {
	if l.SHA256.Alg != digest.SHA256 {
		return fmt.Errorf("%q has no SHA256 digest", l.Name)
	}
	if _, err := catalog.ParsePath(string(l.Name)); err != nil {
		return err
	}
	return nil
}

func compare(a, b Line) int {
	if c := cmp.Compare(a.Name, b.Name); c != 0 || a.SHA256 == b.SHA256 {
		return c
	}
	return bytes.Compare(a.SHA256.Raw(), b.SHA256.Raw())
}

// WriteDistinfo writes lines sorted by name, each once. A name with a
// backslash in a line with a hex digest is escaped as sha256sum does it; dpb,
// which reads the others, knows no escapes.
func WriteDistinfo(w io.Writer, lines []Line) error {
	lines = sorted(lines)
	bw := bufio.NewWriter(w)
	var buf []byte
	for i, l := range lines {
		if i > 0 && compare(lines[i-1], l) == 0 {
			continue
		}
		if err := l.check(); err != nil {
			return fmt.Errorf("write distinfo: %w", err)
		}
		buf = appendDistinfo(buf[:0], l)
		if _, err := bw.Write(buf); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// sorted returns lines in the order of WriteDistinfo.
func sorted(lines []Line) []Line {
	if slices.IsSortedFunc(lines, compare) {
		return lines
	}
	return slices.SortedStableFunc(slices.Values(lines), compare)
}

// appendDistinfo appends l as WriteDistinfo has it.
func appendDistinfo(b []byte, l Line) []byte {
	if !l.Base64 && strings.Contains(string(l.Name), `\`) {
		b = append(b, '\\')
		l.Name = catalog.Name(strings.ReplaceAll(string(l.Name), `\`, `\\`))
	}
	return appendLine(b, l)
}

// WriteHistory writes records in their order. Names are not escaped, as dpb
// and clean-old-distfiles expect.
func WriteHistory(w io.Writer, records []Record) error {
	bw := bufio.NewWriter(w)
	var buf []byte
	for _, r := range records {
		sec := r.Time.Unix()
		if sec < 0 || sec > maxTime {
			return fmt.Errorf("write history: %q has the impossible time %d", r.Name, sec)
		}
		if err := r.check(); err != nil {
			return fmt.Errorf("write history: %w", err)
		}
		buf = append(strconv.AppendInt(buf[:0], sec, 10), ' ')
		if _, err := bw.Write(appendLine(buf, r.Line)); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// Update returns the history after a complete scan at now, as DPB::Fetch's
// expire_old would leave it.
//
// known is what the archive has or had, wanted tells whether a package still
// wants that content under that name. Records that are wanted again disappear.
// The others keep their place and their time, also when the archive has the
// content no more. What is known and not wanted and has no record gets one
// with the time now; these come last, sorted by name. Spellings of a digest
// do not matter; of several records for one name and content the first stays,
// with the earliest of the times.
func Update(old []Record, known []Line, wanted func(name catalog.Name, sha256 digest.Digest) bool, now time.Time) []Record {
	type key struct {
		name catalog.Name
		sum  digest.Digest
	}
	out := make([]Record, 0, len(old))
	at := make(map[key]int, len(old))
	for _, r := range old {
		k := key{r.Name, r.SHA256}
		if i, dup := at[k]; dup {
			if r.Time.Before(out[i].Time) {
				out[i].Time = r.Time
			}
			continue
		}
		if wanted(r.Name, r.SHA256) {
			continue
		}
		at[k] = len(out)
		out = append(out, r)
	}
	stamp := now.UTC().Truncate(time.Second)
	for _, l := range slices.SortedStableFunc(slices.Values(known), compare) {
		k := key{l.Name, l.SHA256}
		if _, have := at[k]; have || wanted(l.Name, l.SHA256) {
			continue
		}
		at[k] = len(out)
		out = append(out, Record{stamp, l})
	}
	return out
}
