package layout

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// ConfFile is the file of GLEP 75 in the published directory.
const ConfFile = "layout.conf"

// maxConf bounds layout.conf; a real one has fewer than 100 bytes.
const maxConf = 64 << 10

// A Conf is the [structure] of a layout.conf: the layouts that an archive
// serves at the same time, in the order in which clients prefer them. It has
// at least one layout and none twice.
type Conf []Layout

// A SyntaxError points at the offending line of a layout.conf.
type SyntaxError struct {
	File string
	Line int
	Msg  string
}

// Error returns "file:line: message".
func (e *SyntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg) }

// Load reads the layout.conf in dir. An archive without one is flat (GLEP 75); a
// symbolic link to nothing is an error, since what it should lead to is not flat.
func Load(dir string) (Conf, error) {
	file := filepath.Join(dir, ConfFile)
	f, err := regular.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		if _, lerr := os.Lstat(file); lerr == nil {
			return nil, fmt.Errorf("%w: %s is a symbolic link to nothing", err, file)
		}
		return Conf{Flat()}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ParseConf(file, f)
}

// ParseConf reads a layout.conf; file is for errors, which are of type
// *SyntaxError unless reading failed. Sections and keys that it does not know
// are ignored.
//
// Portage reads the file with Python's configparser and falls back to flat,
// without a word, for everything that this rejects. What it would overlook (a
// structure after a gap in the numbers, a number such as 00, no structure at
// all) is an error here, so that no archive has paths its clients never ask
// for.
func ParseConf(file string, r io.Reader) (Conf, error) {
	p := confParser{file: file, values: make(map[int]value)}
	sc := bufio.NewScanner(io.LimitReader(r, maxConf+1))
	sc.Buffer(nil, maxConf+1)
	read := 0
	for sc.Scan() {
		p.line++
		if read += len(sc.Bytes()) + 1; read > maxConf {
			return nil, p.errorf("file is longer than %d bytes", maxConf)
		}
		if err := p.feed(sc.Text()); err != nil {
			return nil, err
		}
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		p.line++
		return nil, p.errorf("file is longer than %d bytes", maxConf)
	} else if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return p.conf()
}

// ParseForeign reads the layout.conf of another archive, where what is wrong with
// it is not ours to say: the layouts that are known, in their order, whatever is
// between them. Portage asks by the first of them, and takes an archive for flat
// whose file it cannot read, so that flat is the last way to ask unless the whole
// file is understood.
func ParseForeign(data []byte) Conf {
	if c, err := ParseConf(ConfFile, bytes.NewReader(data)); err == nil {
		return c
	}
	p := confParser{values: make(map[int]value)}
	for line := range strings.Lines(string(data[:min(len(data), maxConf)])) {
		_ = p.feed(strings.TrimRight(line, "\r\n")) // a line that is none is passed over
	}
	var c Conf
	for _, n := range slices.Sorted(maps.Keys(p.values)) {
		if l, err := Parse(p.values[n].text); err == nil && !slices.Contains(c, l) && len(c) < maxForeign {
			c = append(c, l)
		}
	}
	if !slices.Contains(c, Flat()) {
		c = append(c, Flat())
	}
	return c
}

// maxForeign bounds the layouts of another archive: each costs it a request for a
// file that it has not.
const maxForeign = 4

// A value is one structure, which may go on over several lines.
type value struct {
	line int
	text string
}

// confParser holds what configparser knows between two lines.
type confParser struct {
	file      string
	line      int
	sections  []string
	structure bool // in [structure]
	open      bool // an option was read in this section
	indent    int  // of that option
	number    int  // of that option, -1 when it is of no concern
	values    map[int]value
}

func (p *confParser) errorf(format string, args ...any) error {
	return &SyntaxError{p.file, p.line, fmt.Sprintf(format, args...)}
}

