package catalog

import (
	"net/mail"
	"strings"
	"unicode"
)

// What is kept of the people of one package: a tree may name any number.
const (
	maxMaintainers = 8
	maxMaintainer  = 120
)

// Maintainers returns who looks after the package that owner, spelt as
// Owner.String does, names, as far as its repository says so. The first is the one
// to write to.
func (c *Catalog) Maintainers(owner string) []string {
	i := strings.LastIndex(owner, "::")
	if i < 0 || c.maintainers[owner[i+2:]] == nil {
		return nil
	}
	return c.maintainers[owner[i+2:]](owner[:i])
}

// ParseMaintainers makes the list that Maintainers returns of what a tree says: people
// with commas between them, each a name, an address or Name <address>. Where
// the tree has an address, that stands for the person: it is what the packages of one
// person have in common.
func ParseMaintainers(text string) (ms []string) {
	for _, one := range splitPeople(text) {
		one = strings.TrimSpace(strings.Map(visible, strings.ToValidUTF8(one, "")))
		if a, err := mail.ParseAddress(one); err == nil {
			one = a.Address
		} else if _, rest, ok := strings.Cut(one, "<"); ok {
			if address, _, ok := strings.Cut(rest, ">"); ok && strings.Contains(address, "@") {
				one = strings.TrimSpace(address)
			}
		}
		if len(one) > maxMaintainer {
			one = strings.ToValidUTF8(one[:maxMaintainer], "")
		}
		if one != "" && len(ms) < maxMaintainers {
			ms = append(ms, one)
		}
	}
	return ms
}

// splitPeople splits at commas behind an address: a name may have one in it.
func splitPeople(text string) (people []string) {
	for {
		i := strings.IndexByte(text, ',')
		for i >= 0 && !strings.Contains(text[:i], "@") {
			j := strings.IndexByte(text[i+1:], ',')
			if j < 0 {
				i = -1
				break
			}
			i += 1 + j
		}
		if i < 0 {
			return append(people, text)
		}
		people = append(people, text[:i])
		text = text[i+1:]
	}
}

// visible drops what is no part of a line.
func visible(r rune) rune {
	if unicode.IsControl(r) {
		return -1
	}
	return r
}
