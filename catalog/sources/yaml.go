package sources

import (
	"fmt"
	"strings"
)

// A yamlNode is a value of a YAML document: a mapping when it has keys, a
// sequence when it has only items, or else a scalar. All methods work on nil,
// which has nothing.
type yamlNode struct {
	line   int
	scalar string
	keys   []string
	items  []*yamlNode // the values of keys, or those of a sequence
}

// get returns the value of a key, or nil.
func (n *yamlNode) get(key string) *yamlNode {
	for i, v := range n.values() {
		if n.keys[i] == key {
			return v
		}
	}
	return nil
}

// values are those of the keys.
func (n *yamlNode) values() []*yamlNode {
	if n == nil || len(n.keys) == 0 {
		return nil
	}
	return n.items
}

// below are the values of the keys or the items.
func (n *yamlNode) below() []*yamlNode {
	if n == nil {
		return nil
	}
	return n.items
}

// scalars are the strings of a scalar or of a sequence of them.
func (n *yamlNode) scalars() (s []string) {
	if n == nil || len(n.keys) > 0 {
		return nil
	}
	if n.scalar != "" {
		s = append(s, n.scalar)
	}
	for _, i := range n.items {
		if i.scalar != "" {
			s = append(s, i.scalar)
		}
	}
	return s
}

// maxDepth bounds how deep values are in one another.
const maxDepth = 32

// A yamlReader reads the part of YAML that people write such files in: block
// mappings and sequences, plain and quoted scalars, sequences of them in
// brackets. Anything else, such as anchors, is an error: it is not guessed at.
type yamlReader struct {
	file  string
	lines []yamlLine
	at    int
}

type yamlLine struct {
	num, indent int
	text        string
}

// parseYAML reads one document.
func parseYAML(file, text string) (*yamlNode, error) {
	r := &yamlReader{file: file}
	num := 0
	for line := range strings.Lines(text) {
		num++
		line = strings.TrimRight(line, " \t\r\n")
		body := strings.TrimLeft(line, " ")
		if body == "" || body[0] == '#' || num == 1 && body == "---" {
			continue
		}
		r.lines = append(r.lines, yamlLine{num, len(line) - len(body), body})
	}
	if len(r.lines) == 0 {
		return new(yamlNode), nil
	}
	n, err := r.node(r.lines[0].indent, 0)
	if err == nil && r.at < len(r.lines) {
		err = r.fail("is indented less than what is before it, or more")
	}
	return n, err
}

// fail complains about the current line.
func (r *yamlReader) fail(msg string) error {
	return r.failAt(r.lines[min(r.at, len(r.lines)-1)], msg)
}

func (r *yamlReader) failAt(l yamlLine, msg string) error {
	return fmt.Errorf("%s:%d: %q %s", r.file, l.num, clip(l.text), msg)
}

// here returns the current line if it has that indent.
func (r *yamlReader) here(indent int) (l yamlLine, ok bool) {
	if r.at == len(r.lines) || r.lines[r.at].indent != indent {
		return l, false
	}
	return r.lines[r.at], true
}

func isItem(text string) bool { return text == "-" || strings.HasPrefix(text, "- ") }

// node reads the value that begins at the current line, which has that indent.
func (r *yamlReader) node(indent, depth int) (*yamlNode, error) {
	if depth > maxDepth {
		return nil, r.fail("is too deep")
	}
	l, _ := r.here(indent)
	if isItem(l.text) {
		return r.sequence(indent, depth)
	}
	if _, _, ok := yamlKey(l.text); ok {
		return r.mapping(indent, depth)
	}
	r.at++
	return r.scalar(l, l.text, indent)
}

func (r *yamlReader) sequence(indent, depth int) (*yamlNode, error) {
	n := new(yamlNode)
	for {
		l, ok := r.here(indent)
		if !ok || !isItem(l.text) {
			return n, nil
		}
		n.line = max(n.line, l.num)
		rest := strings.TrimLeft(strings.TrimPrefix(l.text, "-"), " ")
		var item *yamlNode
		var err error
		if rest == "" || rest[0] == '#' {
			r.at++
			item, err = r.child(indent, depth)
		} else {
			// What follows the dash is as if it stood alone on its line.
			inner := indent + len(l.text) - len(rest)
			r.lines[r.at] = yamlLine{l.num, inner, rest}
			item, err = r.node(inner, depth+1)
		}
		if err != nil {
			return nil, err
		}
		n.items = append(n.items, item)
	}
}

// child reads the value below a key or a dash, which may be none.
func (r *yamlReader) child(indent, depth int) (*yamlNode, error) {
	if r.at < len(r.lines) && r.lines[r.at].indent > indent {
		return r.node(r.lines[r.at].indent, depth+1)
	}
	return new(yamlNode), nil
}

