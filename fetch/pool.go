package fetch

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// A connKind is what connections can differ in beside their host.
type connKind struct {
	limit  int
	verify bool
	tls    tlsLevel
}

// A connPool keeps the connections: one http.Transport for each kind, because
// the number of connections a host and the verification of certificates are
// settings of a whole Transport.
type connPool struct {
	o     *Options
	guard *guard
	count func(host string, n int)
	mu    sync.Mutex
	m     map[connKind]*http.Transport
	// slots hold, by host, a token for each open connection. A Transport counts
	// too, but by port, and not the HTTP/2 connections that are on their way out.
	slots map[string]chan struct{}
	// doors are, by lane, how a server must be asked.
	doors map[doorID]*door
}

// A door is how a server must be asked, as far as it is known.
type door struct {
	manner manner
	tls    tlsLevel
	// lowered is what was agreed on at lower demands.
	lowered string
}

// A manner is whether a server is asked plainly: by HTTP/1.1, over a connection
// for each request, with a reader that forgives (see plain.go).
type manner int

const (
	// usual: nothing speaks against HTTP/2, kept connections and net/http.
	usual manner = iota
	// suspect: an answer could not be read, or was a refusal that may be of the
	// way of asking; the next request is plain.
	suspect
	// plain: asked plainly, the server answers.
	plain
	// proven: plain requests fare no better.
	proven
)

func newConnPool(o *Options, g *guard, count func(host string, n int)) *connPool {
	return &connPool{
		o: o, guard: g, count: count,
		m: make(map[connKind]*http.Transport), slots: make(map[string]chan struct{}), doors: make(map[doorID]*door),
	}
}

// door returns what is known of the server of a URL.
func (p *connPool) door(u *url.URL) door {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.doors[doorKey(u)]; d != nil {
		return *d
	}
	return door{}
}

// learn changes what is known of the server of a URL.
func (p *connPool) learn(u *url.URL, f func(*door)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.doors[doorKey(u)]
	if d == nil {
		d = new(door)
		p.doors[doorKey(u)] = d
	}
	f(d)
}

// refused is the CheckRetry of the client: whether the way of asking may be what
// was refused, so that the same is asked once more, plainly. That a server forbids
// is doubted once: it is what most mean who say so.
func (p *connPool) refused(ctx context.Context, resp *http.Response, err error) (bool, error) {
	switch {
	case ctx.Err() != nil:
		return false, nil
	case err != nil:
		return brokeEarly(err) || odd(err), nil
	case !refusesShape(resp):
		return false, nil
	}
	doubted := p.door(resp.Request.URL).manner != usual
	p.learn(resp.Request.URL, func(d *door) {
		if d.manner == usual {
			d.manner = suspect
		}
	})
	return !doubted || resp.StatusCode != http.StatusForbidden, nil
}

// RoundTrip implements http.RoundTripper.
func (p *connPool) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.guard.admit(r); err != nil {
		return nil, err
	}
	resp, err := p.lowered(r, p.roundTrip)
	if err != nil {
		return nil, err
	}
	if !isRedirect(resp) {
		return resp, nil
	}
	// An http.Client would wait for the body, however slow it is, and give up
	// on a Location that it cannot read, and quote it, however long it is.
	discard(resp)
	resp.Body, resp.ContentLength = http.NoBody, 0
	if to, err := resolve(r.URL, resp.Header.Get("Location")); err == nil {
		resp.Header.Set("Location", to.String())
	} else {
		resp.Header.Del("Location")
	}
	return resp, nil
}

