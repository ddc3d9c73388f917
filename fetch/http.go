package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// An httpTransport fetches by http and https (RFC 9110).
type httpTransport struct {
	o      *Options
	creds  *netrc
	client *retryablehttp.Client
	conns  *connPool
	agent  []string
}

var _ transport = (*httpTransport)(nil)

func newHTTPTransport(o *Options, g *guard, creds *netrc, count func(host string, n int)) *httpTransport {
	h := &httpTransport{o: o, creds: creds, agent: []string{o.userAgent()}}
	h.conns = &connPool{o: o, guard: g, count: count, m: make(map[connKind]*http.Transport), slots: make(map[string]chan struct{})}
	c := retryablehttp.NewClient()
	c.Logger = nil // the default prints every request to standard error
	c.HTTPClient = &http.Client{Transport: h.conns, CheckRedirect: checkRedirect}
	// The library retries inside a slot. It may only cover for connections
	// that break before an answer; all else is for the scheduler.
	c.RetryMax = 1
	c.CheckRetry = brokeEarly
	c.Backoff = func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 10 * time.Millisecond }
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	h.client = c
	return h
}

func (h *httpTransport) close() { h.conns.CloseIdleConnections() }

// brokeEarly reports whether a connection broke before there was an answer.
func brokeEarly(ctx context.Context, _ *http.Response, err error) (bool, error) {
	return ctx.Err() == nil && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)), nil
}

// A connKind is what connections can differ in beside their host.
type connKind struct {
	limit  int
	verify bool
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
}

// RoundTrip implements http.RoundTripper.
func (p *connPool) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.guard.admit(r); err != nil {
		return nil, err
	}
	resp, err := p.transport(connKind{p.o.hostLimit(laneKey(r.URL)), !p.o.skipVerify(r.URL.Hostname())}).RoundTrip(r)
	if err != nil || !isRedirect(resp.StatusCode) {
		return resp, err
	}
	// An http.Client would wait for the body, however slow it is, and quote the
	// Location, however long it is.
	discard(resp)
	resp.Body, resp.ContentLength = http.NoBody, 0
	if err := checkTarget(r.URL, resp.Header.Get("Location")); err != nil {
		return nil, err
	}
	return resp, nil
}

func isRedirect(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// checkTarget judges where a redirect leads by what can be said without the
// policy for hosts. All redirects come by it, those within a host too.
func checkTarget(from *url.URL, location string) error {
	if len(location) > maxURL {
		return errLongTarget
	}
	to, err := from.Parse(location)
	switch {
	case location == "" || err != nil:
		return &uriError{"redirect without a usable Location"}
	case len(to.String()) > maxURL: // a relative one becomes longer
		return errLongTarget
	case from.Scheme == "https" && to.Scheme != "https":
		return &policyError{"redirected from https to " + redactFinal(to)}
	case to.Scheme == "file": // that the tree may name files does not allow it to strangers
		return &policyError{"redirected to a file of this machine"}
	}
	return nil
}

var errLongTarget = &uriError{"redirected to a URL longer than 8000 bytes"}

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
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // else a .tar.gz may arrive unpacked
		TLSClientConfig:       &tls.Config{RootCAs: p.o.RootCAs, InsecureSkipVerify: !k.verify},
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

// checkRedirect follows redirects within a host. Others go back to the
// scheduler: the new host has a lane of its own, and must be allowed.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxHops {
		return errLoop
	}
	if doorKey(r.URL) != doorKey(via[len(via)-1].URL) || r.URL.Scheme != "http" && r.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	return nil
}

