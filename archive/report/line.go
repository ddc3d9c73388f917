package report

import "strings"

// Brief is OneLine, of at most n bytes.
func Brief(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return OneLine(s)
}

// OneLine makes s fit for reports and logs of one record a line.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
