package bucket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// soon is for how long the first question of all is asked: a server that has never
// answered is more likely a wrong endpoint than one that is away, and somebody may be
// waiting to be told.
const soon = 10 * time.Second

// A line is the way to a server, which knows for how long that has not answered.
type line struct {
	http     *http.Client
	endpoint string
	soon     time.Duration
	waits    func(error)

	mu       sync.Mutex
	answered bool      // it has, once
	hurried  bool      // and all the same each question is one that somebody waits for
	since    time.Time // when the first request was sent that it has not answered, or zero
	told     bool      // waits was called since it answered last
}

// Do implements s3.HTTPClient.
func (l *line) Do(r *http.Request) (*http.Response, error) {
	began := time.Now()
	answer, err := l.http.Do(r)
	if err == nil && answer.StatusCode >= http.StatusMultipleChoices {
		if err = speaksS3(answer, r.Method); err != nil {
			answer.Body.Close()
			answer = nil
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && answer.StatusCode < http.StatusInternalServerError:
		l.answered, l.since, l.told = true, time.Time{}, false
	case l.since.IsZero():
		l.since = began
	}
	return answer, err
}

// mostText is how much of an answer is read that says what went wrong.
const mostText = 1 << 20

// speaksS3 returns a foreignError for an answer that says what went wrong in other words
// than those of S3: a web server's, or a proxy's. Of others it bounds the body, all of
// which the SDK reads.
func speaksS3(answer *http.Response, method string) error {
	body := bufio.NewReader(io.LimitReader(answer.Body, mostText))
	begins, _ := body.Peek(64)
	begins = bytes.TrimSpace(begins)
	none := len(begins) == 0 && (method == http.MethodHead || answer.StatusCode != http.StatusNotFound)
	if !none && !bytes.HasPrefix(begins, []byte("<?xml")) && !bytes.HasPrefix(begins, []byte("<Error")) {
		return foreignError{answer.StatusCode}
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{body, answer.Body}
	return nil
}

// A foreignError is a status that somebody else has answered with.
type foreignError struct{ status int }

func (f foreignError) Error() string {
	return fmt.Sprintf("what is there is no S3 and says %d %s", f.status, http.StatusText(f.status))
}

// quiet is how long a connection may do nothing.
func (l *line) quiet() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answered {
		return quiet
	}
	return l.soon
}

// hurry says whether somebody waits for each answer, as for the first one.
func (l *line) hurry(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hurried = yes
}

// again says whether a request that has failed is sent again. It leaves that to the
// SDK where it knows nothing better.
func (l *line) again(err error) aws.Ternary {
	l.mu.Lock()
	defer l.mu.Unlock()
	notFound := (*net.DNSError)(nil)
	unknown := errors.As(err, &notFound) && notFound.IsNotFound
	switch {
	case !l.answered && (unknown || stranger(err)):
		return aws.FalseTernary
	case l.since.IsZero() || time.Since(l.since) < l.soon:
	case (!l.answered || l.hurried) && l.waits == nil:
		return aws.FalseTernary
	case l.waits != nil && !l.told:
		l.told = true
		l.waits(fmt.Errorf("no answer from %s: %w", l.endpoint, cause(err)))
	}
	if unknown || errors.Is(err, io.ErrUnexpectedEOF) {
		// Its name was known before, and the network may be away; or the answer was not
		// heard to its end.
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// stranger reports whether err says that it is another kind of server.
func stranger(err error) bool {
	foreign := foreignError{}
	return errors.As(err, &foreign) && foreign.status < http.StatusInternalServerError || noTLS(err) || errors.As(err, new(*tls.CertificateVerificationError))
}

// noTLS reports whether err says that the server does not know TLS.
func noTLS(err error) bool {
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, new(tls.RecordHeaderError))
}

// advice says what to do about an error, or nothing where that is not known.
func (b *Bucket) advice(e *Error, err error) string {
	at := b.line.endpoint
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, ErrCredentials):
		return ""
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "is that the endpoint, and is its certificate known here (SSL_CERT_FILE)?"
	case errors.As(err, new(foreignError)):
		return "is that the endpoint, and is it http:// or https://?"
	case noTLS(err):
		return "there is no TLS: is the endpoint http:// rather than https://?"
	case e.Status == 0:
		return "is that the endpoint, and does it run?"
	case e.Code == "NoSuchBucket":
		return "make the bucket " + b.o.Bucket + " at " + at + ", or mend --archive"
	case e.Code == "AuthorizationHeaderMalformed" || e.Code == "IllegalLocationConstraintException" || e.Status == http.StatusMovedPermanently || e.Status == http.StatusTemporaryRedirect:
		return "is --region right for " + at + "? it is " + b.o.Region
	case e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized:
		return "are the credentials and the region " + b.o.Region + " those of " + at + ", and may they use the bucket?"
	case e.Status >= http.StatusInternalServerError && e.Status != http.StatusNotImplemented:
		return at + " is busy or broken: try again later"
	}
	return ""
}

// advised reports whether err is one of those that no other request would be without.
func advised(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && e.advice != ""
}
