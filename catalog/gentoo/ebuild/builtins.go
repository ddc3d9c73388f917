package ebuild

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A builtin is a command that this package knows. It returns its status.
type builtin func(x *shell, args []string) int

// builtins are those of bash, and the functions that package managers give to
// ebuilds outside of phases.
var builtins map[string]builtin

func init() {
	quiet := func(*shell, []string) int { return 0 }
	builtins = map[string]builtin{
		":": quiet, "true": quiet, "false": func(*shell, []string) int { return 1 },
		"[": bracket, "test": func(x *shell, args []string) int { return truth(x.oldTest(args)) },
		"echo": echo, "printf": printf, "read": readLine, "shift": shift, "unset": unset, "set": setParams,
		"return": leave, "break": breakOut(breakLoop), "continue": breakOut(continueLoop), "shopt": shopt,
		"die": die, "assert": die, "exit": die, "has": has, "hasq": has, "inherit": inherit,
		"EXPORT_FUNCTIONS": quiet, "debug-print": quiet, "debug-print-function": quiet, "debug-print-section": quiet,
		"einfo": quiet, "einfon": quiet, "elog": quiet, "ewarn": quiet, "eqawarn": quiet, "eerror": quiet,
		"ver_cut": verCut, "ver_rs": verRs, "ver_test": verTest,
	}
}

func isBuiltin(name string) bool { return builtins[name] != nil || declarations[name] }

var declarations = wordSet("declare typeset local export readonly")

// isKeyword reports whether bash, or a package manager, has a meaning for a name
// that must not be replaced.
func isKeyword(name string) bool { return keywords[name] }

var keywords = wordSet("alias bind builtin caller cd command compgen complete coproc dirs disown enable eval exec fc fg getopts hash help jobs kill let mapfile popd pushd pwd readarray source suspend time times trap type ulimit umask unalias wait . use usex useq usev use_enable use_with")

func bracket(x *shell, args []string) int {
	if len(args) == 0 || args[len(args)-1] != "]" {
		x.refuse("[ without ]")
	}
	return truth(x.oldTest(args[:len(args)-1]))
}

func (x *shell) print(s string) {
	if x.out != nil {
		x.spend(len(s))
		io.WriteString(x.out, s)
	}
}

func echo(x *shell, args []string) int {
	end := "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	if len(args) > 0 && strings.HasPrefix(args[0], "-") && strings.Trim(args[0], "-neE") == "" && args[0] != "-" {
		x.refuse("echo %s", args[0])
	}
	x.print(strings.Join(args, " ") + end)
	return 0
}

func printf(x *shell, args []string) int {
	into := ""
	if len(args) > 1 && args[0] == "-v" {
		into, args = args[1], args[2:]
		if !syntax.ValidName(into) {
			x.refuse("printf -v %.40q", into)
		}
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		x.refuse("printf without a format")
	}
	format, args := args[0], args[1:]
	x.decidable(format, "a format")
	var b strings.Builder
	for {
		rest := x.format(&b, format, args)
		if len(rest) == 0 || len(rest) == len(args) {
			break
		}
		args = rest
	}
	if into != "" {
		x.setString(into, b.String())
	} else {
		x.print(b.String())
	}
	return 0
}

// format prints format once and returns the arguments that are left.
func (x *shell) format(b *strings.Builder, format string, args []string) []string {
	next := func() (s string) {
		if len(args) > 0 {
			s, args = args[0], args[1:]
		}
		return s
	}
	for i := 0; i < len(format); i++ {
		c := format[i]
		if c != '%' && c != '\\' {
			b.WriteByte(c)
			continue
		}
		i++
		if i == len(format) {
			x.refuse("the format %.40q", format)
		}
		switch string([]byte{c, format[i]}) {
		case `\n`:
			b.WriteByte('\n')
		case `\t`:
			b.WriteByte('\t')
		case `\\`:
			b.WriteByte('\\')
		case "%%":
			b.WriteByte('%')
		case "%s":
			b.WriteString(next())
		case "%d":
			s := next()
			if !decimal.MatchString(s) {
				x.refuse("a number %.40q", s)
			}
			b.WriteString(s)
		case "%0":
			i += x.padded(b, format[i+1:], next())
		default:
			x.refuse("the format %.40q", format)
		}
		x.spend(b.Len() / 64)
	}
	return args
}

