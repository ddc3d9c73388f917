package ebuild

import (
	"cmp"
	"strconv"
	"strings"
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

// A pmsVersion is a version taken apart, PMS 3.2.
type pmsVersion struct {
	numbers  []string
	letter   string
	suffixes [][2]string
	revision string
}

func (x *shell) parseVersion(s string) (v pmsVersion) {
	all := s
	digits := func() (d string) {
		n := 0
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		d, s = s[:n], s[n:]
		return d
	}
	for {
		d := digits()
		if d == "" {
			x.refuse("the version %.40q", all)
		}
		v.numbers = append(v.numbers, d)
		if !strings.HasPrefix(s, ".") {
			break
		}
		s = s[1:]
	}
	if s != "" && 'a' <= s[0] && s[0] <= 'z' {
		v.letter, s = s[:1], s[1:]
	}
	for strings.HasPrefix(s, "_") {
		found := false
		for _, name := range suffixes {
			if rest, ok := strings.CutPrefix(s[1:], name); ok {
				s, found = rest, true
				v.suffixes = append(v.suffixes, [2]string{name, digits()})
				break
			}
		}
		if !found {
			break
		}
	}
	if rest, ok := strings.CutPrefix(s, "-r"); ok {
		s = rest
		v.revision = digits()
	}
	if s != "" {
		x.refuse("the version %.40q", all)
	}
	return v
}

// suffixes are in their order; no suffix comes between rc and p.
var suffixes = []string{"alpha", "beta", "pre", "rc", "p"}

func suffixRank(v pmsVersion, i int) (rank int, number string) {
	if i >= len(v.suffixes) {
		return 4, "" // after rc, before p
	}
	for r, name := range suffixes {
		if v.suffixes[i][0] == name {
			rank = r
		}
	}
	if rank == 4 {
		rank = 5
	}
	return rank, v.suffixes[i][1]
}

// compareVersions is algorithm 3.1 of PMS.
func (x *shell) compareVersions(a, b string) int {
	v, w := x.parseVersion(a), x.parseVersion(b)
	c := compareNumbers(v.numbers[0], w.numbers[0])
	for i := 1; c == 0 && i < min(len(v.numbers), len(w.numbers)); i++ {
		p, q := v.numbers[i], w.numbers[i]
		if p[0] == '0' || q[0] == '0' {
			c = strings.Compare(strings.TrimRight(p, "0"), strings.TrimRight(q, "0"))
		} else {
			c = compareNumbers(p, q)
		}
	}
	c = cmp.Or(c, cmp.Compare(len(v.numbers), len(w.numbers)), strings.Compare(v.letter, w.letter))
	for i := 0; c == 0 && i < max(len(v.suffixes), len(w.suffixes)); i++ {
		r, n := suffixRank(v, i)
		s, m := suffixRank(w, i)
		c = cmp.Or(cmp.Compare(r, s), compareNumbers(n, m))
	}
	return cmp.Or(c, compareNumbers(v.revision, w.revision))
}

// compareNumbers compares decimal numbers of any length; none is zero.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
