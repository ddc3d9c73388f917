package bucket

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/store"
)

// says is a server that gives every request the same answer.
func says(t *testing.T, status int, body string, header ...string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// listens is an address of the loopback whose connections come to nothing.
func listens(t *testing.T, answers bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if answers {
		t.Cleanup(func() { l.Close() }) // the kernel takes connections, and nobody reads from them
	} else {
		l.Close()
	}
	return l.Addr().String()
}

// TestFirstQuestion: what cannot be asked at all is said soon, in one line with the
// server and what to do about it.
func TestFirstQuestion(t *testing.T) {
	t.Parallel()
	code := func(c string) string { return "<Error><Code>" + c + "</Code><Message>no</Message></Error>" }
	plain := strings.TrimPrefix(says(t, http.StatusOK, "hello"), "http://")
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it says what clients do wrong
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, c := range map[string]struct{ endpoint, want string }{
		"nobody listens":      {"http://" + listens(t, false), "connection refused: is that the endpoint, and does it run?"},
		"nobody answers":      {"http://" + listens(t, true), "is that the endpoint, and does it run?"},
		"nobody says TLS":     {"https://" + listens(t, true), "is that the endpoint, and does it run?"},
		"no such host":        {"http://nobody.invalid", "is that the endpoint, and does it run?"},
		"no TLS":              {"https://" + plain, "is the endpoint http:// rather than https://?"},
		"TLS":                 {strings.Replace(secure.URL, "https", "http", 1), "is no S3 and says 400 Bad Request: is that the endpoint, and is it http:// or https://?"},
		"an unknown CA":       {secure.URL, "is its certificate known here"},
		"a web server":        {says(t, http.StatusMethodNotAllowed, "<html><h1>405 Not Allowed"), "is no S3"},
		"a page is not there": {says(t, http.StatusNotFound, "<html><body>404</body></html>"), "is no S3"},
		"nothing is there":    {says(t, http.StatusNotFound, ""), "is no S3"},
		"a huge error":        {says(t, http.StatusNotFound, "<html>"+strings.Repeat("x", 4<<20)), "is no S3"},
		"a wrong region":      {says(t, http.StatusBadRequest, code("AuthorizationHeaderMalformed")), "is --region right"},
		"another region":      {says(t, http.StatusMovedPermanently, code("PermanentRedirect"), "Location", "http://nobody.invalid"), "is --region right"},
		"an unknown key":      {says(t, http.StatusForbidden, code("InvalidAccessKeyId")), "are the credentials"},
		"a wrong secret":      {says(t, http.StatusForbidden, code("SignatureDoesNotMatch")), "are the credentials"},
		"not allowed":         {says(t, http.StatusUnauthorized, ""), "are the credentials"},
		"no bucket":           {says(t, http.StatusNotFound, code("NoSuchBucket")), "make the bucket archive at"},
		"busy":                {says(t, http.StatusServiceUnavailable, code("SlowDown")), "is busy or broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := hasty(t, c.endpoint, 2*time.Second, nil)
			began := time.Now()
			for what, ask := range map[string]func() error{
				"init": func() error { return b.Probe(t.Context()) },
				"a run": func() error {
					_, err := b.Mark(t.Context())
					if errors.Is(err, fs.ErrNotExist) {
						t.Error("it is taken for an empty bucket")
					}
					return err
				},
			} {
				err := ask()
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "archive") {
					t.Errorf("%s: %v, want %q", what, err, c.want)
				}
				if host := strings.Split(c.endpoint, "//")[1]; err != nil && !strings.Contains(err.Error(), host) {
					t.Errorf("%s: %v does not say which server", what, err)
				}
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// hasty opens the bucket at an endpoint whose first answer has to come soon.
func hasty(t *testing.T, endpoint string, soon time.Duration, waits func(error)) *Bucket {
	t.Helper()
	b, err := New(Options{
		Bucket: s3test.Bucket, Endpoint: endpoint, Soon: soon, Waits: waits,
		Credentials: credentials.NewStaticCredentialsProvider(s3test.Key, s3test.Secret, ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWaits: whoever may wait is told once for each time that the server is away, and
// goes on when it is back.
func TestWaits(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	var told atomic.Int32
	b := hasty(t, s.URL, time.Second/4, func(why error) {
		told.Add(1)
		if !strings.Contains(why.Error(), "no answer from "+s.URL) {
			t.Errorf("why = %v", why)
		}
	})
	for away := range 2 {
		began := time.Now()
		s.Fail(func(int, *http.Request) s3test.Fault {
			if time.Since(began) < time.Second {
				return s3test.Cut
			}
			return s3test.None
		})
		it := item(t, "a", fmt.Sprint(away))
		if err := b.Publish([]*store.Item{it}, nil); err != nil || it.Err != nil {
			t.Errorf("%v; %v", err, it.Err)
		}
		if n := told.Load(); n != int32(away+1) {
			t.Errorf("it was told %d times", n)
		}
	}
}
