package catalog

import "strings"

// Redact spells a URI, or a text with URIs in it, for people: without user and
// password. Whatever is printed, logged, recorded or exported of a URI is spelt by
// it. The text need not be a valid URI: what cannot be parsed has a password, too.
func Redact(text string) string {
	var b strings.Builder
	told := 0 // how much of text is in b, or left out
	for at := 0; ; {
		i := strings.Index(text[at:], "://")
		if i < 0 {
			break
		}
		at += i + 3
		if n := secret(text[at:]); n > 0 {
			b.WriteString(text[told:at])
			at += n
			told = at
		}
	}
	if told == 0 {
		return text
	}
	b.WriteString(text[told:])
	return b.String()
}

// secret returns the length of the user and the password that s begins with, up
// to the @ behind them.
func secret(s string) int {
	end := strings.IndexAny(s, "/?#")
	if end < 0 {
		end = len(s)
	}
	if n := strings.LastIndexByte(s[:end], '@') + 1; n > 0 {
		return n
	}
	// A password may have a slash, if somebody has forgotten to escape it: what
	// looks like the port is no number then.
	_, port, found := strings.Cut(s[:end], ":")
	if !found || port == "" || s[0] == '[' || strings.Trim(port, "0123456789") == "" {
		return 0
	}
	word := s
	if i := strings.IndexAny(s[end:], " \t\r\n"); i >= 0 {
		word = s[:end+i]
	}
	if i := strings.Index(word, "://"); i >= 0 {
		word = word[:i]
	}
	return strings.LastIndexByte(word, '@') + 1
}
