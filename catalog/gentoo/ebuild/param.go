package ebuild

import (
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func isAt(i syntax.ArithmExpr) bool {
	w, ok := i.(*syntax.Word)
	return ok && w.Lit() == "@"
}

func isStar(i syntax.ArithmExpr) bool {
	w, ok := i.(*syntax.Word)
	return ok && w.Lit() == "*"
}

// A parameter is what one ${...} is about.
type parameter struct {
	name  string
	elems []string
	set   bool
	all   bool // of @ or *
	star  bool
	plain bool // nothing is done to it
}

// param adds the value of one ${...}.
func (x *shell) param(e *expansion, p *syntax.ParamExp, quoted bool) {
	x.step()
	if p.Param == nil || p.Flags != nil || p.Width || p.IsSet || p.Names != 0 || p.NestedParam != nil || len(p.Modifiers) > 0 {
		x.refuse("an unusual parameter expansion")
	}
	t := x.parameter(p)
	switch {
	case p.Length:
		n := len(t.elems)
		if !t.all && n > 0 {
			n = len(t.elems[0])
		}
		x.emit(e, parameter{elems: []string{strconv.Itoa(n)}}, quoted)
		return
	case p.Slice != nil:
		x.slice(&t, p.Slice)
	case p.Repl != nil:
		x.noQuotes(quoted, p.Repl.Orig, p.Repl.With)
		x.replace(&t, p.Repl)
	case p.Exp != nil:
		x.noQuotes(quoted, p.Exp.Word)
		if !x.operate(e, &t, p.Exp, quoted) {
			return
		}
	}
	x.emit(e, t, quoted)
}

// noQuotes refuses quotes in words of an expansion that is itself in quotes:
// shells do not agree on what they mean.
func (x *shell) noQuotes(quoted bool, words ...*syntax.Word) {
	for _, w := range words {
		if w == nil {
			continue
		}
		for _, p := range w.Parts {
			switch p := p.(type) {
			case *syntax.SglQuoted, *syntax.DblQuoted:
				if quoted {
					x.refuse("quotes inside of an expansion in quotes")
				}
			case *syntax.Lit:
				if strings.ContainsAny(p.Value, "{}") {
					x.refuse("braces inside of an expansion")
				}
				if quoted && strings.ContainsAny(p.Value, "'\"") {
					x.refuse("quotes inside of an expansion in quotes")
				}
			}
		}
	}
}

// emit adds the elements of t.
func (x *shell) emit(e *expansion, t parameter, quoted bool) {
	switch {
	case !t.all && len(t.elems) == 0:
	case !t.all && quoted:
		e.add(t.elems[0], true)
	case !t.all:
		e.value(t.elems[0])
	case quoted && t.star:
		sep := x.ifs()
		e.add(strings.Join(t.elems, sep[:min(1, len(sep))]), true)
	case !e.split:
		if x.ifs() != " \t\n" {
			x.refuse("an array where one value is asked for")
		}
		e.add(strings.Join(t.elems, " "), quoted)
	default:
		for i, s := range t.elems {
			if i > 0 {
				e.end()
			}
			if quoted {
				e.add(s, true)
			} else {
				e.value(s)
			}
		}
	}
}

// parameter finds what p is about.
func (x *shell) parameter(p *syntax.ParamExp) parameter {
	name := p.Param.Value
	if name == "LINENO" {
		x.refuse("$LINENO depends on the shell")
	}
	t := parameter{
		name: name, plain: p.Slice == nil && p.Repl == nil && p.Exp == nil && !p.Length && !p.Excl,
		star: name == "*" || isStar(p.Index),
	}
	t.all = t.star || name == "@" || isAt(p.Index)
	v := x.get(name)
	if p.Excl {
		return x.indirect(p, t, v)
	}
	switch {
	case t.all && v.kind == table:
		for _, k := range x.order(v) {
			t.elems = append(t.elems, v.keys[k])
		}
		t.set = len(t.elems) > 0
	case t.all && v.kind == array:
		t.elems, t.set = v.list, len(v.list) > 0
	case t.all && v.set:
		t.elems, t.set = []string{v.str}, true
	case t.all:
	case p.Index != nil:
		var s string
		s, t.set = x.element(v, p.Index)
		t.elems = []string{s}
	default:
		var s string
		s, t.set = v.first()
		t.elems = []string{s}
	}
	if !t.plain {
		for _, s := range t.elems {
			x.decidable(s, "${"+name+"}")
		}
	}
	return t
}

// indirect is ${!name}, or ${!array[@]}.
func (x *shell) indirect(p *syntax.ParamExp, t parameter, v variable) parameter {
	if p.Slice != nil || p.Repl != nil || p.Exp != nil || p.Length || p.Index != nil && !t.all {
		x.refuse("an unusual indirect expansion")
	}
	x.decidableVar(v, t.name)
	if p.Index != nil {
		switch v.kind {
		case table:
			t.elems = x.order(v)
		case array:
			for i := range v.list {
				t.elems = append(t.elems, strconv.Itoa(i))
			}
		default:
			x.refuse("the indices of %s, which is no array", t.name)
		}
		return t
	}
	if v.kind != scalar || !syntax.ValidName(v.str) || t.all {
		x.refuse("the indirect expansion ${!%s}", t.name)
	}
	w := x.get(v.str)
	if w.kind != scalar {
		x.refuse("the indirect expansion ${!%s} of an array", t.name)
	}
	t.elems, t.set = []string{w.str}, w.set
	return t
}

// element is ${name[index]}.
func (x *shell) element(v variable, index syntax.ArithmExpr) (s string, set bool) {
	if v.kind == table {
		s, set = v.keys[x.key(index)]
		return s, set
	}
	n := x.number(index)
	if n < 0 {
		n += len(v.list)
	}
	switch {
	case n < 0:
		x.refuse("a negative index")
	case v.kind == array && n < len(v.list):
		return v.list[n], true
	case v.kind == scalar && n == 0:
		return v.str, v.set
	case v.kind == scalar && strings.Contains(v.str, opaque):
		return v.str, true // of an array that is not known
	}
	return "", false
}

// key is the index of an associative array.
func (x *shell) key(index syntax.ArithmExpr) string {
	w, ok := index.(*syntax.Word)
	if !ok {
		x.refuse("an unusual index") // bash takes what the parser takes for arithmetic as it is written
	}
	s := x.literal(w)
	x.decidable(s, "an index")
	if s == "" {
		x.refuse("an empty index")
	}
	return s
}

// buckets is the size of the hash table of an associative array, which bash does
// not enlarge before it has twice as many elements.
const buckets = 1024

// order returns the keys in the order in which bash has them: that of its hash
// table. Keys of one bucket are in the reverse order of their making.
func (x *shell) order(v variable) []string {
	type entry struct {
		key    string
		bucket uint32
	}
	var es []entry
	for k := range v.keys {
		h := uint32(2166136261) // FNV-1
		for i := range len(k) {
			h = h*16777619 ^ uint32(k[i])
		}
		es = append(es, entry{k, h & (buckets - 1)})
	}
	slices.SortFunc(es, func(a, b entry) int { return int(a.bucket) - int(b.bucket) })
	keys := make([]string, len(es))
	for i, e := range es {
		if i > 0 && es[i-1].bucket == e.bucket || len(es) > buckets {
			x.refuse("the order of an associative array")
		}
		keys[i] = e.key
	}
	return keys
}
