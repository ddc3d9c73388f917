package ebuild

import (
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// A seg is a piece of an expanded word. What is quoted stands for itself in a
// pattern.
type seg struct {
	text   string
	quoted bool
}

// A field is one argument in the making.
type field []seg

func (f field) String() string {
	if len(f) == 1 {
		return f[0].text
	}
	var b strings.Builder
	for _, s := range f {
		b.WriteString(s.text)
	}
	return b.String()
}

// An expansion collects the fields that words are expanded to.
type expansion struct {
	x      *shell
	split  bool // unquoted expansions make several fields
	ifs    string
	done   []field
	cur    field
	exists bool // cur is a field, even if it is empty
	// inner is set inside of an expansion without quotes: its literals are
	// split as well.
	inner bool
}

// literal adds what stands in the text.
func (e *expansion) literal(s string, quoted bool) {
	if e.inner && !quoted {
		e.value(s)
	} else {
		e.add(s, quoted)
	}
}

func (e *expansion) add(s string, quoted bool) {
	if s != "" {
		e.x.spend(len(s))
		e.cur = append(e.cur, seg{s, quoted})
	}
	e.exists = e.exists || quoted || s != ""
}

func (e *expansion) end() {
	if e.exists {
		e.done = append(e.done, e.cur)
	}
	e.cur, e.exists = nil, false
}

// value adds the value of an expansion that is not in quotes.
func (e *expansion) value(s string) {
	if !e.split {
		e.add(s, false)
		return
	}
	if strings.Trim(e.ifs, " \t\n") != "" {
		// Other separators than white space also make empty fields.
		e.separated(s)
		return
	}
	for s != "" {
		i := strings.IndexAny(s, e.ifs)
		if e.ifs == "" {
			i = -1
		}
		switch {
		case i < 0:
			e.add(s, false)
			return
		case i > 0:
			e.add(s[:i], false)
		}
		e.end()
		s = strings.TrimLeft(s[i:], e.ifs)
	}
}

// separated splits at one separator that is no white space, and at nothing else.
func (e *expansion) separated(s string) {
	if len(e.ifs) != 1 {
		e.x.refuse("splitting at each of %q", e.ifs)
	}
	for i, part := range strings.SplitAfter(s, e.ifs) {
		part, sep := strings.CutSuffix(part, e.ifs)
		if part == "" && !sep {
			break // nothing after the last separator
		}
		e.add(part, false)
		if sep {
			e.exists = e.exists || i >= 0 // an empty field is one as well
			e.end()
		}
	}
}

// literal expands a word to one string, as in an assignment.
func (x *shell) literal(w *syntax.Word) string { return x.single(w).String() }

// single expands a word without splitting it.
func (x *shell) single(w *syntax.Word) field {
	if w == nil {
		return nil
	}
	x.step()
	e := &expansion{x: x}
	x.parts(e, w.Parts, false)
	return e.cur
}

// fields expands words to fields, as for the arguments of a command.
func (x *shell) fields(words []*syntax.Word) (out []string) {
	for _, w := range words {
		for _, w := range x.braces(w) {
			x.step()
			if s := w.Lit(); s != "" && !strings.ContainsAny(s, "\\~*?[") {
				out = append(out, s) // most are
				continue
			}
			e := &expansion{x: x, split: true, ifs: x.ifs()}
			x.parts(e, w.Parts, false)
			e.end()
			for _, f := range e.done {
				s := f.String()
				if f.globs() {
					if !strings.Contains(s, opaque) {
						x.refuse("%.60q, a pattern of file names", s)
					}
					s = opaque + "a pattern of file names" + opaque
				}
				out = append(out, s)
			}
		}
	}
	return out
}

// globs reports whether bash would look for files.
func (f field) globs() bool {
	for _, s := range f {
		if s.quoted {
			continue
		}
		if strings.ContainsAny(s.text, "*?") || extended(s.text) || strings.Contains(s.text, "[") && strings.Contains(f.String(), "]") {
			return true
		}
	}
	return false
}

// extended reports whether s has a pattern that depends on an option of bash.
func extended(s string) bool {
	for i := range len(s) - 1 {
		if s[i+1] == '(' && strings.IndexByte("?*+@!", s[i]) >= 0 {
			return true
		}
	}
	return false
}

func (x *shell) ifs() string {
	if v, ok := x.lookup("IFS"); ok && v.set {
		x.decidable(v.str, "IFS")
		return v.str
	}
	return " \t\n"
}

// braces expands {a,b} and {1..3}.
func (x *shell) braces(w *syntax.Word) []*syntax.Word {
	if !slices.ContainsFunc(w.Parts, func(p syntax.WordPart) bool {
		l, ok := p.(*syntax.Lit)
		return ok && strings.Contains(l.Value, "{")
	}) {
		return []*syntax.Word{w}
	}
	c := &syntax.Word{Parts: slices.Clone(w.Parts)} // the tree is shared
	if !syntax.SplitBraces(c) {
		return []*syntax.Word{w}
	}
	for _, p := range w.Parts {
		// Bash expands braces first, and finds them in other places then.
		if p, ok := p.(*syntax.ParamExp); ok && (p.Short || p.Exp != nil || p.Repl != nil || p.Slice != nil) {
			x.refuse("braces beside an expansion")
		}
	}
	var words []*syntax.Word
	for w, err := range expand.BracesSeq(nil, c) {
		if err != nil || len(words) > 10_000 {
			x.refuse("braces that make very many words")
		}
		x.step()
		words = append(words, w)
	}
	return words
}

// parts expands the parts of a word.
func (x *shell) parts(e *expansion, parts []syntax.WordPart, quoted bool) {
	for i, p := range parts {
		switch p := p.(type) {
		case *syntax.Lit:
			s := p.Value
			if !quoted && (i == 0 && strings.HasPrefix(s, "~") || !e.split && strings.Contains(s, ":~")) {
				// KEYWORDS=~amd64 is common, and of no interest.
				e.add(opaque+"a home directory"+opaque, true)
			}
			x.unescape(e, s, quoted)
		case *syntax.SglQuoted:
			s := p.Value
			if p.Dollar {
				s = x.ansiC(s)
			}
			e.add(s, true)
		case *syntax.BraceExp:
			x.refuse("unusual braces")
		case *syntax.DblQuoted:
			if p.Dollar {
				x.refuse("a translated string")
			}
			if !x.onlyAll(p.Parts) {
				e.add("", true)
			}
			fields, segs := len(e.done), len(e.cur)
			x.parts(e, p.Parts, true)
			if len(p.Parts) > 1 && len(e.done) == fields && len(e.cur) == segs && slices.ContainsFunc(p.Parts, func(q syntax.WordPart) bool {
				return x.onlyAll([]syntax.WordPart{q})
			}) {
				x.refuse("an empty array among what is empty")
			}
		case *syntax.ParamExp:
			x.param(e, p, quoted)
		case *syntax.CmdSubst:
			s := x.substitute(p)
			if quoted {
				e.add(s, true)
			} else {
				e.value(s)
			}
		case *syntax.ArithmExp:
			if p.Bracket || p.Unsigned {
				x.refuse("an old arithmetic expansion")
			}
			s := strconv.Itoa(x.number(p.X))
			if quoted {
				e.add(s, true)
			} else {
				e.value(s)
			}
		default:
			x.refuse("an unusual expansion") // process substitution, extended patterns
		}
	}
}

// onlyAll reports whether a quoted string is "$@" or "${array[@]}" alone, which
// make no field of nothing.
func (x *shell) onlyAll(parts []syntax.WordPart) bool {
	if len(parts) != 1 {
		return false
	}
	p, ok := parts[0].(*syntax.ParamExp)
	return ok && p.Param != nil && !p.Length && (p.Param.Value == "@" || isAt(p.Index))
}

// unescape adds a literal, without its backslashes.
func (x *shell) unescape(e *expansion, s string, quoted bool) {
	for s != "" {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i == len(s)-1 {
			break
		}
		e.literal(s[:i], quoted)
		c := s[i+1 : i+2]
		switch {
		case c == "\n":
		case !quoted || strings.Contains("$`\"\\", c):
			if c[0] >= 0x80 {
				x.refuse("a quoted character that is not ASCII")
			}
			e.add(c, true)
		default:
			e.add(s[i:i+2], true)
		}
		s = s[i+2:]
	}
	e.literal(s, quoted)
}

// ansiC interprets the escapes of $'...' that ebuilds have.
func (x *shell) ansiC(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	r := strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`, `\'`, `'`, `\"`, `"`)
	for t := s; ; {
		i := strings.IndexByte(t, '\\')
		if i < 0 {
			return r.Replace(s)
		}
		if i+1 == len(t) || strings.IndexByte(`nt\'"`, t[i+1]) < 0 {
			x.refuse("the string $'%.40s'", s)
		}
		t = t[i+2:]
	}
}

// substitute returns what the commands of $(...) print.
func (x *shell) substitute(cs *syntax.CmdSubst) string {
	if cs.TempFile || cs.ReplyVar {
		x.refuse("a command substitution in braces")
	}
	var out strings.Builder
	x.subshell(cs.Stmts, &out)
	x.substituted = true
	return strings.TrimRight(out.String(), "\n")
}

// pattern expands a word to a pattern in which a backslash stands before each
// character that was quoted.
func (x *shell) pattern(w *syntax.Word) string {
	var b strings.Builder
	for _, s := range x.single(w) {
		x.decidable(s.text, "a pattern")
		if !s.quoted {
			if strings.Contains(s.text, `\`) || extended(s.text) {
				x.refuse("the pattern %.60q", s.text)
			}
			b.WriteString(s.text)
			continue
		}
		for i := range len(s.text) {
			b.WriteByte('\\')
			b.WriteByte(s.text[i])
		}
	}
	return b.String()
}
