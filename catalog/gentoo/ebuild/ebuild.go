// Package ebuild works out what files an ebuild wants, without a shell.
//
// It runs the part of bash that ebuilds and eclasses use outside of functions:
// assignments, parameter expansion, conditions, loops, functions. There is
// nothing that could start a program, open a file or look at a directory, and
// the work and the memory of one ebuild are bounded.
//
// It never guesses. Whatever it does not know for certain ends the ebuild with
// a [Refusal]: a command that is neither a function nor one of the few builtins,
// a construct of bash on which implementations differ, an eclass that is neither
// at hand nor one of those whose effect is known. What such an eclass sets, or
// the environment has, is an opaque value: it may be copied around, for that is
// what ebuilds do with dependencies, but when anything depends on it the ebuild
// is refused.
//
// Begin reading with [Evaluator.Run]; shell.go has the commands of the shell,
// words.go the expansions, eclass.go inherit and known.go the known eclasses.
package ebuild

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"mvdan.cc/sh/v3/syntax"
)

// Version is that of what this package knows by itself. A result that was made
// with another version may be wrong by now.
const Version = "1"

// A Refusal says why an ebuild cannot be understood.
type Refusal struct {
	// Line is that of the ebuild, or of the eclass that Msg names; 0 if it
	// is not known.
	Line int
	Msg  string
}

func (r *Refusal) Error() string {
	if r.Line > 0 {
		return fmt.Sprintf("line %d: %s", r.Line, r.Msg)
	}
	return r.Msg
}

// A Package is the ebuild to be understood.
type Package struct {
	// Category, Name and Version are those of category/name-version.ebuild;
	// the version has the revision.
	Category, Name, Version string
	Text                    []byte
}

// Metadata are the values that matter to a mirror, as a package manager would
// find them, but for white space.
type Metadata struct {
	EAPI, SrcURI, Restrict, Properties string
	// Eclasses are those that were read, and Known those whose effect this
	// package knew by itself, each in the order in which they were inherited.
	Eclasses []Eclass
	Known    []string
}

// An Eclass is an eclass that was read.
type Eclass struct {
	Name string
	MD5  [md5.Size]byte
}

// An Evaluator runs ebuilds of one tree. It may be used concurrently.
type Evaluator struct {
	eclass  func(name string) ([]byte, error)
	mu      sync.Mutex
	sources map[string]*source
}

// A source is an eclass that is at hand.
type source struct {
	once sync.Once
	sum  [md5.Size]byte
	text string
	// found is set when sum is that of a file, usable or not.
	found bool

	parsing sync.Once
	file    *syntax.File
	err     error // ErrNoEclass, or why it cannot be used
}

// ErrNoEclass means that an eclass is not at hand.
var ErrNoEclass = errors.New("no such eclass at hand")

// New returns an Evaluator that asks eclass, which may be called concurrently,
// for the text of an eclass. Its error wraps ErrNoEclass when there is none.
func New(eclass func(name string) ([]byte, error)) *Evaluator {
	return &Evaluator{eclass: eclass, sources: make(map[string]*source)}
}

// Run works out what p wants. Its error is a *Refusal, or the cause of ctx.
func (e *Evaluator) Run(ctx context.Context, p *Package) (m *Metadata, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	x := &shell{
		ctx: ctx, evaluator: e, pkg: p, globals: make(map[string]variable), frames: []*frame{{}},
		funcs: make(map[string]*syntax.Stmt), eclassVars: make(map[string]string),
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Refusal:
			m, err = nil, r
		case canceled:
			m, err = nil, r.error
		default:
			// An ebuild must not end the program, whatever it has found.
			m, err = nil, &Refusal{Line: x.line, Msg: fmt.Sprintf("cannot be understood: %v", r)}
		}
	}()
	return x.run(), nil
}

// canceled carries the cause of a context out of the depths.
type canceled struct{ error }

// eapiLine is the assignment that PMS 7.3.1 asks for.
var eapiLine = regexp.MustCompile(`^[ \t]*EAPI=(?:'([A-Za-z0-9+_.-]*)'|"([A-Za-z0-9+_.-]*)"|([A-Za-z0-9+_.-]*))[ \t]*(?:[ \t]#.*)?$`)

// findEAPI reads the EAPI off the first line that is neither blank nor a
// comment.
func findEAPI(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if t := strings.TrimLeft(line, " \t"); t == "" || t[0] == '#' {
			continue
		}
		if m := eapiLine.FindStringSubmatch(line); m != nil {
			return m[1] + m[2] + m[3]
		}
		break
	}
	return "0"
}

