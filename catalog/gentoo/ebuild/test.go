package ebuild

import (
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// test is [[ ... ]].
func (x *shell) test(e syntax.TestExpr) bool {
	x.step()
	switch e := e.(type) {
	case *syntax.Word:
		return x.condition(e) != ""
	case *syntax.ParenTest:
		return x.test(e.X)
	case *syntax.UnaryTest:
		return x.unaryTest(e)
	case *syntax.BinaryTest:
		return x.binaryTest(e)
	}
	x.refuse("an unusual condition")
	return false
}

// condition expands a word that something depends on.
func (x *shell) condition(e syntax.TestExpr) string {
	w, ok := e.(*syntax.Word)
	if !ok {
		x.refuse("an unusual condition")
	}
	s := x.literal(w)
	x.decidable(s, "a condition")
	return s
}

func (x *shell) unaryTest(e *syntax.UnaryTest) bool {
	switch e.Op {
	case syntax.TsNot:
		return !x.test(e.X)
	case syntax.TsNempStr:
		return x.condition(e.X) != ""
	case syntax.TsEmpStr:
		return x.condition(e.X) == ""
	case syntax.TsVarSet:
		name := x.condition(e.X)
		if !syntax.ValidName(name) {
			x.refuse("the condition -v %.40q", name)
		}
		v := x.get(name)
		x.decidableVar(v, name)
		_, set := v.first()
		return set
	}
	x.refuse("the condition %s", e.Op)
	return false
}

func (x *shell) binaryTest(e *syntax.BinaryTest) bool {
	switch e.Op {
	case syntax.AndTest:
		return x.test(e.X) && x.test(e.Y)
	case syntax.OrTest:
		return x.test(e.X) || x.test(e.Y)
	}
	left := x.condition(e.X)
	w, ok := e.Y.(*syntax.Word)
	if !ok {
		x.refuse("an unusual condition")
	}
	switch e.Op {
	case syntax.TsMatch, syntax.TsMatchShort:
		return x.matches(x.glob(x.pattern(w)), left)
	case syntax.TsNoMatch:
		return !x.matches(x.glob(x.pattern(w)), left)
	case syntax.TsReMatch:
		return x.regex(left, w)
	}
	op, ok := numeric[e.Op.String()]
	if !ok {
		x.refuse("the condition %s", e.Op)
	}
	return op(x.testNumber(left), x.testNumber(x.condition(w)))
}

var numeric = map[string]func(a, b int) bool{
	"-eq": func(a, b int) bool { return a == b },
	"-ne": func(a, b int) bool { return a != b },
	"-lt": func(a, b int) bool { return a < b },
	"-le": func(a, b int) bool { return a <= b },
	"-gt": func(a, b int) bool { return a > b },
	"-ge": func(a, b int) bool { return a >= b },
}

// testNumber is an operand of a numeric condition, which bash takes for an
// arithmetic expression.
func (x *shell) testNumber(s string) int {
	if s == "" {
		return 0
	}
	if !decimal.MatchString(s) {
		x.refuse("a number %.40q", s)
	}
	return x.operand(s)
}

// regex is =~. What leftmost-longest and leftmost-first matching do not agree
// on, down to each group, is refused, and so is what only some libraries know.
func (x *shell) regex(s string, w *syntax.Word) bool {
	var b strings.Builder
	for _, seg := range x.single(w) {
		x.decidable(seg.text, "a regular expression")
		if seg.quoted {
			b.WriteString(regexp.QuoteMeta(seg.text))
		} else {
			b.WriteString(seg.text)
		}
	}
	expr := b.String()
	if oddRegex.MatchString(expr) {
		x.refuse("the regular expression %.60q", expr)
	}
	posix, err := regexp.CompilePOSIX(expr)
	if err != nil {
		x.refuse("the regular expression %.60q", expr)
	}
	perl, err := regexp.Compile("(?s:" + expr + ")")
	if err != nil || len(expr) > 1000 || strings.Contains(s, "\n") {
		x.refuse("the regular expression %.60q", expr)
	}
	x.work(len(s) * (len(expr) + 1))
	m := posix.FindStringSubmatchIndex(s)
	if !slices.Equal(m, perl.FindStringSubmatchIndex(s)) {
		x.refuse("the regular expression %.60q, which matches in several ways", expr)
	}
	v := variable{set: true, kind: array}
	for i := 0; i < len(m); i += 2 {
		group := ""
		switch {
		case i > 0 && ambiguous.MatchString(expr):
			group = opaque + "a group of a regular expression" + opaque
		case m[i] >= 0:
			group = s[m[i]:m[i+1]]
		}
		v.list = append(v.list, group)
	}
	x.set("BASH_REMATCH", v)
	return m != nil
}

// oddRegex finds backslashes in front of letters, in brackets or at an end, and
// repetitions of repetitions.
var oddRegex = regexp.MustCompile(`\\[A-Za-z0-9<>]|\[[^\]]*[\\\[]|[*+?}][*+?{]|\{[^}]{4}|^[*+?{]|[(|][*+?{)|]`)

// ambiguous finds alternatives and repeated groups: what a group has then depends
// on the library.
var ambiguous = regexp.MustCompile(`\||\)[*+?{]`)

// oldTest is [ ... ] and test.
func (x *shell) oldTest(args []string) bool {
	for _, a := range args {
		x.decidable(a, "a condition")
	}
	switch len(args) {
	case 0:
		return false
	case 1:
		return args[0] != ""
	case 2:
		switch args[0] {
		case "!":
			return args[1] == ""
		case "-n":
			return args[1] != ""
		case "-z":
			return args[1] == ""
		}
	case 3:
		switch args[1] {
		case "=", "==":
			return args[0] == args[2]
		case "!=":
			return args[0] != args[2]
		}
		if op, ok := numeric[args[1]]; ok && decimal.MatchString(args[0]) && decimal.MatchString(args[2]) {
			return op(x.operand(args[0]), x.operand(args[2]))
		}
	case 4:
		if args[0] == "!" {
			return !x.oldTest(args[1:])
		}
	}
	x.refuse("the condition [ %.60s ]", strings.Join(args, " "))
	return false
}
