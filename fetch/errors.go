package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
	"distkeep/fetch/oldtls"
)

// An Error is why a distfile could not be fetched.
type Error struct {
	Class    failure.Class
	Name     catalog.Name
	Attempts []Attempt
	// Err is the failure that decided the class.
	Err error
	url string // that Err is about, or empty
	// omitted are attempts that are not among Attempts.
	omitted int
}

// Error returns one line that names the file.
func (e *Error) Error() string { return "fetch " + string(e.Name) + ": " + e.Reason() }

// Reason returns the same line without the file: class, URL, cause, and how
// many other attempts failed. It has no tabs or line breaks.
func (e *Error) Reason() string {
	s := string(e.Class) + ": "
	if e.url != "" {
		s += e.url + ": "
	}
	s += e.Err.Error()
	if n := len(e.Attempts) + e.omitted; n > 1 {
		s += fmt.Sprintf(" (%d attempts failed in all)", n)
	}
	return oneLine(s)
}

// Hint is one line that says what an operator can do, where it is not what helps
// with all of the class; it is empty otherwise.
func (e *Error) Hint() string { return certificateHint(e.Err) }

// Unwrap returns the cause of every attempt.
func (e *Error) Unwrap() []error {
	errs := []error{e.Err}
	for _, a := range e.Attempts {
		if a.Err != nil {
			errs = append(errs, a.Err)
		}
	}
	return errs
}

// oneLine makes s fit for a log of one record a line and bounds it: parts of it
// were written by strangers.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 1000 {
		s = strings.ToValidUTF8(s[:1000], "") + "…"
	}
	return s
}

// newError makes the error of a request from its attempts. The last word of
// each source counts: one that was busy first and then has not got the file, has
// not got it.
func newError(r *Request, attempts []Attempt) *Error {
	e := &Error{Class: failure.NoURI, Name: r.Name, Attempts: attempts, Err: noURI(r)}
	best := math.MaxInt
	spoken := make(map[int]bool)
	upstream := slices.ContainsFunc(attempts, func(a Attempt) bool { return !a.Fallback })
	for _, a := range slices.Backward(attempts) {
		if a.Err == nil || spoken[a.source] {
			continue
		}
		spoken[a.source] = true
		// That other archives have not got it says nothing about upstream.
		if rank := a.Class.Rank(); rank < best && !(upstream && a.Fallback) {
			best, e.Class, e.Err, e.url = rank, a.Class, a.Err, a.URL
		}
	}
	return e
}

// noURI says why nothing can be asked.
func noURI(r *Request) error {
	if i := slices.IndexFunc(r.Sources, func(s catalog.Source) bool { return s.Missing != "" }); i >= 0 {
		return fmt.Errorf("%w: %s", errNoURI, r.Sources[i].Missing)
	}
	return errNoURI
}

var (
	errNoURI      = errors.New("no fetchable uris") // emirrordist's words
	errNoDigest   = errors.New("the tree has no digest that can be verified")
	errStalled    = errors.New("transfer stalled")
	errNoAnswer   = errors.New("no answer in time")
	errLoop       = &uriError{"too many redirects"}
	errNoProgress = errors.New("transfer is too slow")
	errNoHTTP     = errors.New("what came is no answer of HTTP, and not the file")
	// errForeign: the .part is not what it was. The file begins anew.
	errForeign = errors.New("the .part file was removed or changed by somebody else")
	// errNotContinued: the server has no more of the file, or none.
	errNotContinued = errors.New("the transfer could not be continued")
)

// A statusError is an answer that is not the file.
type statusError struct {
	code   int
	text   string
	method string // of ftp and rsync: the protocol
	// after is the server's Retry-After; asked tells that there was one.
	after time.Duration
	asked bool
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("%s%d %s", e.method, e.code, e.text)
	if e.asked {
		s += fmt.Sprintf(", retry after %v", e.after)
	}
	return s
}

// A sizeError is a file of another size.
type sizeError struct {
	want, got int64
	more      bool // at least got
	what      string
	kept      string
}

func (e *sizeError) Error() string {
	what := e.what
	if what != "" {
		what = ": " + what
	}
	switch {
	case e.more:
		return fmt.Sprintf("expected %d bytes, got more%s", e.want, what)
	case e.got < e.want:
		return fmt.Sprintf("expected %d bytes, got %d, %d too few%s%s", e.want, e.got, e.want-e.got, what, keptAs(e.kept))
	}
	return fmt.Sprintf("expected %d bytes, got %d, %d too many%s%s", e.want, e.got, e.got-e.want, what, keptAs(e.kept))
}

// A digestError is a file with other bytes.
type digestError struct {
	want, got digest.Digest
	kept      string
}

func (e *digestError) Error() string {
	return fmt.Sprintf("expected %s, got %s%s", e.want, e.got.Hex(), keptAs(e.kept))
}

func keptAs(path string) string {
	if path == "" {
		return ""
	}
	return ", kept as " + path
}

// An htmlError is a web page in place of a file.
type htmlError struct {
	err   error
	title string
}

func (e *htmlError) Error() string {
	return "the server sent a web page" + e.title + " with status 200 in place of the file: " + e.err.Error()
}
func (e *htmlError) Unwrap() error { return e.err }

// A truncatedError is a transfer that broke off at have bytes.
type truncatedError struct {
	have, want int64
	err        error
}

func (e *truncatedError) Error() string {
	if e.want < 0 {
		return fmt.Sprintf("connection lost after %d bytes: %v", e.have, e.err)
	}
	return fmt.Sprintf("connection lost after %d of %d bytes: %v", e.have, e.want, e.err)
}
func (e *truncatedError) Unwrap() error { return e.err }

