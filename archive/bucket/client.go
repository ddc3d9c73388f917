package bucket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

var (
	// ErrExists means that something is at a key that was to be new.
	ErrExists = errors.New("there is an object already")
	// ErrChanged means that an object is not the one that it was.
	ErrChanged = errors.New("the object has changed meanwhile")
	// ErrCredentials means that there are none.
	ErrCredentials = errors.New("there are no credentials for it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	// ErrSum means that the server has found bytes that do not have the digest that was
	// sent with them.
	ErrSum = errors.New("the server got other bytes")
)

// An Error is what came of a request. Errors.Is knows fs.ErrNotExist, fs.ErrPermission,
// ErrExists, ErrChanged and ErrSum.
type Error struct {
	Op, URL string
	// Status is that of the answer, or 0 where there was none, Code what S3 calls it.
	Status int
	Code   string
	Err    error
	// advice says what to do, where that is known.
	advice string
}

func (e *Error) Error() string {
	what := e.Code
	if what == "" {
		what = e.Err.Error()
	}
	if e.Status > 0 {
		what += " (" + strconv.Itoa(e.Status) + ")"
	}
	if e.advice != "" {
		what += ": " + e.advice
	}
	return e.Op + " " + e.URL + ": " + what
}

func (e *Error) Unwrap() error { return e.Err }

// classes are what the statuses of answers say.
var classes = map[int]error{
	http.StatusNotFound:           fs.ErrNotExist,
	http.StatusForbidden:          fs.ErrPermission,
	http.StatusUnauthorized:       fs.ErrPermission,
	http.StatusPreconditionFailed: ErrChanged,
	http.StatusConflict:           ErrChanged, // two conditional requests at one time
}

// fail makes an Error of what the SDK says.
func (b *Bucket) fail(op, key string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, URL: Scheme + b.o.Bucket + "/" + key, Err: cause(err)}
	for _, own := range []error{ErrCredentials, ErrLost} { // nobody was asked, or not the server
		if errors.Is(err, own) {
			e.Err = own
			return e
		}
	}
	if ae := (smithy.APIError)(nil); errors.As(err, &ae) && ae.ErrorCode() != "UnknownError" {
		e.Code = ae.ErrorCode()
	}
	if re := (*smithyhttp.ResponseError)(nil); errors.As(err, &re) {
		e.Status = re.HTTPStatusCode()
	}
	if e.Status == 0 {
		e.Err = fmt.Errorf("no answer from %s: %w", b.line.endpoint, e.Err)
	}
	e.advice = b.advice(e, err)
	switch class := classes[e.Status]; {
	case e.Code == "BadDigest" || e.Code == "XAmzContentSHA256Mismatch" || e.Code == "XAmzContentChecksumMismatch":
		e.Err = ErrSum
	case e.Code == "NoSuchBucket": // which is not that one object is missing
	case class != nil:
		e.Err = class
	}
	return e
}

// Refused reports whether err is that a server does not do what it is asked for, and may
// well do it for another object.
func Refused(err error) bool {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Code == "NoSuchBucket" || errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrCredentials) {
		return false
	}
	return e.Status >= http.StatusBadRequest && e.Status < http.StatusInternalServerError && e.Status != http.StatusTooManyRequests
}

// cause is what is at the bottom of an error of the SDK, which says on the way whom it
// has asked for credentials.
func cause(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err
}

const (
	// attempts and maxWait make about two minutes: a network that is gone for one does
	// not end a run of days.
	attempts = 14
	maxWait  = 20 * time.Second
	// quiet is how long a connection may do nothing to a server that has answered.
	quiet = time.Minute
)