// padded prints %0Nd and returns the length of what follows the zero.
func (x *shell) padded(b *strings.Builder, format, arg string) int {
	if len(format) < 2 || format[0] < '1' || format[0] > '9' || format[1] != 'd' || !decimal.MatchString(arg) {
		x.refuse("the format %%0%.20s of %.20q", format, arg)
	}
	n, _ := strconv.Atoi(arg)
	fmt.Fprintf(b, "%0*d", int(format[0]-'0'), n)
	return 2
}

// readLine is read.
func readLine(x *shell, args []string) int {
	raw, into := false, ""
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-r":
			raw = true
		case "-ra", "-a":
			raw = raw || args[0] == "-ra"
			if len(args) < 2 {
				x.refuse("read -a")
			}
			into, args = args[1], args[1:]
		default:
			x.refuse("read %.20s", args[0])
		}
		args = args[1:]
	}
	if x.in == nil {
		x.refuse("read without a string")
	}
	line, ok := x.nextLine()
	x.decidable(line, "read")
	if !raw && strings.Contains(line, `\`) {
		x.refuse("read of backslashes")
	}
	switch {
	case into != "":
		x.set(into, variable{set: true, kind: array, list: x.splitAll(line)})
	case len(args) == 0:
		x.setString("REPLY", line)
	default:
		x.readInto(args, line)
	}
	return truth(ok)
}

func (x *shell) nextLine() (line string, ok bool) {
	var b strings.Builder
	for {
		c, err := x.in.ReadByte()
		if err != nil {
			return b.String(), false
		}
		if c == '\n' {
			return b.String(), true
		}
		b.WriteByte(c)
	}
}

// splitAll splits a line into fields.
func (x *shell) splitAll(line string) (list []string) {
	e := &expansion{x: x, split: true, ifs: x.ifs()}
	e.value(line)
	e.end()
	for _, f := range e.done {
		list = append(list, f.String())
	}
	return list
}

// readInto gives each variable a field, and the last one what is left.
func (x *shell) readInto(names []string, line string) {
	ifs := x.ifs()
	white := strings.Trim(ifs, " \t\n") == ""
	if !white && len(ifs) != 1 {
		x.refuse("splitting at each of %q", ifs)
	}
	if white {
		line = strings.Trim(line, ifs)
	}
	for i, name := range names {
		if !syntax.ValidName(name) {
			x.refuse("read into %.40q", name)
		}
		if i == len(names)-1 {
			// One separator at the end belongs to a last field without others.
			if s, ok := strings.CutSuffix(line, ifs); ok && !white && !strings.Contains(s, ifs) {
				line = s
			}
			x.setString(name, line)
			return
		}
		s, rest := line, ""
		if j := strings.IndexAny(line, ifs); j >= 0 && ifs != "" {
			s, rest = line[:j], line[j+1:]
			if white {
				rest = strings.TrimLeft(rest, ifs)
			}
		}
		x.setString(name, s)
		line = rest
	}
}

func shift(x *shell, args []string) int {
	n := 1
	if len(args) > 0 {
		n = x.testNumber(args[0])
	}
	f := x.own()
	if n < 0 || n > len(f.params) {
		return 1
	}
	f.params = f.params[n:]
	return 0
}

// own is the frame whose parameters a builtin changes.
func (x *shell) own() *frame {
	if x.top().command {
		x.refuse("an assignment before a command that changes the parameters")
	}
	return x.top()
}

func unset(x *shell, args []string) int {
	if len(args) > 0 && args[0] == "-v" {
		args = args[1:]
	}
	if len(args) > 0 && args[0] == "-f" {
		for _, f := range args[1:] {
			delete(x.funcs, f)
		}
		return 0
	}
	for _, name := range args {
		if !syntax.ValidName(name) || x.funcs[name] != nil {
			x.refuse("unset %.40q", name)
		}
		x.set(name, variable{})
	}
	return 0
}

func setParams(x *shell, args []string) int {
	if len(args) == 0 || args[0] != "--" {
		x.refuse("set without --")
	}
	x.own().params = args[1:]
	return 0
}

func leave(x *shell, args []string) int {
	status := x.status
	if len(args) > 0 {
		status = x.testNumber(args[0]) & 0xff
	}
	x.jump = jump{kind: returning}
	return status
}

func breakOut(k jumpKind) builtin {
	return func(x *shell, args []string) int {
		n := 1
		if len(args) > 0 {
			n = x.testNumber(args[0])
		}
		if n < 1 || n > x.loops {
			x.refuse("a jump out of more loops than there are")
		}
		x.jump = jump{k, n}
		return 0
	}
}

// shopt allows what changes nothing here.
func shopt(x *shell, args []string) int {
	if len(args) != 2 || args[0] != "-s" && args[0] != "-u" || args[1] != "extglob" && args[1] != "nullglob" {
		x.refuse("shopt %.40s", strings.Join(args, " "))
	}
	return 0 // extended patterns and patterns of file names are refused anyway
}

func die(x *shell, args []string) int {
	x.refuse("the ebuild ends with %.100q", strings.Join(args, " "))
	return 1
}

func has(x *shell, args []string) int {
	if len(args) == 0 {
		x.refuse("has without an argument")
	}
	for _, a := range args {
		x.decidable(a, "has")
	}
	for _, a := range args[1:] {
		if a == args[0] {
			return 0
		}
	}
	return 1
}

// declare is declare, local, export and readonly.
func (x *shell) declare(c *syntax.DeclClause) {
	d := declaration{x: x, local: c.Variant.Value == "local" || len(x.calls) > 0 && (c.Variant.Value == "declare" || c.Variant.Value == "typeset")}
	d.readonly = c.Variant.Value == "readonly"
	if c.Variant.Value == "nameref" {
		x.refuse("a reference to a variable")
	}
	if c.Variant.Value == "local" && len(x.calls) == 0 {
		x.refuse("local outside of a function")
	}
	x.substituted = false
	for _, a := range c.Args {
		if a.Name == nil {
			w := x.literal(a.Value)
			if strings.HasPrefix(w, "-") {
				d.option(w)
				continue
			}
			x.refuse("a declaration of %.40q", w)
		}
		d.variable(a)
	}
	x.status = 0
}

type declaration struct {
	x                      *shell
	local, readonly, table bool
	array                  bool
}

func (d *declaration) option(w string) {
	for _, o := range w[1:] {
		switch o {
		case 'a':
			d.array = true
		case 'A':
			d.table = true
		case 'g':
			d.local = false
		case 'r':
			d.readonly = true
		case 'x':
		default:
			d.x.refuse("a declaration with %s", w)
		}
	}
}

func (d *declaration) variable(a *syntax.Assign) {
	x := d.x
	name := a.Name.Value
	if a.Value != nil && len(x.braces(a.Value)) != 1 {
		x.refuse("braces in a declaration") // which make several of it
	}
	set := x.set
	if d.local {
		set = func(name string, v variable) {
			if old, _ := x.lookup(name); old.readonly || isDynamic(name) {
				x.refuse("a local variable %s", name)
			}
			x.account(v)
			x.scope().vars[name] = v
		}
	}
	old, known := x.lookup(name)
	if d.local {
		old, known = x.scope().vars[name]
	} else if !known && a.Append {
		old = x.get(name)
	}
	switch {
	case d.table && old.kind != table:
		if old.set {
			x.refuse("a variable that becomes an associative array")
		}
		old = variable{kind: table}
	case d.array && old.kind == scalar && !old.set:
		old = variable{kind: array}
	}
	if a.Naked {
		if !known || d.table || d.array {
			if !d.local && !known && x.unknown(name) && !d.table && !d.array {
				return // export of what the environment has
			}
			set(name, old)
		}
	} else {
		x.assign(a, func() variable { return old }, set)
	}
	if d.readonly {
		v, _ := x.lookup(name)
		v.readonly = true
		x.scopeOf(name)[name] = v
	}
}

// scope is the frame of the function that is being run.
func (x *shell) scope() *frame {
	for i := len(x.frames) - 1; ; i-- {
		if f := x.frames[i]; f.subshell {
			x.refuse("a local variable in a subshell")
		} else if f.function {
			return f
		}
	}
}

// scopeOf has the variables among which name is.
func (x *shell) scopeOf(name string) map[string]variable {
	for i := len(x.frames) - 1; i >= 0; i-- {
		if _, ok := x.frames[i].vars[name]; ok {
			return x.frames[i].vars
		}
	}
	return x.globals
}