// A rangeError is an answer to a range request that cannot be used: the file is
// asked for again as a whole.
type rangeError struct{ msg string }

func (e *rangeError) Error() string { return e.msg }

type policyError struct{ msg string }

func (e *policyError) Error() string { return e.msg }

type uriError struct{ msg string }

func (e *uriError) Error() string { return e.msg }

type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

// ErrRoom is in the chain of an error of class disk when the disk is not full, but
// has no room for this one file.
var ErrRoom = errors.New("there is no room for it")

// A roomError is a file that does not fit beside what fits, or for a second copy
// of which there is no room.
type roomError struct{ err error }

func (e *roomError) Error() string { return ErrRoom.Error() + ": " + e.err.Error() }
func (e *roomError) Unwrap() error { return ErrRoom }

// A tlsError is a failed handshake.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return "tls: " + e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// A loweredError happened after something was given up.
type loweredError struct {
	lowered string
	err     error
}

func (e *loweredError) Error() string { return e.err.Error() + " (" + e.lowered + ")" }
func (e *loweredError) Unwrap() error { return e.err }

// A deadError stands for the attempts that a dead host was spared.
type deadError struct {
	host string
	err  error
}

func (e *deadError) Error() string { return "host is not asked again in this run: " + e.err.Error() }
func (e *deadError) Unwrap() error { return e.err }

// Classify tells the class of an error of this package, of the network or of
// the file system. It is the only place where errors become classes; what it
// does not know is taken for trouble of the server.
func Classify(err error) failure.Class {
	if err == nil {
		return ""
	}
	var (
		whole   *Error
		status  *statusError
		dns     *net.DNSError
		op      *net.OpError
		network net.Error
	)
	switch {
	case errors.As(err, &whole):
		return whole.Class
	case is[*interruptError](err), is[*parkedError](err), errors.Is(err, context.Canceled):
		// Not DeadlineExceeded: every timeout of the network says that it is one.
		return failure.Interrupted
	case is[*diskError](err), errors.Is(err, ErrRoom), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS):
		return failure.Disk
	case is[*policyError](err):
		return failure.Policy
	case is[*uriError](err):
		return failure.BadURI
	case errors.Is(err, errNoURI):
		return failure.NoURI
	case is[*digestError](err), errors.Is(err, errNoDigest):
		if is[*htmlError](err) {
			return failure.HTML
		}
		return failure.Digest
	case is[*htmlError](err):
		return failure.HTML
	case is[*sizeError](err):
		return failure.Size
	case errors.Is(err, errStalled), errors.Is(err, errNoProgress), errors.Is(err, errNoAnswer):
		return failure.Stalled
	case is[*unpackError](err):
		return failure.Digest
	case is[*truncatedError](err), errors.Is(err, errForeign):
		return failure.Truncated
	case errors.As(err, &status):
		return status.class()
	case errors.As(err, &dns):
		return failure.DNS
	case isTLS(err):
		return failure.TLS
	case errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect"), errors.Is(err, syscall.ECONNREFUSED):
		return failure.Refused
	case errors.As(err, &network) && network.Timeout():
		return failure.Stalled // of net/http, before there is an answer
	}
	return failure.Server
}

func (e *statusError) class() failure.Class {
	switch {
	case e.asked, e.code == http.StatusTooManyRequests:
		return failure.Throttled
	case e.code == http.StatusNotFound, e.code == http.StatusGone:
		return failure.Gone
	case e.code == http.StatusRequestTimeout, e.code == http.StatusTooEarly:
		return failure.Server
	case e.code >= 400 && e.code < 500:
		return failure.Forbidden
	case e.code >= 300 && e.code < 400:
		return failure.BadURI
	}
	return failure.Server
}

// ofFile reports whether the wish to be asked later is about the one file: one
// that is being prepared, or that others use.
func (e *statusError) ofFile() bool {
	switch e.code {
	case http.StatusAccepted, http.StatusNotFound, http.StatusConflict, http.StatusGone, http.StatusLocked:
		return e.asked
	}
	return false
}

func is[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

func isTLS(err error) bool {
	var op *net.OpError
	return is[*tlsError](err) || is[oldtls.AlertError](err) || is[*tls.CertificateVerificationError](err) || is[x509.UnknownAuthorityError](err) ||
		is[x509.HostnameError](err) || is[x509.CertificateInvalidError](err) || is[tls.RecordHeaderError](err) ||
		errors.Is(err, http.ErrSchemeMismatch) ||
		// crypto/tls marks the alerts of either side so.
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// hopeless reports whether an error proves that no connection to the host will
// come about in this run.
func hopeless(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound || is[*tls.CertificateVerificationError](err) || is[tls.RecordHeaderError](err) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

// unexpectedEOF makes the end of a stream an error that reads well.
func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return curt(err)
}

// maxQuote bounds what an error quotes of the words of a server: the errors of
// all attempts are kept until the run ends.
const maxQuote = 200

// brief returns s or, when it is long, a copy of its beginning, which does not
// keep the rest in memory.
func brief(s string) string {
	if len(s) <= maxQuote {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuote], "") + "…"
}

// curt returns err or, when it is longer than any that quotes no server, its
// beginning. Errors that tell more than failure.Server stay what they are.
func curt(err error) error {
	if err == nil || Classify(err) != failure.Server {
		return err
	}
	if s := err.Error(); len(s) > 2*maxQuote {
		return errors.New(brief(s))
	}
	return err
}
