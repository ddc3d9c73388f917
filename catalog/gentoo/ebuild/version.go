package ebuild

import (
	"strconv"
	"strings"

	"distkeep/catalog"
)

// The version functions of EAPI 7, PMS 12.3.14.

// versionArgs checks that the EAPI has the functions.
func (x *shell) versionArgs(args []string) {
	if x.eapi < 7 && !x.versionFunctions {
		x.refuse("EAPI %d has no version functions", x.eapi)
	}
	for _, a := range args {
		x.decidable(a, "a version")
	}
}

// splitVersion splits v into separators and components, by turns, beginning and
// ending with a separator that may be empty.
func splitVersion(v string) []string {
	class := func(c byte) int {
		switch {
		case '0' <= c && c <= '9':
			return 1
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			return 2
		}
		return 0
	}
	run := func(k int) (s string) {
		n := 0
		for n < len(v) && class(v[n]) == k {
			n++
		}
		s, v = v[:n], v[n:]
		return s
	}
	parts := []string{run(0)}
	for v != "" {
		parts = append(parts, run(class(v[0])), run(0))
	}
	return parts
}

// versionRange parses N, N- and N-M; the end is bounded by the components there
// are.
func (x *shell) versionRange(s string, most int) (from, to int) {
	a, b, span := strings.Cut(s, "-")
	from, err := strconv.Atoi(a)
	to = from
	switch {
	case span && b == "":
		to = most
	case span:
		var err2 error
		if to, err2 = strconv.Atoi(b); err == nil {
			err = err2
		}
	}
	if err != nil || from < 0 || to < from && !(span && b == "") {
		x.refuse("the range %.40q of components", s)
	}
	return from, min(to, most)
}

func verCut(x *shell, args []string) int {
	x.versionArgs(args)
	v := x.version
	switch len(args) {
	case 1:
	case 2:
		v = args[1]
	default:
		x.refuse("ver_cut with %d arguments", len(args))
	}
	parts := splitVersion(v)
	from, to := x.versionRange(args[0], len(parts)/2)
	if from > 0 {
		from = 2*from - 1
	}
	if to = 2*to - 1; from > to {
		x.print("\n")
		return 0
	}
	x.print(strings.Join(parts[from:to+1], "") + "\n")
	return 0
}

func verRs(x *shell, args []string) int {
	x.versionArgs(args)
	v := x.version
	if len(args)%2 == 1 {
		v, args = args[len(args)-1], args[:len(args)-1]
	}
	if len(args) == 0 {
		x.refuse("ver_rs without a range")
	}
	parts := splitVersion(v)
	for i := 0; i < len(args); i += 2 {
		from, to := x.versionRange(args[i], len(parts)/2)
		for n := from; n <= to; n++ {
			// An empty separator at an end is none.
			if at := 2 * n; at > 0 && at < len(parts)-1 || parts[at] != "" {
				parts[at] = args[i+1]
			}
		}
	}
	x.print(strings.Join(parts, "") + "\n")
	return 0
}

func verTest(x *shell, args []string) int {
	x.versionArgs(args)
	v := x.pkg.Version // PVR
	if len(args) == 3 {
		v, args = args[0], args[1:]
	}
	if len(args) != 2 {
		x.refuse("ver_test with %d arguments", len(args))
	}
	op, ok := numeric[args[0]]
	if !ok {
		x.refuse("ver_test %.40q", args[0])
	}
	return truth(op(x.compareVersions(v, args[1]), 0))
}

// compareVersions is algorithm 3.1 of PMS.
func (x *shell) compareVersions(a, b string) int {
	c, ok := catalog.CompareVersions(a, b)
	if !ok {
		x.refuse("the versions %.40q and %.40q", a, b)
	}
	return c
}
