package fetch

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
		old:        resp.ProtoMajor == 1 && resp.ProtoMinor == 0 && !resp.Request.Close,
		clean:      resp.ProtoMajor >= 2 || resp.ContentLength >= 0 || slices.Contains(resp.TransferEncoding, "chunked"),
	}
	code := resp.StatusCode
	if resp.ProtoMajor == 0 {
		b.refusal = errNoHTTP
		return b, nil
	}
	status := &statusError{code: code, text: http.StatusText(code)}
	status.after, status.asked = h.putOff(resp)
	switch {
	case code == http.StatusPartialContent:
		return b, b.piece(resp, from)
	case code == http.StatusOK, code == http.StatusNonAuthoritativeInfo:
		return b, nil
	case code == http.StatusNotModified && from.validator != "" && from.offset == 0:
		return nil, &completeError{}
	case from.offset == 0 && (code/100 == 2 && !status.asked || code == http.StatusMultipleChoices):
		b.refusal = status
		return b, nil
	case code == http.StatusTooManyRequests:
		// What is throttled by connection is not cured by keeping them.
		h.conns.CloseIdleConnections()
	}
	if status.asked || code == http.StatusTooManyRequests {
		return nil, status
	}
	if from.offset > 0 {
		// Whatever is refused to a range may be given as a whole.
		cr := resp.Header.Get("Content-Range")
		if _, _, total, ok := parseContentRange(cr); code == http.StatusRequestedRangeNotSatisfiable && ok && total == from.offset {
			return nil, &completeError{from.offset}
		}
		return nil, &rangeError{"a range is refused: " + status.Error()}
	}
	if code == http.StatusRequestedRangeNotSatisfiable {
		return nil, &rangeError{"no range was asked for: " + status.Error()}
	}
	if code >= 400 && b.size > 0 && b.size == from.size {
		b.refusal = status // some send the file with the status of its page
		return b, nil
	}
	return nil, status
}

// piece judges an answer of a part of the file. Unless a range was asked for, it
// is the whole or its beginning, whatever Content-Range says.
func (b *body) piece(resp *http.Response, from resume) error {
	cr := resp.Header.Get("Content-Range")
	first, last, total, ok := parseContentRange(cr)
	ok = ok && last >= 0 && (total < 0 || from.size < 0 || total == from.size)
	bad := &rangeError{"206 with Content-Range " + quote(cr)}
	switch {
	case ok && first != from.offset:
		return &rangeError{"asked for byte " + strconv.FormatInt(from.offset, 10) + " on, got Content-Range " + quote(cr)}
	case !ok && (from.offset > 0 || strings.HasPrefix(strings.ToLower(resp.Header.Get("Content-Type")), "multipart/")):
		return bad
	case !ok:
		if cr != "" {
			b.refusal = bad
		}
		return nil
	}
	b.offset, b.size = first, total
	if last+1 != total {
		b.end = last + 1
	}
	return nil
}

// putOff returns when a server wants to be asked again, if it says so: by
// Retry-After or, with a refusal, as interfaces for programs do.
func (h *httpTransport) putOff(resp *http.Response) (after time.Duration, asked bool) {
	if after, asked = retryAfter(resp.Header.Get("Retry-After"), h.o.Now()); asked {
		return after, true
	}
	if c := resp.StatusCode; c != http.StatusForbidden && c != http.StatusTooManyRequests {
		return 0, false
	}
	for _, prefix := range []string{"X-Ratelimit-", "Ratelimit-"} {
		if strings.TrimSpace(resp.Header.Get(prefix+"Remaining")) != "0" {
			continue
		}
		n, ok := parseNumber(strings.TrimSpace(resp.Header.Get(prefix + "Reset")))
		switch {
		case ok && n > 1e9: // a moment, in seconds since 1970
			return min(longest, max(0, time.Unix(min(n, 1<<40), 0).Sub(h.o.Now()))), true
		case ok:
			return time.Duration(min(n, int64(longest/time.Second))) * time.Second, true
		}
	}
	return 0, false
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
