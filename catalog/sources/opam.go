package sources

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"distkeep/catalog/digest"
)

// parseOpam reads the url and extra-source blocks of an opam file, and the url
// files of opam 1, which are such a block without braces.
func parseOpam(p *parser) error {
	o := &opamReader{parser: p, lex: opamLexer{text: string(p.data), line: 1}}
	owner := packageOf(p.path)
	if path.Base(p.path) == "url" {
		return o.block(owner, "")
	}
	for {
		t, err := o.next()
		switch {
		case err != nil:
			return err
		case t.kind == opamEnd:
			return nil
		case t.kind != opamWord || t.text != "url" && t.text != "extra-source":
			continue
		}
		if t, err = o.next(); err == nil && t.kind == opamString {
			t, err = o.next() // the name is that in the build directory
		}
		if err != nil {
			return err
		}
		if t.kind != '{' {
			continue // a variable of that name
		}
		if err := o.block(owner, "}"); err != nil {
			return err
		}
	}
}

type opamReader struct {
	*parser
	lex opamLexer
}

// next returns the next token; its error has the place.
func (o *opamReader) next() (opamToken, error) {
	t, err := o.lex.next()
	if err != nil {
		err = fmt.Errorf("%s:%d: %w", o.file, o.lex.line, err)
	}
	return t, err
}

// block reads fields up to end, which is a brace or, when it is empty, the end
// of the file, and adds the source.
func (o *opamReader) block(owner, end string) error {
	e := &entry{size: -1, owner: owner, line: o.lex.line}
	var sums []string
	field, version := "", false
	for {
		t, err := o.next()
		if err != nil {
			return err
		}
		switch {
		case t.kind == opamEnd && end != "":
			return fmt.Errorf("%s:%d: the block has no end", o.file, o.lex.line)
		case t.kind == opamEnd || t.kind == '}':
			return o.addSource(e, sums, version)
		case t.kind == opamField:
			field = t.text
		case t.kind == opamString:
			switch field {
			case "src", "archive", "http", "mirrors":
				e.uris = append(e.uris, t.text)
			case "git", "hg", "darcs", "local":
				version = true
			case "checksum":
				sums = append(sums, t.text)
			}
		}
	}
}

func (o *opamReader) addSource(e *entry, sums []string, version bool) error {
	for _, u := range e.uris {
		scheme, _, _ := strings.Cut(u, ":")
		version = version || strings.HasPrefix(scheme, "git") || strings.HasPrefix(scheme, "hg") || strings.HasPrefix(scheme, "darcs") || strings.Contains(scheme, "/")
	}
	if version || len(e.uris) == 0 || len(sums) == 0 {
		o.skip("without a digest, such as a checkout of git")
		return nil
	}
	var ds []digest.Digest
	for _, s := range sums {
		name, value, ok := strings.Cut(s, "=")
		if !ok {
			name, value = "md5", s
		}
		a, known := digest.ParseAlgorithm(strings.ToUpper(name))
		if !known {
			continue
		}
		d, err := digest.Parse(a, value)
		if err != nil {
			o.reject(e, "%s: %v", clip(e.uris[0]), err)
			return nil
		}
		ds = append(ds, d)
	}
	var ok bool
	if e.digests, ok = digest.NewSet(ds...); !ok {
		o.reject(e, "%s: two digests of one algorithm", clip(e.uris[0]))
		return nil
	}
	return o.add(e)
}

// The kinds of tokens beside single characters.
const (
	opamEnd    = 0
	opamWord   = 'w' // an identifier, a number or an operator
	opamField  = 'f' // an identifier with a colon behind it
	opamString = 's'
)

type opamToken struct {
	kind rune
	text string
}

// An opamLexer splits the text of an opam file.
type opamLexer struct {
	text string
	line int
}

// skip moves on by n bytes.
func (l *opamLexer) skip(n int) {
	l.line += strings.Count(l.text[:n], "\n")
	l.text = l.text[n:]
}

func (l *opamLexer) next() (opamToken, error) {
	for {
		l.skip(len(l.text) - len(strings.TrimLeft(l.text, " \t\r\n")))
		switch {
		case l.text == "":
			return opamToken{}, nil
		case l.text[0] == '#':
			l.skip(until(l.text, "\n"))
		case strings.HasPrefix(l.text, "(*"):
			i := strings.Index(l.text, "*)")
			if i < 0 {
				return opamToken{}, errors.New("the comment has no end")
			}
			l.skip(i + 2)
		case l.text[0] == '"':
			return l.quoted()
		case strings.ContainsRune("{}[]()", rune(l.text[0])):
			t := opamToken{kind: rune(l.text[0])}
			l.skip(1)
			return t, nil
		default:
			return l.word(), nil
		}
	}
}

// until is the number of bytes before the end of text or the first of set,
// whichever comes first.
func until(text, set string) int {
	if i := strings.IndexAny(text, set); i >= 0 {
		return i
	}
	return len(text)
}

// quoted reads "text", with escapes, or """text""".
func (l *opamLexer) quoted() (opamToken, error) {
	if rest, triple := strings.CutPrefix(l.text, `"""`); triple {
		i := strings.Index(rest, `"""`)
		if i < 0 {
			return opamToken{}, errors.New("the string has no end")
		}
		l.skip(3 + i + 3)
		return opamToken{opamString, rest[:i]}, nil
	}
	var b strings.Builder
	for i := 1; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c == '"':
			l.skip(i + 1)
			return opamToken{opamString, b.String()}, nil
		case c == '\\' && i+1 < len(l.text):
			i++
			switch n := l.text[i]; n {
			case 'n':
				b.WriteByte('\n')
			case 't':
				b.WriteByte('\t')
			case '\n':
			default:
				b.WriteByte(n)
			}
		default:
			b.WriteByte(c)
		}
	}
	return opamToken{}, errors.New("the string has no end")
}

// word reads anything else up to white space or a delimiter.
func (l *opamLexer) word() opamToken {
	n := max(1, until(l.text, " \t\r\n{}[]()\"#"))
	t := opamToken{opamWord, l.text[:n]}
	if i := strings.IndexByte(t.text, ':'); i > 0 {
		t, n = opamToken{opamField, t.text[:i]}, i+1
	}
	l.skip(n)
	return t
}
