package ebuild

import (
	"crypto/md5"
	"errors"
	"slices"

	"mvdan.cc/sh/v3/syntax"
)

// accumulates are the variables that inherit keeps apart: what an eclass sets is
// put behind what the ebuild sets. RESTRICT and PROPERTIES are among them since
// EAPI 8.
var accumulates = []string{"IUSE", "REQUIRED_USE", "DEPEND", "BDEPEND", "IDEPEND", "RDEPEND", "PDEPEND", "RESTRICT", "PROPERTIES"}

func (x *shell) accumulated8(name string) bool {
	return x.eapi >= 8 || name != "RESTRICT" && name != "PROPERTIES"
}

// inherit is PMS 10.1, as portage does it.
func inherit(x *shell, args []string) int {
	for _, f := range x.frames {
		if f.subshell || f.function && x.depth == 0 {
			x.refuse("inherit in a function or a subshell")
		}
	}
	for _, name := range args {
		x.decidable(name, "inherit")
		x.inheritOne(name)
	}
	return 0
}

func (x *shell) inheritOne(name string) {
	if x.depth++; x.depth > maxDepth {
		x.refuse("eclasses that inherit without an end")
	}
	own := make(map[string]variable)
	for _, v := range accumulates {
		if x.accumulated8(v) {
			if old, ok := x.globals[v]; ok {
				own[v] = old
				delete(x.globals, v)
			}
		}
	}
	outer, had := x.globals["ECLASS"]
	x.setString("ECLASS", name)
	x.load(name)
	if x.globals["ECLASS"] = outer; !had {
		delete(x.globals, "ECLASS")
	}
	for _, v := range accumulates {
		if !x.accumulated8(v) {
			continue
		}
		if s, ok := x.globals[v]; ok && s.set {
			if s.kind != scalar {
				x.refuse("%s is an array", v)
			}
			if x.eclassVars[v] != "" && s.str != "" {
				x.eclassVars[v] += " "
			}
			x.eclassVars[v] += s.str
		}
		delete(x.globals, v)
		if old, ok := own[v]; ok {
			x.globals[v] = old
		} else if len(x.known) > 0 && v != "RESTRICT" && v != "PROPERTIES" {
			x.globals[v] = variable{} // not set, whatever an eclass did
		}
	}
	inherited := x.globals["INHERITED"].str
	if !slices.Contains(x.inherited, name) {
		x.inherited = append(x.inherited, name)
		x.setString("INHERITED", inherited+" "+name)
	}
	x.depth--
}

// load runs an eclass that is at hand, or does what a known one does.
func (x *shell) load(name string) {
	s := x.evaluator.source(name)
	k, ok := knownEclasses[name]
	if s.found {
		x.read = slices.DeleteFunc(x.read, func(e Eclass) bool { return e.Name == name })
		x.read = append(x.read, Eclass{name, s.sum})
	}
	if !ok || !s.found || !k.holds(x.evaluator, s.text, 0) {
		switch f, err := s.parse(name); {
		case err == nil:
			jump, loops, frames := x.jump, x.loops, x.frames
			x.loops = 0
			x.source(f)
			x.jump, x.loops, x.frames = jump, loops, frames
			return
		case !errors.Is(err, ErrNoEclass): // and it is not what is known
			x.refuse("%s.eclass: %v", name, err)
		}
	}
	// Otherwise its text, if it is at hand, does what is known of it, and need not
	// be run.
	if !ok {
		x.refuse("%s.eclass is neither at hand nor known: give the repository that has it as a master", name)
	}
	first := !slices.Contains(x.known, name)
	if first {
		x.known = append(x.known, name)
		if !s.found {
			x.unseen = append(x.unseen, name)
		}
		// What it inherits is not known, and something may look at it.
		x.setString("INHERITED", x.globals["INHERITED"].str+opaque+"INHERITED"+opaque)
	}
	if k.run != nil {
		k.run(x, first)
	}
}

// Sum returns the MD5 of an eclass, if it is at hand.
func (e *Evaluator) Sum(name string) (sum [md5.Size]byte, ok bool) {
	s := e.source(name)
	return s.sum, s.found
}

// source reads an eclass once.
func (e *Evaluator) source(name string) *source {
	e.mu.Lock()
	s := e.sources[name]
	if s == nil {
		s = new(source)
		e.sources[name] = s
	}
	e.mu.Unlock()
	s.once.Do(func() {
		if !validEclass(name) {
			s.err = &Refusal{Msg: "that is no name of an eclass"}
			return
		}
		b, err := e.eclass(name)
		if err != nil {
			s.err = err
			return
		}
		s.sum, s.found, s.text = md5.Sum(b), true, string(b)
	})
	return s
}

// parse parses the eclass once: for most of them only the sum is asked for.
func (s *source) parse(name string) (*syntax.File, error) {
	s.parsing.Do(func() {
		if s.err == nil {
			s.file, s.err = parse(name+".eclass", []byte(s.text))
		}
	})
	return s.file, s.err
}

// validEclass follows PMS 3.1.6.
func validEclass(s string) bool {
	for i := range len(s) {
		c := s[i]
		word := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
		if !word && (i == 0 || c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}
