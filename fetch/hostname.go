package fetch

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// A host has many spellings: letters of any width and case, a dot at the end, other
// dots, an address in octal or as one number. Whoever comes behind us reads some of
// them, each in its own way. So each host is mapped once, to the one spelling that
// is judged, that names its lane, that people see and that transports and proxies
// are given.

// idn maps names as browsers do (UTS #46, nontransitional). What is no letter of
// a host name is found afterwards.
var idn = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false), idna.CheckHyphens(false))

var (
	errHost     = &uriError{"URI with a malformed host"}
	errNoNumber = errors.New("no address")
)

// mapHost gives the host of u its one spelling.
func mapHost(u *url.URL) error {
	host := u.Hostname()
	if host == "" {
		return nil
	}
	mapped, err := mapName(host)
	if err != nil || mapped == host {
		return err
	}
	port := u.Port()
	if strings.Contains(mapped, ":") {
		mapped = "[" + mapped + "]"
	}
	if port != "" {
		mapped += ":" + port
	}
	u.Host = mapped
	return nil
}

// mapName returns the one spelling of a host: an address as net/netip writes it, or
// a name in ASCII and small letters, without a dot at its end.
func mapName(host string) (string, error) {
	if strings.Contains(host, ":") {
		a, err := netip.ParseAddr(host)
		if err != nil {
			return "", errHost
		}
		return a.Unmap().String(), nil
	}
	name := strings.ToLower(host)
	if strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }) {
		var err error
		if name, err = idn.ToASCII(host); err != nil {
			return "", errHost
		}
		name = strings.ToLower(name)
	}
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 || strings.HasPrefix(name, ".") || strings.Contains(name, "..") || strings.HasSuffix(name, ".") {
		return "", errHost
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("#%/:<>?@[\\]^|\"`{}", c) >= 0 {
			return "", errHost
		}
	}
	if !endsInNumber(name) {
		return name, nil
	}
	if a, err := netip.ParseAddr(name); err == nil && a.Is4() {
		return name, nil // it has one strict spelling
	}
	a, err := parseIPv4(name)
	if err != nil {
		return "", &policyError{"host " + strconv.Quote(name) + " is an obscure spelling of an address"}
	}
	return a.String(), nil
}

// oneSpelling is mapName for what somebody else has spelt: a host that is none
// stays what it is.
func oneSpelling(host string) string {
	if mapped, err := mapName(host); err == nil {
		return mapped
	}
	return strings.ToLower(host)
}

// laneOption is the lane that an option means by HOST or HOST:PORT.
func laneOption(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host = s
	}
	return laneName(strings.Trim(host, "[]"), port)
}

// endsInNumber reports whether resolvers may take a name for an address: no name
// of the DNS ends in a number (URL standard, "ends in a number").
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "" || last[0] < '0' || last[0] > '9' {
		return last == ""
	}
	_, err := parseNumeral(last)
	return err == nil || strings.Trim(last, "0123456789") == ""
}

// parseIPv4 reads an address as inet_aton(3) does: up to four numbers, decimal,
// octal or hexadecimal, of which the last fills what is left.
func parseIPv4(s string) (netip.Addr, error) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, errNoNumber
	}
	var sum uint64
	for i, p := range parts {
		n, err := parseNumeral(p)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if err != nil || n >= 1<<bits {
			return netip.Addr{}, errNoNumber
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), nil
}

// parseNumeral reads 10, 012 and 0xa.
func parseNumeral(s string) (uint64, error) {
	base := 10
	switch {
	case strings.HasPrefix(s, "0x"):
		s, base = s[2:], 16
		if s == "" {
			return 0, nil // as browsers and the BSDs read it
		}
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	return strconv.ParseUint(s, base, 64)
}

// private are the names, and the ends of names, that mean a host of this machine
// or of its network (RFC 6761, RFC 6762, RFC 8375 and what the ICANN keeps free).
// Behind a proxy nobody looks at their addresses.
var private = []string{"localhost", "localdomain", "local", "internal", "home.arpa", "intranet", "private", "corp", "home", "lan"}

// isPrivateName reports whether a mapped name is none of a public host.
func isPrivateName(name string) bool {
	if !strings.Contains(name, ".") {
		return true
	}
	for _, p := range private {
		if strings.HasSuffix(name, "."+p) {
			return true
		}
	}
	return false
}
