package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"distkeep/catalog/regular"
	"distkeep/fetch/failure"
)

func TestParseContentRange(t *testing.T) {
	t.Parallel()
	type answer struct {
		first, last, total int64
		ok                 bool
	}
	for in, want := range map[string]answer{
		"bytes 5-9/10":                     {5, 9, 10, true},
		"Bytes 5-9/*":                      {5, 9, -1, true},
		"bytes */10":                       {0, -1, 10, true},
		"bytes */*":                        {0, -1, -1, true},
		"bytes 0-0/1":                      {0, 0, 1, true},
		"bytes 5-10/10":                    {},
		"bytes 9-5/10":                     {},
		"bytes -5/10":                      {},
		"bytes 5-/10":                      {},
		"bytes 5-9":                        {},
		"items 5-9/10":                     {},
		"bytes +5-9/10":                    {},
		"bytes 5-9/99999999999999999999":   {},
		"":                                 {},
		"bytes 5-9/10, bytes 20-30/40":     {},
		"bytes\t5-9/10":                    {},
		"bytes 9223372036854775807-8/9223": {},
	} {
		var got answer
		if got.first, got.last, got.total, got.ok = parseContentRange(in); got != want {
			t.Errorf("%q: %+v, want %+v", in, got, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 5-9/10")
	f.Add("bytes */10")
	f.Fuzz(func(t *testing.T, in string) {
		first, last, total, ok := parseContentRange(in)
		if !ok {
			return
		}
		span, size := "*", "*"
		if last >= 0 {
			span = fmt.Sprintf("%d-%d", first, last)
		}
		if total >= 0 {
			size = fmt.Sprint(total)
		}
		f2, l2, t2, ok2 := parseContentRange("bytes " + span + "/" + size)
		if !ok2 || f2 != first || l2 != last || t2 != total || first < 0 || total >= 0 && last >= total {
			t.Fatalf("%q: %d-%d/%d", in, first, last, total)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Duration{
		"120":                            2 * time.Minute,
		" 0 ":                            0,
		"31536000":                       365 * 24 * time.Hour,
		"99999999999999999999999999":     longest,
		"Fri, 02 Jan 2026 03:01:00 GMT":  time.Minute,
		"Fri, 02 Jan 2026 02:00:00 GMT":  0,
		"Friday, 02-Jan-26 03:01:00 GMT": time.Minute,
		"Fri Jan  2 03:01:00 2026":       time.Minute,
		"":                               -1,
		"soon":                           -1,
		"-5":                             -1,
		"1.5":                            -1,
	} {
		got, asked := retryAfter(in, now)
		if asked != (want >= 0) || asked && got != want {
			t.Errorf("%q: %v %v, want %v", in, got, asked, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Fri, 02 Jan 2026 03:01:00 GMT")
	f.Fuzz(func(t *testing.T, in string) {
		if got, _ := retryAfter(in, time.Unix(0, 0)); got < 0 || got > longest {
			t.Fatalf("%q: %v", in, got)
		}
	})
}

func TestNetrc(t *testing.T) {
	t.Parallel()
	n, err := parseNetrc("n", strings.NewReader(`# comment
machine One.example login me password s3#cret
machine two.example
	login you
	password "x" account y
macdef init
	machine three.example login no password no

machine four.example password only
machine one.example login later password later
default login anonymous password anywhere
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ url, login, password string }{
		{"https://one.example/", "me", "s3#cret"},
		{"ftp://TWO.example:2121/", "you", `"x"`},
		{"https://three.example/", "", ""},
		{"https://four.example/", "", "only"},
		{"https://unknown.example/", "", ""},
		{"https://own@one.example/", "", ""},
	} {
		login, password, _ := n.find(parsed(t, c.url))
		if login != c.login || password != c.password {
			t.Errorf("%s: %q %q", c.url, login, password)
		}
	}
	for _, bad := range []string{"machine", "machine x login", "user x", strings.Repeat(" ", maxNetrc+1)} {
		if _, err := parseNetrc("n", strings.NewReader(bad)); err == nil {
			t.Errorf("%.20q is accepted", bad)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q", err)
		}
	}
	if _, _, ok := (*netrc)(nil).find(parsed(t, "https://one.example/")); ok {
		t.Error("no netrc gives a password")
	}
	if _, err := New(Options{Netrc: filepath.Join(t.TempDir(), "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing netrc: %v", err)
	}
}

func FuzzNetrc(f *testing.F) {
	f.Add("machine a login b password c\nmacdef x\n\ndefault login y")
	f.Fuzz(func(t *testing.T, in string) {
		n, err := parseNetrc("n", strings.NewReader(in))
		if err == nil && n == nil {
			t.Fatal("neither netrc nor error")
		}
	})
}

// TestClassify has a case for each way to fail that the types of Go tell apart.
func TestClassify(t *testing.T) {
	t.Parallel()
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err  error
		want failure.Class
	}{
		{nil, ""},
		{&statusError{code: 404}, failure.Gone},
		{&statusError{code: 410}, failure.Gone},
		{&statusError{code: 401}, failure.Forbidden},
		{&statusError{code: 403}, failure.Forbidden},
		{&statusError{code: 451}, failure.Forbidden},
		{&statusError{code: 408}, failure.Server},
		{&statusError{code: 429}, failure.Throttled},
		{&statusError{code: 500}, failure.Server},
		{&statusError{code: 503}, failure.Server},
		{&statusError{code: 503, asked: true}, failure.Throttled},
		{&statusError{code: 304}, failure.BadURI},
		{&net.DNSError{IsNotFound: true}, failure.DNS},
		{dial(&net.DNSError{IsTimeout: true}), failure.DNS},
		{dial(syscall.ECONNREFUSED), failure.Refused},
		{dial(context.DeadlineExceeded), failure.Refused},
		{dial(&policyError{"x"}), failure.Policy},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, failure.TLS},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}, failure.TLS},
		{tls.RecordHeaderError{}, failure.TLS},
		{errStalled, failure.Stalled},
		{fmt.Errorf("%w: 3 bytes", errNoProgress), failure.Stalled},
		{errNoAnswer, failure.Stalled},
		{&truncatedError{err: syscall.ECONNRESET}, failure.Truncated},
		{&sizeError{}, failure.Size},
		{&digestError{}, failure.Digest},
		{errNoDigest, failure.Digest},
		{&htmlError{err: &sizeError{}}, failure.HTML},
		{&htmlError{err: &digestError{}}, failure.HTML},
		{errNoURI, failure.NoURI},
		{&uriError{"x"}, failure.BadURI},
		{errLoop, failure.BadURI},
		{&policyError{"x"}, failure.Policy},
		{&diskError{io.ErrShortWrite}, failure.Disk},
		{&os.PathError{Err: syscall.ENOSPC}, failure.Disk},
		{&interruptError{context.Canceled, errors.New("x")}, failure.Interrupted},
		{&interruptError{context.DeadlineExceeded, context.DeadlineExceeded}, failure.Interrupted},
		{&deadError{"h", dial(syscall.ECONNREFUSED)}, failure.Refused},
		{syscall.ECONNRESET, failure.Server},
		{io.EOF, failure.Server},
	} {
		if got := Classify(c.err); got != c.want {
			t.Errorf("%T %v: %s, want %s", c.err, c.err, got, c.want)
		}
		if c.err != nil && Classify(fmt.Errorf("wrapped: %w", c.err)) != c.want {
			t.Errorf("%T is not seen through a wrap", c.err)
		}
	}
}

// TestErrorOfMany checks which of several failures speaks for the file.
func TestErrorOfMany(t *testing.T) {
	t.Parallel()
	gone := Attempt{source: 0, URL: "https://a/x", Class: failure.Gone, Err: &statusError{code: 404, text: "Not Found"}}
	dead := Attempt{source: 1, URL: "https://b/x", Class: failure.DNS, Err: &net.DNSError{Name: "b", Err: "no such host"}}
	busy := Attempt{source: 2, URL: "https://c/x", Class: failure.Server, Err: &statusError{code: 500, text: "Internal Server Error"}}
	other := Attempt{source: 3, URL: "https://d/x", Class: failure.Server, Err: busy.Err, Fallback: true}
	late := busy
	late.source = gone.source
	for _, c := range []struct {
		attempts []Attempt
		want     string
	}{
		{nil, "fetch n: no-uri: no fetchable uris"},
		{[]Attempt{gone}, "fetch n: gone: https://a/x: 404 Not Found"},
		{[]Attempt{gone, dead}, "fetch n: gone: https://a/x: 404 Not Found (2 attempts failed in all)"},
		{[]Attempt{busy, gone, dead}, "fetch n: server: https://c/x: 500 Internal Server Error (3 attempts failed in all)"},
		{[]Attempt{late, gone}, "fetch n: gone: https://a/x: 404 Not Found (2 attempts failed in all)"},
		{[]Attempt{gone, late}, "fetch n: server: https://c/x: 500 Internal Server Error (2 attempts failed in all)"},
		{[]Attempt{other}, "fetch n: server: https://d/x: 500 Internal Server Error"},
		{[]Attempt{gone, other}, "fetch n: gone: https://a/x: 404 Not Found (2 attempts failed in all)"},
		{[]Attempt{{URL: "https://e/", Class: failure.Policy, Err: &policyError{"a\nb\tc"}}}, "fetch n: policy: https://e/: a b c"},
	} {
		if got := newError(&Request{Name: "n"}, c.attempts).Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	e := newError(&Request{Name: "n"}, []Attempt{busy, gone})
	var status *statusError
	if !errors.Is(e, gone.Err) || !errors.As(e, &status) {
		t.Error("the cause of an attempt is not in the chain")
	}
}

// TestNetrcPipe: nobody waits for who might write to a pipe.
func TestNetrcPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "netrc")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadNetrc(path); !errors.Is(err, regular.ErrIrregular) {
		t.Errorf("error = %v", err)
	}
}

// TestPipeInTheWay: nobody waits for who might use a pipe in the place of a part that
// is to go on, or of the note beside a file in quarantine.
func TestPipeInTheWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "sum.json")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p := part{path: pipe, have: 1}
	if f, err := p.open(); f != nil || !errors.Is(err, errForeign) {
		t.Errorf("part: %v, %v", f, err)
	}
	wrong := filepath.Join(dir, "wrong")
	if err := os.WriteFile(wrong, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	q := newQuarantine(Quarantine{Dir: dir}, time.Now)
	if _, err := q.take(wrong, "sum", Quarantined{Size: 5}); err != nil {
		t.Errorf("quarantine: %v", err)
	}
	if fi, err := os.Lstat(pipe); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("the note is %v, %v", fi, err)
	}
}
