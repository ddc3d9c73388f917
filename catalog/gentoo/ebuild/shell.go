package ebuild

import (
	"context"
	"fmt"
	"io"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A shell runs one ebuild.
type shell struct {
	ctx       context.Context
	evaluator *Evaluator
	pkg       *Package
	eapi      int
	version   string // PV

	globals map[string]variable
	frames  []*frame
	calls   []string // functions that are being run
	funcs   map[string]*syntax.Stmt
	out     io.Writer // nil: nobody reads it
	in      *strings.Reader

	status      int
	substituted bool // a command substitution has set status
	jump        jump
	loops       int
	steps       int
	memory      int
	line        int

	// What inherit has done.
	eclassVars       map[string]string
	inherited        []string
	versionFunctions bool // of EAPI 7, in an older one
	read             []Eclass
	known            []string // those that were not run
	unseen           []string // those of them that are not at hand
	depth            int
}

// A jump is on its way out of commands.
type jump struct {
	kind  jumpKind
	loops int // how many loops to leave
}

type jumpKind uint8

const (
	noJump jumpKind = iota
	breakLoop
	continueLoop
	returning
)

func (x *shell) refuse(format string, args ...any) {
	panic(&Refusal{Line: x.line, Msg: fmt.Sprintf(format, args...)})
}

// step bounds the work.
func (x *shell) step() { x.work(64) }

// work counts in 64ths of a step.
func (x *shell) work(n int) {
	before := x.steps / (1 << 16)
	if x.steps += n; x.steps > 64*maxSteps {
		x.refuse("more work than %d steps", maxSteps)
	}
	if x.steps/(1<<16) != before {
		if err := context.Cause(x.ctx); err != nil {
			panic(canceled{err})
		}
	}
}

// source runs a file in the scope at hand.
func (x *shell) source(f *syntax.File) {
	x.stmts(f.Stmts)
	x.jump = jump{} // return ends the file
}

func (x *shell) stmts(list []*syntax.Stmt) {
	for _, s := range list {
		if x.jump.kind != noJump {
			return
		}
		x.stmt(s)
	}
}

func (x *shell) stmt(s *syntax.Stmt) {
	x.step()
	if x.depth == 0 && len(x.calls) == 0 {
		x.line = int(s.Pos().Line())
	}
	if s.Background || s.Coprocess || s.Disown {
		x.refuse("a command in the background")
	}
	in, out := x.in, x.out
	for _, r := range s.Redirs {
		x.redirect(r)
	}
	if s.Cmd == nil {
		x.status = 0
	} else {
		x.command(s.Cmd)
	}
	x.in, x.out = in, out
	if s.Negated && x.jump.kind == noJump {
		x.status = truth(x.status != 0)
	}
}

// truth is the status of a condition.
func truth(ok bool) int {
	if ok {
		return 0
	}
	return 1
}

// redirect knows what silences a command, and what feeds it a string.
func (x *shell) redirect(r *syntax.Redirect) {
	n := ""
	if r.N != nil {
		n = r.N.Value
	}
	switch r.Op {
	case syntax.WordHdoc:
		x.in = strings.NewReader(x.literal(r.Word) + "\n")
		return
	case syntax.Hdoc:
		x.in = strings.NewReader(x.literal(r.Hdoc))
		return
	case syntax.RdrOut, syntax.AppOut, syntax.RdrAll, syntax.AppAll:
		if r.Word.Lit() == "/dev/null" && (n == "" || n == "1" || n == "2") {
			if n != "2" {
				x.out = nil
			}
			return
		}
	case syntax.DplOut:
		// Nobody reads what goes to standard error.
		switch w := r.Word.Lit(); {
		case (n == "" || n == "1") && w == "2":
			x.out = nil
			return
		case n == "2" && (w == "1" && x.out == nil || w == "-"):
			return
		}
	}
	x.refuse("a redirection")
}

func (x *shell) command(c syntax.Command) {
	switch c := c.(type) {
	case *syntax.CallExpr:
		x.call(c)
	case *syntax.DeclClause:
		x.declare(c)
	case *syntax.Block:
		x.stmts(c.Stmts)
	case *syntax.Subshell:
		x.subshell(c.Stmts, x.out)
	case *syntax.IfClause:
		x.ifClause(c)
	case *syntax.CaseClause:
		x.caseClause(c)
	case *syntax.ForClause:
		x.forClause(c)
	case *syntax.WhileClause:
		x.whileClause(c)
	case *syntax.BinaryCmd:
		x.binary(c)
	case *syntax.TestClause:
		x.status = truth(x.test(c.X))
	case *syntax.ArithmCmd:
		x.status = truth(x.number(c.X) != 0)
	case *syntax.FuncDecl:
		x.define(c)
	default:
		x.refuse("an unusual command")
	}
}

func (x *shell) define(c *syntax.FuncDecl) {
	for _, f := range x.frames {
		if f.subshell {
			x.refuse("a function that is defined in a subshell")
		}
	}
	if isBuiltin(c.Name.Value) || isKeyword(c.Name.Value) {
		x.refuse("a function called %s", c.Name.Value)
	}
	x.funcs[c.Name.Value] = c.Body
	x.status = 0
}

func (x *shell) binary(c *syntax.BinaryCmd) {
	switch c.Op {
	case syntax.AndStmt, syntax.OrStmt:
	default:
		x.refuse("a pipe")
	}
	x.stmt(c.X)
	if x.jump.kind == noJump && (x.status == 0) == (c.Op == syntax.AndStmt) {
		x.stmt(c.Y)
	}
}

// subshell runs commands whose assignments are forgotten.
func (x *shell) subshell(list []*syntax.Stmt, out io.Writer) {
	x.enter(&frame{vars: make(map[string]variable), params: x.top().params, subshell: true})
	old, loops := x.out, x.loops
	x.out, x.loops = out, 0
	x.status = 0
	x.stmts(list)
	x.out, x.loops = old, loops
	x.jump = jump{}
	x.leave()
}

func (x *shell) enter(f *frame) {
	if len(x.frames) > maxDepth {
		x.refuse("more than %d calls inside of calls", maxDepth)
	}
	x.frames = append(x.frames, f)
}

func (x *shell) leave() { x.frames = x.frames[:len(x.frames)-1] }

func (x *shell) ifClause(c *syntax.IfClause) {
	for ; c != nil; c = c.Else {
		if len(c.Cond) > 0 {
			x.stmts(c.Cond)
			if x.jump.kind != noJump {
				return
			}
			if x.status != 0 {
				x.status = 0
				continue
			}
		}
		x.status = 0
		x.stmts(c.Then)
		return
	}
}

func (x *shell) caseClause(c *syntax.CaseClause) {
	word := x.literal(c.Word)
	x.decidable(word, "a case")
	x.status = 0
	for _, item := range c.Items {
		for _, p := range item.Patterns {
			if x.matches(x.glob(x.pattern(p)), word) {
				if item.Op != syntax.Break {
					x.refuse("a case that falls through")
				}
				x.stmts(item.Stmts)
				return
			}
		}
	}
}

func (x *shell) forClause(c *syntax.ForClause) {
	if c.Select || c.Braces {
		x.refuse("an unusual loop")
	}
	switch l := c.Loop.(type) {
	case *syntax.WordIter:
		items := x.top().params
		if l.InPos.IsValid() {
			items = x.fields(l.Items)
		}
		x.status = 0
		for _, s := range items {
			x.decidable(s, "a loop")
		}
		for _, s := range items {
			x.setString(l.Name.Value, s)
			if !x.round(c.Do) {
				return
			}
		}
	case *syntax.CStyleLoop:
		if l.Init == nil || l.Cond == nil || l.Post == nil {
			x.refuse("an unusual loop")
		}
		x.status = 0
		for x.number(l.Init); x.number(l.Cond) != 0; x.number(l.Post) {
			if !x.round(c.Do) {
				return
			}
		}
	}
}

func (x *shell) whileClause(c *syntax.WhileClause) {
	status := 0
	for {
		x.stmts(c.Cond)
		if x.jump.kind != noJump {
			x.refuse("a jump out of the condition of a loop")
		}
		if (x.status == 0) == c.Until {
			x.status = status
			return
		}
		if !x.round(c.Do) {
			return
		}
		status = x.status
	}
}

// round runs the body of a loop once, and reports whether the loop goes on.
func (x *shell) round(body []*syntax.Stmt) bool {
	x.step()
	x.loops++
	x.status = 0
	x.stmts(body)
	x.loops--
	j := &x.jump
	switch j.kind {
	case noJump:
		return true
	case returning:
		return false
	}
	if j.loops--; j.loops > 0 {
		return false
	}
	again := j.kind == continueLoop
	*j = jump{}
	return again
}

// call runs a simple command.
func (x *shell) call(c *syntax.CallExpr) {
	x.substituted = false
	args := x.fields(c.Args)
	if len(args) == 0 {
		for _, a := range c.Assigns {
			x.assign(a, func() variable { return x.before(a) }, x.set)
		}
		if !x.substituted {
			x.status = 0
		}
		return
	}
	if len(c.Assigns) > 0 {
		f := &frame{vars: make(map[string]variable), params: x.top().params, command: true}
		for _, a := range c.Assigns {
			x.assign(a, func() variable { return x.before(a) }, func(name string, v variable) { f.vars[name] = v })
		}
		x.enter(f)
		defer x.leave()
	}
	x.invoke(args)
}

// invoke runs a function or a builtin.
func (x *shell) invoke(args []string) {
	name := args[0]
	x.decidable(name, "a command")
	if f := x.funcs[name]; f != nil {
		x.function(name, f, args[1:])
		return
	}
	if b := builtins[name]; b != nil {
		x.status = b(x, args[1:])
		return
	}
	if !x.knownFunction(name, args[1:]) {
		x.refuse("the command %.60q is not available here", name)
	}
}

func (x *shell) function(name string, body *syntax.Stmt, params []string) {
	x.enter(&frame{vars: make(map[string]variable), params: params, function: true})
	x.calls = append(x.calls, name)
	loops := x.loops
	x.loops = 0
	x.status = 0
	x.stmt(body)
	x.loops = loops
	x.calls = x.calls[:len(x.calls)-1]
	x.leave()
	if x.jump.kind == returning {
		x.jump = jump{}
	}
}