func (h *httpTransport) open(ctx context.Context, u *url.URL, from resume) (*body, error) {
	header := make(http.Header, 6)
	header["User-Agent"] = h.agent
	header["Accept"] = anything
	header["Accept-Encoding"] = identity
	if from.offset > 0 {
		header["Range"] = []string{"bytes=" + strconv.FormatInt(from.offset, 10) + "-"}
		if from.validator != "" {
			header["If-Range"] = []string{from.validator}
		}
	} else if strings.HasPrefix(from.validator, `"`) {
		header["If-None-Match"] = []string{from.validator}
	} else if from.validator != "" {
		header["If-Modified-Since"] = []string{from.validator}
	}
	req := (&http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	if user, password, ok := h.creds.find(u); ok {
		req.SetBasicAuth(user, password)
	}
	rr, err := retryablehttp.FromRequest(req)
	if err != nil {
		return nil, &uriError{err.Error()}
	}
	resp, err := h.client.Do(rr)
	if err != nil {
		var outer *url.Error
		if asURLError(err, &outer) {
			err = outer.Err // without the URL, which may hold a password
		}
		return nil, curt(err)
	}
	b, err := h.answer(resp, from)
	if err != nil {
		discard(resp)
		return nil, err
	}
	return b, nil
}

var (
	anything = []string{"*/*"}
	identity = []string{"identity"}
)

func asURLError(err error, target **url.Error) bool { return errors.As(err, target) }

// Of a response that is not the file, so much is read, and waited for so long:
// most error pages come at once with their headers.
const (
	maxDrain  = 4 << 10
	drainTime = time.Second
)

// discard ends a response that is not the file. One that is known to be short is
// read, so that its connection can be used again.
func discard(resp *http.Response) {
	if n := resp.ContentLength; 0 < n && n <= maxDrain && resp.StatusCode != http.StatusTooManyRequests {
		late := time.AfterFunc(drainTime, func() { resp.Body.Close() })
		io.CopyN(io.Discard, resp.Body, maxDrain)
		late.Stop()
	}
	resp.Body.Close()
}

// answer judges the headers of a response.
func (h *httpTransport) answer(resp *http.Response, from resume) (*body, error) {
	b := &body{
		ReadCloser: resp.Body,
		size:       resp.ContentLength,
		final:      resp.Request.URL,
		status:     resp.StatusCode,
		header:     resp.Header,
		validator:  validator(resp.Header),
		html:       strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "text/html"),
		clean:      resp.ProtoMajor >= 2 || resp.ContentLength >= 0 || slices.Contains(resp.TransferEncoding, "chunked"),
	}
	cr := resp.Header.Get("Content-Range")
	switch resp.StatusCode {
	case http.StatusOK:
		return b, nil
	case http.StatusNotModified:
		if from.validator != "" && from.offset == 0 {
			return nil, &completeError{}
		}
	case http.StatusPartialContent:
		first, last, total, ok := parseContentRange(cr)
		switch {
		case from.offset == 0 || !ok || last < 0:
			return nil, &rangeError{"206 with Content-Range " + quote(cr)}
		case first != from.offset:
			return nil, &rangeError{"asked for byte " + strconv.FormatInt(from.offset, 10) + " on, got Content-Range " + quote(cr)}
		}
		b.offset, b.size = first, total
		return b, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if _, _, total, ok := parseContentRange(cr); ok && total == from.offset {
			return nil, &completeError{from.offset}
		}
		return nil, &rangeError{"416 " + http.StatusText(http.StatusRequestedRangeNotSatisfiable) + ", Content-Range " + quote(cr)}
	}
	if isRedirect(resp.StatusCode) {
		to, err := resp.Location()
		if err != nil {
			return nil, &uriError{"redirect without a usable Location"}
		}
		to.Fragment, to.RawFragment = "", ""
		return nil, &redirectError{to}
	}
	after, asked := retryAfter(resp.Header.Get("Retry-After"), h.o.Now())
	if resp.StatusCode == http.StatusTooManyRequests {
		// What is throttled by connection is not cured by keeping them.
		h.conns.CloseIdleConnections()
	}
	return nil, &statusError{code: resp.StatusCode, text: http.StatusText(resp.StatusCode), after: after, asked: asked}
}

// quote quotes a header, not all of it if it is long.
func quote(s string) string { return strconv.Quote(brief(s)) }

// maxValidator bounds a validator, which is kept for each file of a run: real
// entity tags are shorter than a hundred bytes.
const maxValidator = 1 << 10

// validator returns what If-Range needs (RFC 9110, section 13.1.5): a strong
// entity tag or, where there is none, the date. What is too long is none.
func validator(h http.Header) string {
	v := h.Get("ETag")
	if v == "" {
		v = h.Get("Last-Modified")
	} else if !strings.HasPrefix(v, `"`) {
		return ""
	}
	if len(v) > maxValidator {
		return ""
	}
	return v
}

// parseContentRange reads a Content-Range (RFC 9110, section 14.4). last is -1
// for an unsatisfied range, total is -1 where it is not known.
func parseContentRange(s string) (first, last, total int64, ok bool) {
	unit, rest, _ := strings.Cut(s, " ")
	span, size, found := strings.Cut(rest, "/")
	if !strings.EqualFold(unit, "bytes") || !found {
		return 0, 0, 0, false
	}
	if total = -1; size != "*" {
		if total, ok = parseNumber(size); !ok {
			return 0, 0, 0, false
		}
	}
	if span == "*" {
		return 0, -1, total, true
	}
	a, b, found := strings.Cut(span, "-")
	first, ok1 := parseNumber(a)
	last, ok2 := parseNumber(b)
	if !found || !ok1 || !ok2 || last < first || total >= 0 && last >= total {
		return 0, 0, 0, false
	}
	return first, last, total, true
}

// parseNumber reads a number of digits only.
func parseNumber(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// longest is more than any Retry-After that a run could obey.
const longest = 10 * 365 * 24 * time.Hour

// retryAfter reads a Retry-After (RFC 9110, section 10.2.3): seconds or a date.
// A moment that is past asks for nothing.
func retryAfter(s string, now time.Time) (after time.Duration, asked bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, false
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n > int64(longest/time.Second) {
			return longest, true
		}
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0, false
	}
	return min(longest, max(0, at.Sub(now))), true
}
