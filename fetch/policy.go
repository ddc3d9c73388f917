package fetch

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// A guard keeps untrusted URIs from leading anywhere but to public upstreams.
// It judges URLs before they are used, on every redirect, and addresses at the
// moment of the connection, so that no name can resolve to one address for the
// check and to another for the transfer.
type guard struct {
	o *Options
	// fallbacks and proxies are host:port. The operator named them, so their
	// addresses need not be public: a fallback archive's for the operator's own
	// requests (byOperator), a proxy's for connections to it as a proxy.
	fallbacks, proxies sync.Map
	named              atomic.Bool // there are any
}

func newGuard(o *Options) *guard { return &guard{o: o} }

// check gives the host of u its one spelling, and returns a *policyError for a
// URL that must not be used.
func (g *guard) check(u *url.URL) error {
	if !slices.Contains(g.o.Schemes, u.Scheme) {
		return &policyError{"scheme " + strconv.Quote(u.Scheme) + " is not allowed"}
	}
	if schemeOf(u).local() {
		if u.Host != "" && u.Host != "localhost" {
			return &policyError{"file URI names a host"}
		}
		return nil
	}
	if err := mapHost(u); err != nil {
		return err
	}
	if p := port(u); !usualPort(p) {
		n, err := strconv.Atoi(p)
		if err != nil || !slices.Contains(g.o.Ports, n) {
			return &policyError{"port " + p + " is not allowed"}
		}
	}
	return g.checkHost(u.Hostname())
}

// checkHost judges a host before it is resolved. Behind a proxy this is all
// that can be judged.
func (g *guard) checkHost(host string) error {
	if g.o.AllowPrivate {
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return g.checkAddr(a)
	}
	if isPrivateName(host) {
		return &policyError{"host " + strconv.Quote(host) + " is not a public name; --allow-private allows it"}
	}
	return nil
}

// reserved are the networks that no public upstream is in (the IANA special
// purpose address registries), beside those that net/netip knows by itself.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // relays of 6to4, deprecated
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	// Of this one some parts are reachable, but for protocols, not for hosts.
	netip.MustParsePrefix("2001::/23"),     // protocol assignments
	netip.MustParsePrefix("2001:db8::/32"), // documentation
	netip.MustParsePrefix("3fff::/20"),     // documentation
}

// unicast6 is the only part of the IPv6 addresses that the IANA gives out to be
// reachable from everywhere.
var unicast6 = netip.MustParsePrefix("2000::/3")

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	sixto = netip.MustParsePrefix("2002::/16")
)

// checkAddr returns a *policyError for an address that must not be used.
func (g *guard) checkAddr(a netip.Addr) error {
	if slices.ContainsFunc(g.o.AllowNets, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) }) {
		return nil
	}
	return checkAddr(a)
}

// checkAddr returns a *policyError for an address that is not public.
func checkAddr(a netip.Addr) error {
	if a.Zone() != "" {
		return &policyError{"address " + a.String() + " has a zone"}
	}
	a = a.Unmap()
	b := a.As16()
	switch { // addresses that carry an IPv4 address inside
	case nat64.Contains(a):
		return checkAddr(netip.AddrFrom4([4]byte(b[12:16])))
	case sixto.Contains(a):
		return checkAddr(netip.AddrFrom4([4]byte(b[2:6])))
	case a.Is6() && b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP
		if err := checkAddr(netip.AddrFrom4([4]byte(b[12:16]))); err != nil {
			return err
		}
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !unicast6.Contains(a) || slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return &policyError{"address " + a.String() + " is not public; --allow-private allows it"}
	}
	return nil
}

type operatorKey struct{}

// byOperator returns a context for requests that the operator asks for, not a
// tree.
func byOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, operatorKey{}, true)
}

// exempt reports whether a host:port that a request names may have any address.
func (g *guard) exempt(ctx context.Context, addr string) bool {
	_, known := g.fallbacks.Load(addr)
	return g.o.AllowPrivate || known && ctx.Value(operatorKey{}) != nil
}

// dial connects the HTTP transport to addr, the host of a request or its proxy.
func (g *guard) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	_, proxy := g.proxies.Load(addr)
	return g.connect(ctx, network, addr, proxy || g.exempt(ctx, addr))
}

// connect connects to addr, or fails with a *policyError in the chain unless
// exempt. When a name has several addresses, those that are not public are
// passed over.
func (g *guard) connect(ctx context.Context, network, addr string, exempt bool) (net.Conn, error) {
	d := net.Dialer{Timeout: g.o.ConnectTimeout, Resolver: g.o.Resolver}
	if !exempt {
		d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return &policyError{"address " + address + " cannot be judged"}
			}
			return g.checkAddr(ap.Addr())
		}
	}
	return d.DialContext(ctx, network, addr)
}

// admit judges a request that may be sent by a connection that is open already,
// and so was judged for another request: those to fallback archives and proxies
// are not for everyone.
func (g *guard) admit(r *http.Request) error {
	if !g.named.Load() {
		return nil
	}
	addr := hostPort(r.URL)
	_, fallback := g.fallbacks.Load(addr)
	_, proxy := g.proxies.Load(addr)
	if !fallback && !proxy || g.exempt(r.Context(), addr) {
		return nil
	}
	if via, err := g.proxy(r); via != nil || err != nil {
		return err // names are for the proxy to resolve
	}
	addrs, err := g.resolve(r.Context(), r.URL)
	for _, a := range addrs {
		if err := g.checkAddr(a); err != nil {
			return err
		}
	}
	return err
}

// lookup returns an address of the host of u that may be connected to.
func (g *guard) lookup(ctx context.Context, u *url.URL) (netip.Addr, error) {
	addrs, err := g.resolve(ctx, u)
	if err != nil {
		return netip.Addr{}, err
	}
	exempt := g.exempt(ctx, hostPort(u))
	for _, a := range addrs {
		if exempt {
			return a.Unmap(), nil
		}
		if err = g.checkAddr(a); err == nil {
			return a.Unmap(), nil
		}
	}
	return netip.Addr{}, err
}

func (g *guard) resolve(ctx context.Context, u *url.URL) ([]netip.Addr, error) {
	r := g.o.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	return r.LookupNetIP(ctx, "ip", u.Hostname())
}

var errProxy = errors.New("the URL of the proxy is malformed")

// proxy is the Proxy function of the HTTP transport: it remembers which
// addresses are those of proxies.
func (g *guard) proxy(r *http.Request) (*url.URL, error) {
	if g.o.Proxy == nil {
		return nil, nil
	}
	u, err := g.o.Proxy(r)
	if err != nil {
		return nil, errProxy // its words quote the URL, which may have a password
	}
	if u == nil {
		return nil, nil
	}
	g.proxies.Store(proxyAddr(u), true)
	g.named.Store(true)
	return u, nil
}

// proxyAddr is what is dialled for a proxy.
func proxyAddr(u *url.URL) string {
	p := u.Port()
	if p == "" {
		switch u.Scheme {
		case "https":
			p = "443"
		case "socks5", "socks5h":
			p = "1080"
		default:
			p = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), p)
}

// trust exempts the host of u, a fallback archive.
func (g *guard) trust(u *url.URL) {
	g.fallbacks.Store(hostPort(u), true)
	g.named.Store(true)
}

// hostPort is what is dialled for u.
func hostPort(u *url.URL) string { return net.JoinHostPort(u.Hostname(), port(u)) }
