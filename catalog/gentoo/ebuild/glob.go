package ebuild

import "strings"

// A glob is a parsed pattern: a list of single-character tests and stars.
type glob []atom

// An atom matches any run of characters, or one character of a set.
type atom struct {
	star bool
	any  bool
	not  bool
	set  string // pairs of the first and the last of a range
}

// glob parses a pattern in which a backslash quotes.
func (x *shell) glob(pat string) (g glob) {
	for i := 0; i < len(pat); i++ {
		switch c := pat[i]; c {
		case '*':
			if len(g) == 0 || !g[len(g)-1].star {
				g = append(g, atom{star: true})
			}
		case '?':
			g = append(g, atom{any: true})
		case '[':
			n, a := x.class(pat[i+1:])
			g = append(g, a)
			i += n
		case '\\':
			i++
			g = append(g, atom{set: pat[i:i+1] + pat[i:i+1]})
		default:
			g = append(g, atom{set: string([]byte{c, c})})
		}
	}
	return g
}

// class parses what follows "[" and returns how long that is.
func (x *shell) class(s string) (n int, a atom) {
	end := strings.IndexByte(s, ']')
	if end <= 0 {
		x.refuse("the pattern [%.40q", s)
	}
	body := s[:end]
	if strings.ContainsAny(body, "[\\") {
		x.refuse("the pattern [%.40q", s)
	}
	if body[0] == '!' || body[0] == '^' {
		a.not = true
		body = body[1:]
	}
	if body == "" {
		x.refuse("the pattern [%.40q", s)
	}
	var set strings.Builder
	for body != "" {
		from, to := body[0], body[0]
		if len(body) > 2 && body[1] == '-' {
			to = body[2]
			body = body[2:]
			// Other ranges depend on the locale.
			digit := '0' <= from && from <= to && to <= '9'
			lower, upper := 'a' <= from && from <= to && to <= 'z', 'A' <= from && from <= to && to <= 'Z'
			if !digit && !lower && !upper {
				x.refuse("the range %c-%c", from, to)
			}
		}
		set.WriteByte(from)
		set.WriteByte(to)
		body = body[1:]
	}
	a.set = set.String()
	return end + 1, a
}

func (a atom) has(c byte) bool {
	if a.any {
		return true
	}
	for i := 0; i < len(a.set); i += 2 {
		if a.set[i] <= c && c <= a.set[i+1] {
			return !a.not
		}
	}
	return a.not
}

// matches reports whether g matches s as a whole. It takes len(g) times len(s)
// at most, which is counted.
func (x *shell) matches(g glob, s string) bool {
	gi, si, star, mark, work := 0, 0, -1, 0, 0
	for si < len(s) {
		work++
		switch {
		case gi < len(g) && g[gi].star:
			star, mark = gi, si
			gi++
		case gi < len(g) && g[gi].has(s[si]):
			gi++
			si++
		case star >= 0:
			mark++
			gi, si = star+1, mark
		default:
			x.work(work)
			return false
		}
	}
	x.work(work)
	for gi < len(g) && g[gi].star {
		gi++
	}
	return gi == len(g)
}

// longest returns the length of the longest prefix of s that g matches, or -1.
func (x *shell) longest(g glob, s string) int {
	if n, ok := g.fixed(); ok {
		// Most patterns have no star.
		if n <= len(s) && x.matches(g, s[:n]) {
			return n
		}
		return -1
	}
	for n := len(s); n >= 0; n-- {
		if x.matches(g, s[:n]) {
			return n
		}
	}
	return -1
}

// fixed returns the length of what g matches if that is always the same.
func (g glob) fixed() (n int, ok bool) {
	for _, a := range g {
		if a.star {
			return 0, false
		}
	}
	return len(g), true
}
