package fetch

import (
	"cmp"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"

	"distkeep/catalog"
)

const mirrorScheme = "mirror://"

// order returns the URLs of a request in the order in which emirrordist tries
// them (portage, FetchTask._next_uri): first those behind mirror:// URIs, each
// group's in random order; when half of the tries are used up, all plain URIs;
// then what is left of the mirrors until the tries are used up. Plain URIs are
// tried in any case. "Random" is the same in every run, but differs from name
// to name, which spreads the load and keeps runs comparable.
func (o *Options) order(r *Request) []string {
	var mirrors, plain []string
	for _, s := range r.Sources {
		if !strings.HasPrefix(s.URI, mirrorScheme) {
			if strings.Contains(s.URI, "://") {
				plain = append(plain, s.URI)
			}
			continue
		}
		_, path, ok := strings.Cut(s.URI[len(mirrorScheme):], "/")
		if !ok {
			continue
		}
		if len(mirrors) > maxSources {
			continue // of which no more than Tries are asked
		}
		for _, i := range o.shuffle(string(r.Name), s.URI, min(len(s.Bases), maxSources)) {
			mirrors = append(mirrors, strings.TrimRight(s.Bases[i], "/")+"/"+path)
		}
	}
	mirrors, plain = distinct(mirrors, nil), distinct(plain, nil)
	if o.PreferPrimary {
		left := max(o.Tries-len(plain), o.Tries/2)
		return append(plain, distinct(mirrors[:min(left, len(mirrors))], plain)...)
	}
	mirrors = distinct(mirrors, nil)
	first := min(len(mirrors), o.Tries-o.Tries/2)
	urls := mirrors[:first:first]
	plain = distinct(plain, urls)
	urls = append(urls, plain...)
	rest := distinct(mirrors[first:], urls)
	return append(urls, rest[:min(len(rest), max(0, o.Tries-len(urls)))]...)
}

// distinct returns the first occurrences in s of what is not in seen.
func distinct(s, seen []string) []string {
	if len(s) == 0 || len(s) == 1 && len(seen) == 0 {
		return s
	}
	out := make([]string, 0, len(s))
	known := make(map[string]bool, len(seen)+len(s))
	for _, u := range seen {
		known[u] = true
	}
	for _, u := range s {
		if !known[u] {
			known[u] = true
			out = append(out, u)
		}
	}
	return out
}

// shuffle returns the numbers below n in an order that depends on the seed and
// the words only.
func (o *Options) shuffle(name, uri string, n int) []int {
	if n < 2 {
		return make([]int, n)
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write([]byte(uri))
	return rand.New(rand.NewPCG(o.Seed, h.Sum64())).Perm(n)
}

// maxURL bounds a URI: the longest of real trees has 325 bytes, and servers
// refuse more than 8000 (RFC 9110, section 4.1).
const maxURL = 8000

var errLongURL = &uriError{"URI is longer than 8000 bytes"}

// parseURL makes a URL of the text of a tree. What is in it stays as it is:
// %2F stays %2F, and // stays //. Only bytes that cannot be in a URL (RFC 3986,
// section 2) are escaped, a percent sign that begins no escape among them. The
// fragment is cut off.
func parseURL(s string) (*url.URL, error) {
	if len(s) > maxURL {
		return nil, errLongURL
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" {
		return nil, &uriError{"URI has no scheme"}
	}
	rest, _, _ = strings.Cut(rest, "#")
	for i := range len(rest) {
		if rest[i] < ' ' || rest[i] == 0x7f {
			return nil, &uriError{"URI has a control byte"}
		}
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	path, query, asked := strings.Cut(rest[end:], "?")
	text := scheme + "://" + rest[:end] + escape(path)
	if asked {
		text += "?" + escape(query)
	}
	if len(text) > maxURL {
		return nil, errLongURL
	}
	u, err := url.Parse(text)
	if err != nil {
		// Its words quote what cannot be parsed, which may be a password.
		return nil, &uriError{"URI with a malformed user, host or port"}
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if err := mapHost(u); err != nil {
		return nil, err
	}
	if u.Hostname() == "" && !schemeOf(u).local() {
		return nil, &uriError{"URI has no host"}
	}
	return u, nil
}

// escape escapes what cannot be in the path or query of a URL.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	last := 0
	for i := range len(s) {
		c := s[i]
		if isURLByte(c) || c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			continue
		}
		b.WriteString(s[last:i])
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
		last = i + 1
	}
	if last == 0 {
		return s
	}
	b.WriteString(s[last:])
	return b.String()
}

func isURLByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-._~!$&'()*+,;=:@/?[]", c) >= 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// laneKey is the name of the host of a URL, with the port where it is not a usual
// one.
func laneKey(u *url.URL) string {
	if schemeOf(u).local() {
		return u.Scheme
	}
	return laneName(u.Hostname(), u.Port())
}

// A doorID tells a lane from all others.
type doorID struct{ scheme, host, port string }

func doorKey(u *url.URL) doorID {
	if schemeOf(u).local() {
		return doorID{scheme: u.Scheme}
	}
	return doorID{u.Scheme, oneSpelling(u.Hostname()), port(u)}
}

// laneOfAddr is laneKey for a host:port that is dialled.
func laneOfAddr(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return laneName(host, port)
}

// laneName joins host and port, unless the port is a usual one.
func laneName(host, port string) string {
	host = oneSpelling(host)
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port == "" || usualPort(port) {
		return host
	}
	return host + ":" + port
}

// redact spells u for people.
func redact(u *url.URL) string { return catalog.Redact(u.String()) }

// redactFinal spells a URL that a redirect led to: without its query, which often
// is a signature that opens the file for a while.
func redactFinal(u *url.URL) string {
	c := *u
	c.RawQuery, c.ForceQuery = "", false
	return redact(&c)
}

// port returns the port of u, explicit or not.
func port(u *url.URL) string { return cmp.Or(u.Port(), schemeOf(u).port) }
