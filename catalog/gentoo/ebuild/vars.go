package ebuild

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of one ebuild. The largest real ones, with thousands of crates, need a
// few per cent of these.
const (
	maxSteps  = 1 << 20  // statements, rounds of loops, expansions
	maxValue  = 2 << 20  // bytes of one value
	maxMemory = 64 << 20 // bytes of all values that are ever made
	maxDepth  = 64       // calls inside of calls
)

// opaque marks a value that is not known. It is in the private use area, so that
// it is in no ebuild.
const opaque = "\uf8ff"

// outside are the variables that the environment or the package manager sets: an
// ebuild must not depend on them here.
var outside = wordSet(`A AA ABI ARCH BROOT CBUILD CFLAGS CHOST CPPFLAGS CTARGET CXXFLAGS D DISTDIR EBUILD ECLASSDIR ED ELIBC EPREFIX
	EROOT ESYSROOT FEATURES FILESDIR HOME KERNEL LANG LC_ALL LDFLAGS LIBDIR LOGNAME MAKEOPTS MERGE_TYPE NOCOLOR PATH PORTDIR PWD
	REPLACED_BY_VERSION REPLACING_VERSIONS ROOT S SYSROOT T TMPDIR USE USER USERLAND WORKDIR EBUILD_PHASE_FUNC`)

// dynamic are the variables that bash computes, or obeys.
var dynamic = wordSet(`$ ! - 0 _ RANDOM SRANDOM SECONDS LINENO PPID UID EUID GROUPS DIRSTACK HOSTNAME OSTYPE MACHTYPE HOSTTYPE SHELL
	SHLVL SHELLOPTS EPOCHSECONDS EPOCHREALTIME PIPESTATUS OPTIND OPTARG OPTERR COLUMNS LINES HISTCMD GLOBIGNORE POSIXLY_CORRECT`)

func isDynamic(name string) bool {
	return dynamic[name] || strings.HasPrefix(name, "BASH") && name != "BASH_REMATCH"
}

func wordSet(s string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

type kind uint8

const (
	scalar kind = iota
	array       // of consecutive indices from 0
	table       // an associative array
)

// A variable is not changed once it is set: what changes an array copies it.
type variable struct {
	set, readonly bool
	kind          kind
	str           string
	list          []string
	keys          map[string]string
}

func text(s string) variable { return variable{set: true, str: s} }

// first is what $name means.
func (v variable) first() (s string, set bool) {
	switch {
	case v.kind == array && len(v.list) > 0:
		return v.list[0], true
	case v.kind == table:
		s, set = v.keys["0"]
		return s, set
	}
	return v.str, v.set && v.kind == scalar
}

// A frame is the scope of a function call, or of a subshell.
type frame struct {
	vars   map[string]variable
	params []string
	// subshell: what is set in it does not leave it.
	subshell bool
	// function: local variables go here.
	function bool
	// command: it has what stands before a command, for that command alone.
	command bool
}

func (x *shell) top() *frame { return x.frames[len(x.frames)-1] }

// lookup finds the innermost variable of that name, also one that was unset.
func (x *shell) lookup(name string) (v variable, ok bool) {
	for i := len(x.frames) - 1; i >= 0; i-- {
		if v, ok := x.frames[i].vars[name]; ok {
			return v, true
		}
	}
	v, ok = x.globals[name]
	return v, ok
}

// get returns a variable for an expansion. One that is not set, but that the
// environment or an eclass which was not read may have set, is opaque.
func (x *shell) get(name string) variable {
	switch {
	case name == "#":
		return text(strconv.Itoa(len(x.top().params)))
	case name == "@" || name == "*":
		return variable{set: len(x.top().params) > 0, kind: array, list: x.top().params}
	case name == "?":
		return text(strconv.Itoa(x.status))
	case '1' <= name[0] && name[0] <= '9':
		if n, err := strconv.Atoi(name); err == nil && n <= len(x.top().params) {
			return text(x.top().params[n-1])
		}
		return variable{}
	case name == "FUNCNAME":
		if n := len(x.calls); n > 0 {
			return text(x.calls[n-1])
		}
		return variable{}
	case isDynamic(name):
		x.refuse("$%s depends on the shell", name)
	}
	if v, ok := x.lookup(name); ok {
		return v
	}
	if x.unknown(name) {
		return text(opaque + name + opaque)
	}
	return variable{}
}

// scalar is what $name means, for values that are no arrays.
func (x *shell) scalar(name string) string {
	v := x.get(name)
	if v.kind != scalar {
		x.refuse("%s is an array", name)
	}
	return v.str
}

// unknown reports whether a variable that nothing has set may have a value.
func (x *shell) unknown(name string) bool {
	switch {
	case outside[name], strings.HasPrefix(name, "PORTAGE_"):
		return true
	case len(x.known) == 0, strings.HasPrefix(name, "MY_"):
		return false // all eclasses were read, or it is no name for eclasses
	}
	switch name {
	case "SRC_URI", "RESTRICT", "PROPERTIES", "EAPI", "IFS", "ECLASS", "REPLY", "BASH_REMATCH":
		return false
	}
	return true
}

// set assigns to the innermost variable of that name, or to the global one.
func (x *shell) set(name string, v variable) {
	if isDynamic(name) || name == "FUNCNAME" {
		x.refuse("assignment to %s", name)
	}
	if old, _ := x.lookup(name); old.readonly {
		x.refuse("assignment to %s, which is read-only", name)
	}
	x.account(v)
	for i := len(x.frames) - 1; i >= 0; i-- {
		f := x.frames[i]
		if _, ok := f.vars[name]; ok || f.subshell {
			f.vars[name] = v
			return
		}
	}
	x.globals[name] = v
}

func (x *shell) setString(name, s string) { x.set(name, text(s)) }

// account bounds the memory.
func (x *shell) account(v variable) {
	n := len(v.str)
	for _, s := range v.list {
		n += len(s) + 16
	}
	for k, s := range v.keys {
		n += len(k) + len(s) + 32
	}
	x.spend(n)
}

// spend bounds the bytes of all values.
func (x *shell) spend(n int) {
	if n > maxValue {
		x.refuse("a value of more than %d bytes", maxValue)
	}
	if x.memory += n; x.memory > maxMemory {
		x.refuse("more than %d bytes of values", maxMemory)
	}
}

// decidable refuses to go by a value that is not known. It refuses all that is
// not ASCII with it, because what bash makes of that depends on the locale.
func (x *shell) decidable(s, where string) {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			if i := strings.Index(s, opaque); i >= 0 {
				name, _, _ := strings.Cut(s[i+len(opaque):], opaque)
				x.refuse("%.60s depends on %.60s, which is not known here", where, name)
			}
			x.refuse("%.60s depends on characters that are not ASCII", where)
		}
	}
}

// decidableVar does so for all that a variable has.
func (x *shell) decidableVar(v variable, name string) {
	where := "${" + name + "}"
	x.decidable(v.str, where)
	for _, s := range v.list {
		x.decidable(s, where)
	}
	for k, s := range v.keys {
		x.decidable(k, where)
		x.decidable(s, where)
	}
}

func validText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' && c != '\f' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(b)
}
