package ebuild

import (
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// slice is ${name:from:n}.
func (x *shell) slice(t *parameter, s *syntax.Slice) {
	if t.all {
		x.sliceArray(t, s)
		return
	}
	v := t.elems[0]
	from, to := 0, len(v)
	if s.Offset != nil {
		if from = x.number(s.Offset); from < 0 {
			from += len(v)
		}
	}
	if from < 0 || from > len(v) {
		t.elems = []string{""}
		if s.Length != nil {
			x.number(s.Length)
		}
		return
	}
	if s.Length != nil {
		n := x.number(s.Length)
		if to = from + n; n < 0 {
			if to = len(v) + n; to < from {
				x.refuse("a slice that ends before it begins")
			}
		}
	}
	t.elems = []string{v[from:min(to, len(v))]}
}

// sliceArray is ${array[@]:from:n}. The positional parameters count from 1.
func (x *shell) sliceArray(t *parameter, s *syntax.Slice) {
	from, n := 0, len(t.elems)
	if s.Offset != nil {
		from = x.number(s.Offset)
	}
	if s.Length != nil {
		n = x.number(s.Length)
	}
	if t.name == "@" || t.name == "*" {
		from--
	}
	if from < 0 || n < 0 || x.get(t.name).kind == table {
		x.refuse("an unusual slice of an array")
	}
	from = min(from, len(t.elems))
	t.elems = t.elems[from : from+min(n, len(t.elems)-from)]
}

// replace is ${name/pattern/with}.
func (x *shell) replace(t *parameter, r *syntax.Replace) {
	pat := x.pattern(r.Orig)
	with := x.single(r.With)
	if !t.set {
		return
	}
	for _, s := range with {
		// Newer shells put what matched in the place of "&".
		if strings.ContainsAny(s.text, `&\`) {
			x.refuse("the replacement by %.60q", s.text)
		}
	}
	at := byte(0)
	if !r.All && pat != "" && (pat[0] == '#' || pat[0] == '%') {
		at, pat = pat[0], pat[1:]
	} else if pat != "" && (pat[0] == '#' || pat[0] == '%') {
		x.refuse("the replacement of %.60q", pat)
	}
	if pat == "" {
		for i, s := range t.elems {
			switch at {
			case '#':
				s = with.String() + s
			case '%':
				s += with.String()
			}
			t.elems = slices.Clone(t.elems)
			t.elems[i] = s
		}
		return
	}
	g := x.glob(pat)
	elems := make([]string, len(t.elems))
	for i, s := range t.elems {
		elems[i] = x.substituteAll(g, s, with.String(), at, r.All)
	}
	t.elems = elems
}

func (x *shell) substituteAll(g glob, s, with string, at byte, all bool) string {
	var b strings.Builder
	i := 0
	for i <= len(s) {
		n := -1
		if at != '%' {
			n = x.longest(g, s[i:])
		} else if x.matches(g, s[i:]) {
			n = len(s) - i
		}
		switch {
		case n == 0 && len(s) > 0:
			x.refuse("the replacement of nothing")
		case n >= 0:
			x.spend(len(with))
			b.WriteString(with)
			if i += n; !all || n == 0 {
				return b.String() + s[i:]
			}
			if i == len(s) {
				return b.String()
			}
			continue
		case at == '#':
			return s
		}
		if i < len(s) {
			b.WriteByte(s[i])
		}
		i++
	}
	return b.String()
}

// operate is ${name OP word}. It returns false when that has been added.
func (x *shell) operate(e *expansion, t *parameter, op *syntax.Expansion, quoted bool) bool {
	null := !t.set || len(t.elems) == 0 || len(t.elems) == 1 && t.elems[0] == ""
	if t.all && t.set && len(t.elems) > 0 && strings.Join(t.elems, "") == "" {
		x.refuse("a default of empty elements")
	}
	word := func() bool {
		if t.all && op.Word == nil {
			return false
		}
		if op.Word != nil {
			inner := e.inner
			e.inner = true
			x.parts(e, op.Word.Parts, quoted)
			e.inner = inner
		}
		if quoted {
			e.add("", true)
		}
		return false
	}
	switch op.Op {
	case syntax.AlternateUnset:
		if t.set {
			return word()
		}
		return x.nothing(e, quoted)
	case syntax.AlternateUnsetOrNull:
		if !null {
			return word()
		}
		return x.nothing(e, quoted)
	case syntax.DefaultUnset:
		return t.set || word()
	case syntax.DefaultUnsetOrNull:
		return !null || word()
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		if t.set && (op.Op == syntax.AssignUnset || !null) {
			return true
		}
		if t.all || !syntax.ValidName(t.name) || x.get(t.name).kind != scalar {
			x.refuse("a default that is assigned to an array")
		}
		sub := &expansion{x: x}
		if op.Word != nil {
			x.parts(sub, op.Word.Parts, quoted)
		}
		t.elems = []string{sub.cur.String()}
		x.setString(t.name, t.elems[0])
		return true
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		if t.set && (op.Op == syntax.ErrorUnset || !null) {
			return true
		}
		x.refuse("the ebuild ends because %s is not set", t.name)
	}
	elems := make([]string, len(t.elems))
	f := x.change(op)
	for i, s := range t.elems {
		elems[i] = f(s)
	}
	t.elems = elems
	return true
}

// nothing adds an alternate value that is not taken.
func (x *shell) nothing(e *expansion, quoted bool) bool {
	if quoted {
		e.add("", true)
	}
	return false
}

// change returns what an operator does to each value.
func (x *shell) change(op *syntax.Expansion) func(string) string {
	switch op.Op {
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		g := x.glob(x.pattern(op.Word))
		return func(s string) string { return x.remove(g, s, op.Op) }
	}
	if op.Word != nil && len(op.Word.Parts) > 0 {
		x.refuse("a change by a pattern")
	}
	first := func(f func(string) string) func(string) string {
		return func(s string) string { return f(s[:min(1, len(s))]) + s[min(1, len(s)):] }
	}
	switch op.Op {
	case syntax.UpperFirst:
		return first(strings.ToUpper)
	case syntax.UpperAll:
		return strings.ToUpper
	case syntax.LowerFirst:
		return first(strings.ToLower)
	case syntax.LowerAll:
		return strings.ToLower
	}
	x.refuse("the operator %s", op.Op)
	return nil
}

// remove takes the shortest or the longest match off one end.
func (x *shell) remove(g glob, s string, op syntax.ParExpOperator) string {
	for i := range len(s) + 1 {
		switch op {
		case syntax.RemSmallPrefix:
			if x.matches(g, s[:i]) {
				return s[i:]
			}
		case syntax.RemLargePrefix:
			if n := len(s) - i; x.matches(g, s[:n]) {
				return s[n:]
			}
		case syntax.RemSmallSuffix:
			if n := len(s) - i; x.matches(g, s[n:]) {
				return s[:n]
			}
		case syntax.RemLargeSuffix:
			if x.matches(g, s[i:]) {
				return s[:i]
			}
		}
	}
	return s
}