// newClient makes the client that all requests go through, on l. Before each attempt of
// one that writes or removes something it asks held.
func newClient(o *Options, l *line, held func() error) *s3.Client {
	return s3.New(s3.Options{
		Region: o.Region, Credentials: aws.NewCredentialsCache(known{o.Credentials}),
		BaseEndpoint: optional(o.Endpoint), UsePathStyle: o.Endpoint != "",
		HTTPClient: l,
		Retryer: retry.NewStandard(func(s *retry.StandardOptions) {
			s.MaxAttempts, s.RateLimiter = attempts, ratelimit.None
			s.Backoff = retry.BackoffDelayerFunc(backoff)
			s.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(l.again)}, s.Retryables...)
			s.Retryables = append(s.Retryables, retry.RetryableErrorCode{Codes: map[string]struct{}{"OperationAborted": {}}})
		}),
		// The digest is sent with the request: what is sent behind the bytes many
		// servers do not know.
		RequestChecksumCalculation:                aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation:                aws.ResponseChecksumValidationWhenRequired,
		DisableLogOutputChecksumValidationSkipped: true,
		APIOptions: []func(*middleware.Stack) error{fence(held)},
	})
}

// optional is nil for what is not said.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// known are credentials that say so when there are none.
type known struct{ aws.CredentialsProvider }

func (k known) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := k.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = ErrCredentials
	}
	return c, err
}

// newLine makes the way to the server of o.
func newLine(o *Options) *line {
	l := &line{endpoint: o.Endpoint, soon: o.Soon, waits: o.Waits}
	if l.endpoint == "" {
		l.endpoint = "Amazon S3 in " + o.Region
	}
	dialer := &net.Dialer{Timeout: o.Soon}
	l.http = &http.Client{
		// A redirect would go to somebody for whom the request is not signed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: o.Proxy, MaxIdleConnsPerHost: o.Jobs + 4, IdleConnTimeout: quiet,
			TLSHandshakeTimeout: o.Soon, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			DisableCompression: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := dialer.DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return &moving{c, l}, nil
			},
		},
	}
	return l
}

// A moving connection ends when it does nothing for a while, however long a transfer
// takes that goes on.
type moving struct {
	net.Conn
	l *line
}

func (m *moving) Read(p []byte) (int, error) {
	if err := m.SetReadDeadline(time.Now().Add(m.l.quiet())); err != nil {
		return 0, err
	}
	return m.Conn.Read(p)
}

func (m *moving) Write(p []byte) (int, error) {
	if err := m.SetWriteDeadline(time.Now().Add(m.l.quiet())); err != nil {
		return 0, err
	}
	return m.Conn.Write(p)
}

// backoff is how long to wait before another attempt: as long as the server says, or
// longer and longer.
func backoff(attempt int, err error) (time.Duration, error) {
	if re := (*smithyhttp.ResponseError)(nil); errors.As(err, &re) && re.Response != nil {
		if s, err := strconv.Atoi(re.Response.Header.Get("Retry-After")); err == nil && s >= 0 {
			return min(time.Duration(s)*time.Second, 2*maxWait), nil
		}
	}
	most := min(100*time.Millisecond<<min(attempt, 20), maxWait)
	return most/2 + rand.N(most/2+1), nil
}

// signed says that the bytes of a request have the SHA-256 hex, so that nobody reads
// them to find that out.
func signed(hex string) func(*s3.Options) {
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("distkeep.payload", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			return next.HandleFinalize(v4.SetPayloadHash(ctx, hex), in)
		}), "ComputePayloadHash", middleware.Before)
	})
}

// drain ends an answer whose bytes nobody wants.
func drain(r io.ReadCloser) { _, _ = io.CopyN(io.Discard, r, 4<<10); r.Close() }

// A condition is what has to be true of what is at a key.
type condition struct {
	fresh bool   // nothing is there
	etag  string // the object is, or anything when it is empty
}

func (c condition) header() (ifNone, ifMatch *string) {
	switch {
	case c.fresh:
		return aws.String("*"), nil
	case c.etag != "":
		return nil, aws.String(c.etag)
	}
	return nil, nil
}

// refine says what it means that the condition does not hold.
func (c condition) refine(err error) error {
	if e := (*Error)(nil); c.fresh && errors.As(err, &e) && errors.Is(e.Err, ErrChanged) {
		e.Err = ErrExists
	}
	return err
}
