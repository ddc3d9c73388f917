package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"distkeep/fetch/failure"
)

// An httpTransport fetches by http and https (RFC 9110).
//
// The digests of the tree decide what is right. So an answer is judged as little
// as possible, and what only improves a request is left out when the request is
// refused: HTTP/2, a kept connection and the strictness of net/http here (see
// connPool), ranges by whoever asked for them.
type httpTransport struct {
	o      *Options
	creds  *netrc
	client *retryablehttp.Client
	conns  *connPool
	blank  http.Request // what all requests have in common
}

var _ transport = (*httpTransport)(nil)

func newHTTPTransport(o *Options, g *guard, creds *netrc, count func(host string, n int)) *httpTransport {
	h := &httpTransport{o: o, creds: creds, conns: newConnPool(o, g, count)}
	h.blank = http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	c := retryablehttp.NewClient()
	c.Logger = nil // the default prints every request to standard error
	c.HTTPClient = &http.Client{Transport: h.conns, CheckRedirect: stay}
	// The library retries inside a slot. It may only ask once more, plainly,
	// where it is the way of asking that was refused; all else is for the
	// scheduler.
	c.RetryMax = 1
	c.CheckRetry = h.conns.refused
	c.PrepareRetry = plainly
	c.Backoff = func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return 10 * time.Millisecond }
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	h.client = c
	return h
}

func (h *httpTransport) close() { h.conns.CloseIdleConnections() }

// stay leaves redirects to trips.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// brokeEarly reports whether a connection broke before there was an answer.
func brokeEarly(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// odd reports whether an answer came that net/http cannot read, or none because
// of HTTP/2.
func odd(err error) bool { return Classify(err) == failure.Server && !brokeEarly(err) }

// plainly makes a request one of HTTP/1.1, by a connection of its own.
func plainly(r *http.Request) error {
	r.Close = true
	r.Header = r.Header.Clone()
	r.Header.Del("Accept-Encoding") // some refuse even the wish for none
	return nil
}

// open implements transport. Redirects within a host are followed here; others
// go back to the scheduler: the new host has a lane of its own, and must be
// allowed.
func (h *httpTransport) open(ctx context.Context, u *url.URL, from resume) (*body, error) {
	t := from.trip
	if t == nil {
		t = new(trip)
	}
	if t.strong {
		ctx = withStrong(ctx)
	}
	for {
		resp, err := h.ask(ctx, u, from, t)
		if low := h.conns.door(u).lowered; low != "" {
			t.lowered = low
		}
		if err != nil {
			return nil, err
		}
		to, err := t.follow(u, resp, h.o)
		if to == nil && err == nil {
			b, err := h.answer(resp, from)
			if b != nil {
				_, password := resp.Request.Header["Authorization"]
				b.secret = password || t.hops > 0 && u.RawQuery != ""
			}
			if err != nil {
				discard(resp)
			}
			return b, err
		}
		discard(resp)
		switch {
		case err != nil:
			return nil, err
		case doorKey(to) != doorKey(u):
			return nil, &redirectError{to}
		}
		if err := t.hop(to); err != nil {
			return nil, err
		}
		u = to
	}
}

// ask makes one request. Its error has no URL, which may hold a password.
func (h *httpTransport) ask(ctx context.Context, u *url.URL, from resume, t *trip) (*http.Response, error) {
	header := make(http.Header, 6)
	header["User-Agent"] = []string{h.o.userAgent(u.Hostname())}
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
	req := h.blank.WithContext(ctx)
	req.URL, req.Host, req.Header = u, u.Host, header
	if user, password, ok := h.creds.find(u); ok && t.lowered == "" {
		req.SetBasicAuth(user, password)
	}
	t.addCookies(req)
	if from.plain {
		plainly(req)
	}
	rr, err := retryablehttp.FromRequest(req)
	if err != nil {
		return nil, &uriError{err.Error()}
	}
	resp, err := h.client.Do(rr)
	if err != nil {
		var outer *url.Error
		if asURLError(err, &outer) {
			err = outer.Err
		}
		return nil, curt(err)
	}
	return resp, nil
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

// shapeless are the statuses by which a server refuses how it was asked rather
// than what for. 403 is the usual one of those that look for robots.
var shapeless = []int{
	http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusPreconditionFailed,
	http.StatusUnsupportedMediaType, http.StatusExpectationFailed, http.StatusMisdirectedRequest, http.StatusUpgradeRequired,
	http.StatusRequestHeaderFieldsTooLarge, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported,
}

// refusesShape reports whether a plainer request may fare better than the one
// that was answered.
func refusesShape(resp *http.Response) bool {
	return slices.Contains(shapeless, resp.StatusCode) && !resp.Request.Close && resp.Header.Get("Retry-After") == "" && resp.Request.Header.Get("Range") == ""
}
