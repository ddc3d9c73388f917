package ebuild

import (
	"regexp"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// decimal are numbers on which all agree: a leading zero makes them octal.
var decimal = regexp.MustCompile(`^(?:0|-?[1-9][0-9]{0,14})$`)

// maxNumber keeps results far from where numbers wrap around.
const maxNumber = 1 << 52

// number evaluates plain arithmetic.
func (x *shell) number(e syntax.ArithmExpr) int {
	x.step()
	n := x.arith(e)
	if n > maxNumber || n < -maxNumber {
		x.refuse("a very large number")
	}
	return n
}

func (x *shell) arith(e syntax.ArithmExpr) int {
	switch e := e.(type) {
	case *syntax.Word:
		return x.operand(x.literal(e))
	case *syntax.ParenArithm:
		return x.number(e.X)
	case *syntax.UnaryArithm:
		return x.unary(e)
	case *syntax.BinaryArithm:
		return x.binaryArith(e)
	}
	x.refuse("an unusual arithmetic expression")
	return 0
}

// operand is a number, or a variable that has one.
func (x *shell) operand(s string) int {
	s = strings.Trim(s, " \t\n")
	for range 8 {
		if !syntax.ValidName(s) {
			break
		}
		s = x.scalar(s)
		if s == "" {
			return 0
		}
	}
	x.decidable(s, "arithmetic")
	if !decimal.MatchString(s) {
		x.refuse("arithmetic with %.40q", s)
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		x.refuse("arithmetic with %.40q", s)
	}
	return n
}

func (x *shell) unary(e *syntax.UnaryArithm) int {
	switch e.Op {
	case syntax.Inc, syntax.Dec:
		name := x.target(e.X)
		n := x.operand(name)
		next := n + 1
		if e.Op == syntax.Dec {
			next = n - 1
		}
		x.setString(name, strconv.Itoa(next))
		if e.Post {
			return n
		}
		return next
	case syntax.Not:
		return 1 - truth(x.number(e.X) == 0)
	case syntax.Plus:
		return x.number(e.X)
	case syntax.Minus:
		return -x.number(e.X)
	}
	x.refuse("the arithmetic operator %s", e.Op)
	return 0
}

// target is the variable that arithmetic assigns to.
func (x *shell) target(e syntax.ArithmExpr) string {
	w, ok := e.(*syntax.Word)
	if !ok || !syntax.ValidName(w.Lit()) {
		x.refuse("arithmetic that assigns to no variable")
	}
	return w.Lit()
}

func (x *shell) binaryArith(e *syntax.BinaryArithm) int {
	is := func(ok bool) int { return 1 - truth(ok) }
	switch e.Op {
	case syntax.Assgn, syntax.AddAssgn, syntax.SubAssgn:
		name := x.target(e.X)
		n := x.number(e.Y)
		switch e.Op {
		case syntax.AddAssgn:
			n = x.operand(name) + n
		case syntax.SubAssgn:
			n = x.operand(name) - n
		}
		x.setString(name, strconv.Itoa(n))
		return n
	case syntax.AndArit:
		return is(x.number(e.X) != 0 && x.number(e.Y) != 0)
	case syntax.OrArit:
		return is(x.number(e.X) != 0 || x.number(e.Y) != 0)
	case syntax.TernQuest:
		b, ok := e.Y.(*syntax.BinaryArithm)
		if !ok || b.Op != syntax.TernColon {
			break
		}
		if x.number(e.X) != 0 {
			return x.number(b.X)
		}
		return x.number(b.Y)
	case syntax.Add, syntax.Sub, syntax.Mul, syntax.Quo, syntax.Rem, syntax.Eql, syntax.Neq, syntax.Lss, syntax.Leq, syntax.Gtr, syntax.Geq:
		a, b := x.number(e.X), x.number(e.Y)
		return x.compute(e.Op, a, b)
	}
	x.refuse("the arithmetic operator %s", e.Op)
	return 0
}

func (x *shell) compute(op syntax.BinAritOperator, a, b int) int {
	is := func(ok bool) int { return 1 - truth(ok) }
	switch op {
	case syntax.Add:
		return a + b
	case syntax.Sub:
		return a - b
	case syntax.Eql:
		return is(a == b)
	case syntax.Neq:
		return is(a != b)
	case syntax.Lss:
		return is(a < b)
	case syntax.Leq:
		return is(a <= b)
	case syntax.Gtr:
		return is(a > b)
	case syntax.Geq:
		return is(a >= b)
	}
	if b == 0 && op != syntax.Mul || max(a, -a, b, -b) > 1<<26 {
		x.refuse("the arithmetic of %d and %d", a, b)
	}
	switch op {
	case syntax.Mul:
		return a * b
	case syntax.Quo:
		return a / b
	}
	return a % b
}
