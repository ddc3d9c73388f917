package portage

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// LoadMakeConf returns the variables of make.conf below root: those of
// etc/make.conf, and over them etc/portage/make.conf, each a file or a directory.
func LoadMakeConf(root string) (map[string]string, error) {
	vars := make(map[string]string)
	for _, p := range []string{"etc/make.conf", "etc/portage/make.conf"} {
		paths, err := files(filepath.Join(root, p))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if err := source(path, vars, 0); err != nil {
				return nil, err
			}
		}
	}
	return vars, nil
}

// source reads the file at path into vars.
func source(path string, vars map[string]string, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%s: files that source one another without end", path)
	}
	text, err := read(path)
	if err != nil {
		return err
	}
	return ParseMakeConf(path, text, vars, func(other string) error {
		if !filepath.IsAbs(other) {
			other = filepath.Join(filepath.Dir(path), other)
		}
		err := source(other, vars, depth+1)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("source: %w", err)
		}
		return err
	})
}

// ParseMakeConf reads the text of a make.conf into vars; file is for errors, and
// source is called with the names of the files that it wants to be read in
// between. Of the shell's language it has assignments, which may begin with
// export and have blanks around their sign, quotes, $NAME and ${NAME}, and
// nothing else. A value with any other ${...} is empty, as it is in Portage.
func ParseMakeConf(file, text string, vars map[string]string, source func(path string) error) error {
	p := &makeConf{file: file, text: text, line: 1, vars: vars}
	for p.skip(" \t\r\n"); p.text != ""; p.skip(" \t\r\n") {
		if err := p.statement(source); err != nil {
			return err
		}
	}
	return nil
}

type makeConf struct {
	file, text string // text is what is left
	line       int
	vars       map[string]string
	size       int  // of all values
	bad        bool // the value has what is not understood
}

func (p *makeConf) errorf(format string, args ...any) error {
	return &SyntaxError{p.file, p.line, fmt.Sprintf(format, args...)}
}

// next takes the next n bytes.
func (p *makeConf) next(n int) string {
	s := p.text[:n]
	p.line += strings.Count(s, "\n")
	p.text = p.text[n:]
	return s
}

// skip passes over blanks and, where a line may end, comments.
func (p *makeConf) skip(blanks string) {
	for p.text != "" {
		switch {
		case strings.IndexByte(blanks, p.text[0]) >= 0:
			p.next(1)
		case strings.HasPrefix(p.text, "\\\n"):
			p.next(2)
		case p.text[0] == '#':
			n := strings.IndexByte(p.text, '\n')
			if n < 0 {
				n = len(p.text)
			}
			p.next(n)
		default:
			return
		}
	}
}

// statement reads one assignment, or one source.
func (p *makeConf) statement(source func(path string) error) error {
	key := p.next(nameLen(p.text))
	if key == "export" {
		p.skip(" \t")
		key = p.next(nameLen(p.text))
	}
	if key == "" {
		return p.errorf("%.20q is no assignment", p.text)
	}
	p.skip(" \t")
	if key == "source" && !strings.HasPrefix(p.text, "=") {
		path, err := p.value()
		if err == nil && path == "" {
			err = p.errorf("source has no file")
		}
		if err != nil {
			return err
		}
		return source(path)
	}
	if !strings.HasPrefix(p.text, "=") {
		return p.errorf("%s has no value", key)
	}
	p.next(1)
	p.skip(" \t")
	p.bad = false
	v, err := p.value()
	if err != nil {
		return err
	}
	if p.bad {
		v = ""
	}
	p.vars[key] = v
	return nil
}

// value reads one word of the shell.
func (p *makeConf) value() (string, error) {
	var b strings.Builder
	quoted := false
	for p.text != "" {
		c := p.text[0]
		switch {
		case c == '"':
			quoted = !quoted
			p.next(1)
		case c == '\'' && !quoted:
			text, _, ok := strings.Cut(p.text[1:], "'")
			if !ok {
				return "", p.errorf("a quote has no end")
			}
			b.WriteString(text)
			p.next(len(text) + 2)
		case c == '\\' && len(p.text) > 1:
			switch s := p.next(2)[1:]; {
			case s == "\n":
			case quoted && !strings.Contains("\\\"$`", s):
				b.WriteString(`\` + s)
			default:
				b.WriteString(s)
			}
		case c == '$':
			v, err := p.variable()
			if err != nil {
				return "", err
			}
			b.WriteString(v)
		case !quoted && strings.IndexByte(" \t\r\n;", c) >= 0:
			return b.String(), nil
		default:
			b.WriteString(p.next(1))
		}
		if p.size++; b.Len()+p.size > 2*maxFile {
			return "", p.errorf("a value is too long")
		}
	}
	if quoted {
		return "", p.errorf("a quote has no end")
	}
	return b.String(), nil
}

// variable reads $NAME or ${NAME}. What has no value is empty.
func (p *makeConf) variable() (string, error) {
	p.next(1)
	if !strings.HasPrefix(p.text, "{") {
		n := nameLen(p.text)
		if n == 0 {
			return "$", nil
		}
		return p.vars[p.next(n)], nil
	}
	p.next(1)
	name := p.next(nameLen(p.text))
	end := strings.IndexByte(p.text, '}')
	if end < 0 {
		return "", p.errorf("a ${ has no end")
	}
	if p.next(end+1) != "}" || name == "" {
		p.bad = true
	}
	return p.vars[name], nil
}

// nameLen is the length of the name of a variable at the beginning of s.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}
