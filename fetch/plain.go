package fetch

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"distkeep/fetch/oldtls"
)

// plain makes one request over a connection of its own, and reads the answer as
// forgivingly as wget and curl do (see lenient.go). It is for servers that
// net/http, with HTTP/2 and kept connections, gets nothing from. Policy, proxies
// and the bound of connections are those of all other requests.
func (p *connPool) plain(r *http.Request, k connKind) (*http.Response, error) {
	ctx := r.Context()
	c, write, err := p.reach(r, k)
	if err != nil {
		return nil, err
	}
	// The context is that of the whole transfer.
	stop := context.AfterFunc(ctx, func() { c.Close() })
	late := time.AfterFunc(p.o.HeaderTimeout, func() { c.Close() })
	resp, err := func() (*http.Response, error) {
		if err := write(c); err != nil {
			return nil, err
		}
		return readResponse(bufio.NewReaderSize(c, 32<<10), r)
	}()
	inTime := late.Stop()
	if err != nil {
		stop()
		c.Close()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !inTime:
			return nil, errNoAnswer
		}
		return nil, err
	}
	resp.Body = &plainBody{resp.Body, c, stop}
	switch c := c.(type) {
	case *tls.Conn:
		state := c.ConnectionState()
		resp.TLS = &state
	case *oldtls.Conn:
		p.noteLow(r.URL, "TLS 1.2, "+c.Suite())
	}
	return resp, nil
}

// A plainBody ends its connection.
type plainBody struct {
	io.Reader
	c    net.Conn
	stop func() bool
}

func (b *plainBody) Close() error {
	b.stop()
	return b.c.Close()
}

// reach connects to the server of a request, by the proxy that is for it, and
// returns how the request is written.
func (p *connPool) reach(r *http.Request, k connKind) (c net.Conn, write func(io.Writer) error, err error) {
	ctx := r.Context()
	write = r.Write
	via, err := p.guard.proxy(r)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case via == nil:
		c, err = p.dial(ctx, "tcp", hostPort(r.URL))
	case strings.HasPrefix(via.Scheme, "socks5"):
		c, err = p.dialSOCKS(ctx, via, hostPort(r.URL))
	default:
		if c, err = p.dialProxy(ctx, via); err != nil {
			break
		}
		if r.URL.Scheme == "https" {
			err = p.tunnel(ctx, c, via, hostPort(r.URL))
			break
		}
		write = func(w io.Writer) error {
			r := r.Clone(ctx)
			authorize(r.Header, via)
			return r.WriteProxy(w)
		}
	}
	if err == nil && r.URL.Scheme == "https" {
		c, err = p.secure(ctx, c, r.URL.Hostname(), k)
	}
	if err != nil {
		if c != nil {
			c.Close()
		}
		return nil, nil, err
	}
	return c, write, nil
}

// forward dials for a SOCKS client.
type forward struct{ p *connPool }

func (f forward) Dial(network, addr string) (net.Conn, error) {
	return f.p.dial(context.Background(), network, addr)
}

func (f forward) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f.p.dial(ctx, network, addr)
}

func (p *connPool) dialSOCKS(ctx context.Context, via *url.URL, addr string) (net.Conn, error) {
	var auth *proxy.Auth
	if via.User != nil {
		password, _ := via.User.Password()
		auth = &proxy.Auth{User: via.User.Username(), Password: password}
	}
	d, err := proxy.SOCKS5("tcp", proxyAddr(via), auth, forward{p})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.ConnectTimeout)
	defer cancel()
	return d.(proxy.ContextDialer).DialContext(ctx, "tcp", addr)
}

func (p *connPool) dialProxy(ctx context.Context, via *url.URL) (net.Conn, error) {
	c, err := p.dial(ctx, "tcp", proxyAddr(via))
	if err != nil || via.Scheme != "https" {
		return c, err
	}
	return p.secure(ctx, c, via.Hostname(), connKind{verify: true})
}

// tunnel asks a proxy for a connection to addr.
func (p *connPool) tunnel(ctx context.Context, c net.Conn, via *url.URL, addr string) error {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	late := time.AfterFunc(p.o.ConnectTimeout, func() { c.Close() })
	defer late.Stop()
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: make(http.Header)}
	authorize(r.Header, via)
	if err := r.Write(c); err != nil {
		return err
	}
	// What follows the head is the server's: not a byte of it is to be read.
	resp, err := readResponse(bufio.NewReader(byByte{c}), r)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return errors.New("the proxy refuses: " + brief(resp.Status))
	}
	return nil
}

// byByte reads byte by byte.
type byByte struct{ io.Reader }

func (r byByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

// authorize logs in to a proxy.
func authorize(h http.Header, via *url.URL) {
	if via.User != nil {
		password, _ := via.User.Password()
		h.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%s", via.User.Username(), password)))
	}
}