func (r *yamlReader) mapping(indent, depth int) (*yamlNode, error) {
	n := new(yamlNode)
	for {
		l, ok := r.here(indent)
		if !ok {
			return n, nil
		}
		key, rest, ok := yamlKey(l.text)
		if !ok || isItem(l.text) {
			return nil, r.fail("is no key of a mapping")
		}
		if n.line == 0 {
			n.line = l.num
		}
		r.at++
		var v *yamlNode
		var err error
		next, same := r.here(indent)
		switch {
		case rest != "":
			v, err = r.scalar(l, rest, indent)
		case same && isItem(next.text): // a sequence may stand below its key
			v, err = r.sequence(indent, depth+1)
		default:
			v, err = r.child(indent, depth)
		}
		if err != nil {
			return nil, err
		}
		n.keys, n.items = append(n.keys, key), append(n.items, v)
	}
}

// yamlKey splits "key: rest".
func yamlKey(text string) (key, rest string, ok bool) {
	if text[0] == '"' || text[0] == '\'' {
		i := strings.IndexByte(text[1:], text[0])
		if i < 0 {
			return "", "", false
		}
		key, rest = text[1:1+i], text[1+i+1:]
		rest, ok = strings.CutPrefix(strings.TrimLeft(rest, " "), ":")
	} else if i := strings.Index(text+" ", ": "); i > 0 {
		key, rest, ok = text[:i], text[i+1:], true
	}
	if !ok || rest != "" && rest[0] != ' ' {
		return "", "", false
	}
	if rest = strings.TrimLeft(rest, " \t"); strings.HasPrefix(rest, "#") {
		rest = ""
	}
	return key, rest, true
}

// scalar reads the scalar text of line l, which goes on in lines that are
// indented more than indent.
func (r *yamlReader) scalar(l yamlLine, text string, indent int) (*yamlNode, error) {
	n := &yamlNode{line: l.num}
	if text[0] == '|' || text[0] == '>' {
		r.continued(indent) // such text is none of ours
		return n, nil
	}
	if strings.IndexByte("&*!{}%@`", text[0]) >= 0 {
		return nil, r.failAt(l, "is YAML that is not read here")
	}
	text = strings.Join(append([]string{text}, r.continued(indent)...), " ")
	var err error
	switch text[0] {
	case '[':
		n.items, err = r.flow(l, text)
	case '"', '\'':
		n.scalar, text, err = r.quoted(l, text)
		if err == nil && text != "" && text[0] != '#' {
			err = r.failAt(l, "goes on behind its end")
		}
	default:
		if i := strings.Index(text, " #"); i >= 0 {
			text = text[:i]
		}
		n.scalar = strings.TrimRight(text, " ")
	}
	return n, err
}

// continued takes the lines that are indented more.
func (r *yamlReader) continued(indent int) (more []string) {
	for r.at < len(r.lines) && r.lines[r.at].indent > indent {
		more = append(more, r.lines[r.at].text)
		r.at++
	}
	return more
}

// quoted reads a quoted scalar and returns what follows. Escapes are those that
// a URL or a digest may need.
func (r *yamlReader) quoted(l yamlLine, text string) (s, rest string, err error) {
	quote := text[0]
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == quote && quote == '\'' && strings.HasPrefix(text[i+1:], "'"):
			i++
		case c == quote:
			return b.String(), strings.TrimLeft(text[i+1:], " "), nil
		case c == '\\' && quote == '"' && i+1 < len(text):
			i++
			if c = text[i]; c != '"' && c != '\\' && c != '/' {
				b.WriteByte('\\')
			}
		}
		b.WriteByte(c)
	}
	return "", "", r.failAt(l, "has a quote without an end")
}

// flow reads a sequence of scalars in brackets.
func (r *yamlReader) flow(l yamlLine, text string) (items []*yamlNode, err error) {
	rest := strings.TrimLeft(text[1:], " ")
	for rest != "" && rest[0] != ']' {
		n := &yamlNode{line: l.num}
		if rest[0] == '"' || rest[0] == '\'' {
			if n.scalar, rest, err = r.quoted(l, rest); err != nil {
				return nil, err
			}
		} else {
			i := until(rest, ",]")
			n.scalar, rest = strings.TrimRight(rest[:i], " "), rest[i:]
		}
		items = append(items, n)
		if rest == "" || rest[0] != ',' {
			break
		}
		rest = strings.TrimLeft(rest[1:], " ")
	}
	if rest == "" || rest[0] != ']' {
		return nil, r.failAt(l, "has a bracket without an end")
	}
	return items, nil
}