func (p *connPool) roundTrip(r *http.Request, level tlsLevel) (*http.Response, error) {
	d := p.door(r.URL)
	k := connKind{p.o.hostLimit(laneKey(r.URL)), !p.o.skipVerify(r.URL.Hostname()), level}
	if !r.Close && d.manner != plain && level != oldTLS {
		resp, err := p.transport(k).RoundTrip(r)
		if err != nil && odd(err) && d.manner == usual {
			p.learn(r.URL, func(d *door) { d.manner = suspect })
		}
		return resp, err
	}
	if !r.Close {
		r = r.Clone(r.Context())
		plainly(r)
	}
	resp, err := p.plain(r, k)
	if d.manner == suspect {
		better := err == nil && resp.StatusCode < 400
		p.learn(r.URL, func(d *door) {
			if d.manner = proven; better {
				d.manner = plain
			}
		})
	}
	return resp, err
}

// CloseIdleConnections is what http.Client and retryablehttp look for.
func (p *connPool) CloseIdleConnections() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.m {
		t.CloseIdleConnections()
	}
}

func (o *Options) skipVerify(host string) bool {
	return slices.ContainsFunc(o.TLSSkipVerifyHosts, func(h string) bool { return strings.EqualFold(h, host) })
}

func (p *connPool) transport(k connKind) *http.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.m[k]; t != nil {
		return t
	}
	t := &http.Transport{
		Proxy:                 p.guard.proxy,
		DialContext:           p.dial,
		ForceAttemptHTTP2:     k.tls == modernTLS,
		DisableCompression:    true, // else a .tar.gz may arrive unpacked
		TLSClientConfig:       p.tlsConfig(k),
		TLSHandshakeTimeout:   p.o.ConnectTimeout,
		ResponseHeaderTimeout: p.o.HeaderTimeout,
		MaxIdleConns:          4 * p.o.Jobs,
		MaxIdleConnsPerHost:   k.limit,
		MaxConnsPerHost:       k.limit,
		IdleConnTimeout:       90 * time.Second,
		// Most files come in one read behind their headers.
		ReadBufferSize: 32 << 10,
		// Longer headers than any real server's.
		MaxResponseHeaderBytes: 256 << 10,
	}
	if p.o.Proxy != nil {
		// A Transport counts all plain requests through a proxy as one
		// host's; the lanes alone must do.
		t.MaxConnsPerHost, t.MaxIdleConnsPerHost = 0, p.o.Jobs
	}
	p.m[k] = t
	return t
}

func (p *connPool) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	slot := p.slot(addr)
	if err := p.takeSlot(ctx, slot); err != nil {
		return nil, err
	}
	c, err := p.guard.dial(ctx, network, addr)
	if err != nil {
		<-slot
		return nil, err
	}
	return countConn(c, addr, func(host string, n int) {
		p.count(host, n)
		if n < 0 {
			<-slot
		}
	}), nil
}

// idleCheck is how often a connection that waits for a slot has those closed that
// nobody uses: they may be to another port, or through a proxy to another host.
const idleCheck = 100 * time.Millisecond

func (p *connPool) takeSlot(ctx context.Context, slot chan struct{}) error {
	select {
	case slot <- struct{}{}:
		return nil
	default:
	}
	check := time.NewTicker(idleCheck)
	defer check.Stop()
	for {
		p.CloseIdleConnections()
		select {
		case slot <- struct{}{}:
			return nil
		case <-check.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// slot returns the tokens of the host of an address.
func (p *connPool) slot(addr string) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	host := laneOfAddr(addr)
	s := p.slots[host]
	if s == nil {
		n := p.o.Jobs // a proxy's connections are for all hosts
		if p.o.Proxy == nil {
			n = p.o.hostLimit(host)
		}
		s = make(chan struct{}, n)
		p.slots[host] = s
	}
	return s
}

// countConn tells count of a connection to addr, and of its end.
func countConn(c net.Conn, addr string, count func(host string, n int)) net.Conn {
	host := laneOfAddr(addr)
	count(host, 1)
	return &countedConn{Conn: c, done: sync.OnceFunc(func() { count(host, -1) })}
}

type countedConn struct {
	net.Conn
	done func()
}

func (c *countedConn) Close() error {
	c.done()
	return c.Conn.Close()
}
