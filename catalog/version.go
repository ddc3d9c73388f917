package catalog

import (
	"cmp"
	"strings"
)

// A version is a version of an ebuild taken apart, PMS 3.2.
type version struct {
	numbers  []string
	letter   string
	suffixes [][2]string // name and number
	revision string
}

// parseVersion takes s apart; ok is false when it is no such version.
func parseVersion(s string) (v version, ok bool) {
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
			return v, false
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
		for _, name := range versionSuffixes {
			if rest, ok := strings.CutPrefix(s[1:], name); ok {
				s, found = rest, true
				v.suffixes = append(v.suffixes, [2]string{name, digits()})
				break
			}
		}
		if !found {
			return v, false
		}
	}
	if rest, ok := strings.CutPrefix(s, "-r"); ok {
		s = rest
		if v.revision = digits(); v.revision == "" {
			return v, false
		}
	}
	return v, s == ""
}

// versionSuffixes are in their order; no suffix comes between rc and p.
var versionSuffixes = []string{"alpha", "beta", "pre", "rc", "p"}

func (v *version) suffix(i int) (rank int, number string) {
	if i >= len(v.suffixes) {
		return 4, "" // after rc, before p
	}
	for r, name := range versionSuffixes {
		if v.suffixes[i][0] == name {
			rank = r
		}
	}
	if rank == 4 {
		rank = 5
	}
	return rank, v.suffixes[i][1]
}

// CompareVersions orders versions of ebuilds by algorithm 3.1 of PMS. ok is false
// when one of them is no version.
func CompareVersions(a, b string) (c int, ok bool) {
	v, ok := parseVersion(a)
	w, also := parseVersion(b)
	return v.compare(&w), ok && also
}

func (v *version) compare(w *version) int {
	c := 0
	for i := 0; c == 0 && i < min(len(v.numbers), len(w.numbers)); i++ {
		p, q := v.numbers[i], w.numbers[i]
		if i > 0 && (p[0] == '0' || q[0] == '0') {
			c = strings.Compare(strings.TrimRight(p, "0"), strings.TrimRight(q, "0"))
		} else {
			c = compareNumbers(p, q)
		}
	}
	c = cmp.Or(c, cmp.Compare(len(v.numbers), len(w.numbers)), strings.Compare(v.letter, w.letter))
	for i := 0; c == 0 && i < max(len(v.suffixes), len(w.suffixes)); i++ {
		r, n := v.suffix(i)
		s, m := w.suffix(i)
		c = cmp.Or(cmp.Compare(r, s), compareNumbers(n, m))
	}
	return cmp.Or(c, compareNumbers(v.revision, w.revision))
}

// compareNumbers compares decimal numbers of any length; none is zero.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

// ComparePackages orders packages as logs name them: by their names, those of one
// name by their versions, foo-9 before foo-10. What has no version comes first.
func ComparePackages(a, b string) int {
	if a == b {
		return 0
	}
	an, av, aok := splitPackage(a)
	bn, bv, bok := splitPackage(b)
	c := strings.Compare(an, bn)
	switch {
	case c != 0:
	case aok && bok:
		c = av.compare(&bv)
	case aok:
		return 1
	case bok:
		return -1
	}
	return cmp.Or(c, strings.Compare(a, b))
}

// splitPackage splits foo-1.2-r3 at the hyphen before its version. ok is false
// when it has none.
func splitPackage(s string) (name string, v version, ok bool) {
	end := len(s)
	for range 2 { // the revision has a hyphen of its own
		i := strings.LastIndexByte(s[:end], '-')
		if i < 0 {
			break
		}
		if v, ok := parseVersion(s[i+1:]); ok {
			return s[:i], v, true
		}
		end = i
	}
	return s, version{}, false
}