func (p *confParser) feed(line string) error {
	text := strings.TrimSpace(line)
	if text == "" || text[0] == '#' || text[0] == ';' {
		return nil
	}
	indent := len(line) - len(strings.TrimLeft(line, " \t\v\f\r"))
	if p.open && indent > p.indent {
		// A deeper line continues the value of the option above.
		if p.number >= 0 {
			v := p.values[p.number]
			v.text += " " + text
			p.values[p.number] = v
		}
		return nil
	}
	if end := strings.LastIndexByte(text, ']'); text[0] == '[' && end > 1 {
		name := text[1:end]
		if slices.Contains(p.sections, name) {
			return p.errorf("section [%s] occurs twice", name)
		}
		p.sections = append(p.sections, name)
		p.structure, p.open = name == "structure", false
		return nil
	}
	if len(p.sections) == 0 {
		return p.errorf("want [structure] before the first entry")
	}
	i := strings.IndexAny(text, "=:")
	if i < 1 {
		return p.errorf("want NUMBER=LAYOUT, as in 0=filename-hash BLAKE2B 8")
	}
	p.open, p.indent, p.number = true, indent, -1
	key := strings.TrimSpace(text[:i])
	if !p.structure || strings.Trim(key, "0123456789") != "" {
		return nil
	}
	n, err := strconv.Atoi(key)
	if err != nil || strconv.Itoa(n) != key {
		return p.errorf("bad number %s, want 0, 1, 2 and so on", key)
	}
	if _, dup := p.values[n]; dup {
		return p.errorf("number %d occurs twice", n)
	}
	p.number = n
	p.values[n] = value{p.line, text[i+1:]}
	return nil
}

func (p *confParser) conf() (Conf, error) {
	c := make(Conf, 0, len(p.values))
	for n := range len(p.values) {
		v, ok := p.values[n]
		if !ok {
			p.line = p.lineAfter(n)
			return nil, p.errorf("number %d is missing: clients would not look further", n)
		}
		p.line = v.line
		l, err := Parse(v.text)
		if err != nil {
			return nil, p.errorf("%v", err)
		}
		if i := slices.Index(c, l); i >= 0 {
			return nil, p.errorf("layout %d is the same as layout %d", n, i)
		}
		c = append(c, l)
	}
	if len(c) == 0 {
		return nil, p.errorf("no layout: want a section [structure] with 0=flat or the like")
	}
	return c, nil
}

// lineAfter returns the line of the smallest number above the gap n.
func (p *confParser) lineAfter(n int) int {
	best := -1
	for k := range p.values {
		if k > n && (best < 0 || k < best) {
			best = k
		}
	}
	return p.values[best].line
}

// Format returns the layout.conf for c, which ParseConf reads back as c.
func (c Conf) Format() []byte { return append([]byte("[structure]\n"), c.entries()...) }

func (c Conf) entries() (b []byte) {
	for i, l := range c {
		b = fmt.Appendf(b, "%d=%s\n", i, l)
	}
	return b
}

// Edit returns old, a layout.conf, with c for the layouts that it lists. Everything
// else that people have written there stays, where what comes out can be read as c.
func (c Conf) Edit(old []byte) []byte {
	p := confParser{values: make(map[int]value)}
	var b []byte
	done := false
	for line := range strings.Lines(string(old)) {
		text := strings.TrimSpace(line)
		if p.feed(strings.TrimRight(line, "\r\n")) != nil {
			return c.Format()
		}
		switch comment := text == "" || text[0] == '#' || text[0] == ';'; {
		case comment || !p.structure || !p.open || p.number < 0:
			b = append(b, line...)
		case !done:
			b, done = append(b, c.entries()...), true
		}
	}
	if again, err := ParseConf(ConfFile, bytes.NewReader(b)); err != nil || !slices.Equal(again, c) {
		return c.Format()
	}
	return b
}

// Algorithms returns the digests of the content that the content-hash layouts
// of c need, each once.
func (c Conf) Algorithms() []digest.Algorithm {
	var as []digest.Algorithm
	for _, l := range c {
		if a, ok := l.Algorithm(); ok && !slices.Contains(as, a) {
			as = append(as, a)
		}
	}
	return as
}

// Check returns an error when name cannot be published by c, because one of its
// paths is Reserved or could be a directory of another layout, such as "ab" in a
// flat layout beside a hashed one, or the path of another content. Of names that
// have no error no two share a path, and none is in the way of another unless it
// is a directory of that other name. A name that web servers give a meaning has an
// error in all layouts, because by_cipher shows it in any case.
func (c Conf) Check(name catalog.Name) error {
	if obeyed(name) {
		return fmt.Errorf("name %q begins with a dot: web servers obey such files", name)
	}
	first, _, _ := strings.Cut(string(name), "/")
	for _, l := range c {
		switch {
		case l.kind == contentHash:
			continue // its paths are of contents, not of names
		case l.kind == flat && Reserved(name):
			return fmt.Errorf("name %q is reserved by the archive in a flat layout", name)
		}
		where := "layout " + l.String()
		if l.kind == flat {
			where = "a flat layout"
		}
		for _, o := range c {
			switch {
			case o.hasBucket(l.cuts, first):
				return fmt.Errorf("name %q is taken in %s by a directory of layout %s", name, where, o)
			case o.isContent(l, name, first):
				return fmt.Errorf("name %q is taken in %s by a content of layout %s", name, where, o)
			}
		}
	}
	return nil
}
