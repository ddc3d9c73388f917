package gentoo

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"distkeep/catalog"
)

// The EAPIs that changed SRC_URI, PMS 7.3.2.
const (
	eapiArrow    = 2 // URI -> name
	eapiPrefixes = 8 // fetch+URI and mirror+URI
)

// maxURIs bounds one SRC_URI. Finding the sources of one name again is linear,
// so that this bounds time as well. The largest real one has some 1,500.
const maxURIs = 16384

// A lift says which restriction the prefix of a URI lifts.
type lift uint8

const (
	liftNone   lift = iota
	liftFetch       // fetch+
	liftMirror      // mirror+, which implies fetch+
)

// An item is one URI of SRC_URI. Its slices are parts of the value.
type item struct {
	uri  []byte // without a fetch+ or mirror+
	name []byte // not empty, but not validated
	lift lift
	dist int // set by the scan: the index of the name in its manifest
}

// parseSrcURI appends the items of a SRC_URI value to dst: those of all
// branches, whatever the USE flags, in their order. The name of a file is the
// one after "->", or else the part of the URI after its last slash, with
// nothing decoded and nothing taken off, as portage does it.
//
// bad is called for a single URI that is wrong; the others count all the same.
// The error says that the structure is broken: items before that place are
// returned.
func parseSrcURI(dst []item, v []byte, eapi int, bad func(msg string)) ([]item, error) {
	var g groups
	start := len(dst)
	word, rest := cutField(v)
	for len(word) > 0 {
		if ok, err := g.token(word); err != nil {
			return dst, err
		} else if ok {
			word, rest = cutField(rest)
			continue
		}
		if len(dst)-start == maxURIs {
			return dst, fmt.Errorf("more than %d URIs", maxURIs)
		}
		if string(word) == "->" {
			return dst, errors.New(`"->" without a URI before it`)
		}
		it := newItem(word, eapi)
		if eapi < eapiPrefixes && hasPrefix(word) {
			bad(fmt.Sprintf("%.200q: fetch+ and mirror+ are not known to EAPI %d", catalog.Redact(string(word)), eapi))
			it.uri = nil
		}
		word, rest = cutField(rest)
		if string(word) == "->" {
			if eapi < eapiArrow {
				return dst, fmt.Errorf(`"->" is not known to EAPI %d`, eapi)
			}
			it.name, rest = cutField(rest)
			if !isName(it.name) {
				return dst, fmt.Errorf(`no file name after "%.200s ->"`, catalog.Redact(string(it.uri)))
			}
			word, rest = cutField(rest)
		}
		switch {
		case it.uri == nil:
		case len(it.name) == 0:
			bad(fmt.Sprintf("%.200q has no file name", catalog.Redact(string(it.uri))))
		case hasControl(it.uri):
			bad(fmt.Sprintf("%.200q has a control byte", catalog.Redact(string(it.uri))))
		default:
			dst = append(dst, it)
		}
	}
	return dst, g.end()
}

func newItem(word []byte, eapi int) item {
	it := item{uri: word}
	if eapi >= eapiPrefixes {
		if u, ok := bytes.CutPrefix(word, prefixFetch); ok {
			it.uri, it.lift = u, liftFetch
		} else if u, ok := bytes.CutPrefix(word, prefixMirror); ok {
			it.uri, it.lift = u, liftMirror
		}
	}
	it.name = it.uri[bytes.LastIndexByte(it.uri, '/')+1:]
	return it
}

// hasPrefix reports whether a URI has a prefix that lifts a restriction.
func hasPrefix(uri []byte) bool {
	return bytes.HasPrefix(uri, prefixFetch) || bytes.HasPrefix(uri, prefixMirror)
}

var (
	prefixFetch  = []byte("fetch+")
	prefixMirror = []byte("mirror+")
)

// isName reports whether a word can be a file name and not part of the
// structure.
func isName(word []byte) bool {
	switch string(word) {
	case "", "(", ")", "->", "||":
		return false
	}
	return true
}

func hasControl(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}

// mirrorGroup returns the NAME of mirror://NAME/path.
func mirrorGroup(uri string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(uri, "mirror://")
	if !ok {
		return "", false
	}
	name, _, ok = strings.Cut(rest, "/")
	return name, ok
}

// A restriction is what RESTRICT says that matters to a mirror.
type restriction struct {
	mirror, fetch bool
	// nomirror is what old trees call mirror. It does not count.
	nomirror bool
}

// parseRestrict reads a RESTRICT value. Tokens that depend on USE flags do not
// count: they are the client's concern, as emirrordist decided.
func parseRestrict(v []byte) (restriction, error) {
	var g groups
	var r restriction
	word, rest := cutField(v)
	for ; len(word) > 0; word, rest = cutField(rest) {
		ok, err := g.token(word)
		if err != nil {
			return r, err
		}
		if ok || g.conditional > 0 {
			continue
		}
		switch string(word) {
		case "mirror":
			r.mirror = true
		case "nomirror":
			r.nomirror = true
		case "fetch":
			r.fetch = true
			r.mirror = true
		}
	}
	return r, g.end()
}

// groups follows the parentheses and USE conditionals of a dependency
// specification, PMS 8.2.
type groups struct {
	depth       int
	conditional int  // the depth at which the outermost conditional group began
	expect      bool // the last token was a flag: "(" must follow
}

// token takes the next token. ok is true when it belongs to the structure.
func (g *groups) token(word []byte) (ok bool, err error) {
	open := string(word) == "("
	if g.expect && !open {
		return false, fmt.Errorf(`"(" must follow a USE conditional, not %.80q`, word)
	}
	switch {
	case open:
		g.depth++
		if g.expect && g.conditional == 0 {
			g.conditional = g.depth
		}
		g.expect = false
	case string(word) == ")":
		if g.depth == 0 {
			return false, errors.New(`")" without "("`)
		}
		if g.depth == g.conditional {
			g.conditional = 0
		}
		g.depth--
	case string(word) == "||":
		return false, errors.New(`"||" is not allowed`)
	case word[len(word)-1] == '?':
		g.expect = true
	default:
		return false, nil
	}
	return true, nil
}

// end is called after the last token.
func (g *groups) end() error {
	switch {
	case g.expect:
		return errors.New("a USE conditional at the end")
	case g.depth > 0:
		return fmt.Errorf(`%d ")" missing`, g.depth)
	}
	return nil
}