// parse parses bash. Two parsers may differ on what is no valid UTF-8, and the
// byte that marks opaque values must not be in the text.
func parse(name string, text []byte) (*syntax.File, error) {
	if strings.Contains(string(text), opaque) || !validText(text) {
		return nil, &Refusal{Msg: name + " has bytes that no ebuild has"}
	}
	if nests(text) {
		return nil, &Refusal{Msg: name + " may nest too deeply"}
	}
	f, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(quoteKeys(string(text))), name)
	if err != nil {
		return nil, &Refusal{Msg: err.Error()}
	}
	return f, nil
}

var (
	tableBegin = regexp.MustCompile(`^[ \t]*(?:declare|typeset|local)(?: -[a-zA-Z]+)* -[a-zA-Z]*A[a-zA-Z]*(?: -[a-zA-Z]+)* \w+\+?=\([ \t]*\n?$`)
	tableKey   = regexp.MustCompile(`^([ \t]*)\[([A-Za-z0-9_.+@/~-]+)\]=`)
)

// quoteKeys puts the keys of associative arrays, one a line, in quotes: the
// parser takes names with hyphens and dots for arithmetic.
func quoteKeys(text string) string {
	if !strings.Contains(text, "A") {
		return text
	}
	var b strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		switch {
		case !inside:
			inside = tableBegin.MatchString(line)
		case strings.HasPrefix(strings.TrimLeft(line, " \t"), ")"):
			inside = false
		default:
			line = tableKey.ReplaceAllString(line, `$1["$2"]=`)
		}
		b.WriteString(line)
	}
	return b.String()
}

// maxNesting bounds what may open something in a text. The parser calls itself
// for each, and nothing can be done once the stack of a goroutine is full.
const maxNesting = 10_000

// nests reports whether text has that much, be it one in the other or not: the
// longest real ebuilds have some hundreds.
func nests(text []byte) bool {
	n, run := 0, 0
	for i, c := range text {
		switch c {
		case '(', '{', '`', '!', '~', '|', '&', '<', '?', '[', '\'':
			n++
		case '-', '+', '=', ':', ',', '*', '/', '%', '^':
			// Operators are opened by what is one of many of them.
			if run++; run > maxNesting/10 {
				return true
			}
			continue
		case ' ', '\t':
			continue
		case 'i', 'w', 'u', 'f', 'c', 's', 't':
			// Words of the shell stand at the beginning of a command.
			if i == 0 || text[i-1] <= ' ' || text[i-1] == ';' || text[i-1] == ')' {
				n += openers(text[i:])
			}
		}
		run = 0
	}
	return n > maxNesting
}

func openers(text []byte) int {
	for _, w := range [...]string{"if", "while", "until", "for", "case", "select", "time", "coproc", "function"} {
		if bytes.HasPrefix(text, []byte(w)) {
			return 1
		}
	}
	return 0
}

func (x *shell) run() *Metadata {
	text := string(x.pkg.Text)
	f, err := parse(x.pkg.Name+"-"+x.pkg.Version+".ebuild", x.pkg.Text)
	if err != nil {
		panic(err)
	}
	eapi := findEAPI(text)
	if len(eapi) != 1 || eapi[0] < '0' || eapi[0] > '9' {
		x.refuse("EAPI %.40q is not known", eapi)
	}
	x.eapi = int(eapi[0] - '0')
	x.start(eapi)
	x.source(f)
	m := &Metadata{EAPI: x.final("EAPI"), Eclasses: x.read, Known: x.unseen}
	if m.EAPI != eapi {
		x.refuse("EAPI is %q where it must be stated, and %.40q at the end", eapi, m.EAPI)
	}
	m.SrcURI = x.final("SRC_URI")
	m.Restrict = x.accumulated("RESTRICT")
	m.Properties = x.accumulated("PROPERTIES")
	return m
}

// start sets what a package manager sets.
func (x *shell) start(eapi string) {
	p := x.pkg
	pv, pr := p.Version, "r0"
	if i := strings.LastIndex(pv, "-r"); i >= 0 {
		pv, pr = pv[:i], pv[i+1:]
	}
	for name, v := range map[string]string{
		"EAPI": eapi, "CATEGORY": p.Category, "PN": p.Name, "PV": pv, "PR": pr, "PVR": p.Version,
		"P": p.Name + "-" + pv, "PF": p.Name + "-" + p.Version, "EBUILD_PHASE": "depend", "IFS": " \t\n",
	} {
		x.globals[name] = text(v)
	}
	x.version = pv
}

// final is the value of a variable at the end.
func (x *shell) final(name string) string {
	s := x.scalar(name)
	x.decidable(s, name)
	return s
}

// accumulated is the final value of a variable that eclasses add to, which they
// do on their own account since EAPI 8.
func (x *shell) accumulated(name string) string {
	s := x.final(name)
	if more := x.eclassVars[name]; more != "" {
		x.decidable(more, name)
		if s != "" {
			s += " "
		}
		s += more
	}
	return s
}
