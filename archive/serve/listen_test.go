package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"distkeep/catalog"
)

// listen listens on loopback.
func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// start serves on ls until the test ends or stop is called, which waits.
func (w *world) start(config *tls.Config, ls ...net.Listener) (stop func() error) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.s.Serve(ctx, config, ls...) }()
	var err error
	stop = func() error {
		if cancel != nil {
			cancel()
			cancel, err = nil, <-ended
		}
		return err
	}
	w.t.Cleanup(func() { stop() })
	return stop
}

// TestServe: a big file and a small one arrive as they are over TCP, TLS and a Unix
// socket, where one is that a killed server has left behind.
func TestServe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	w.Put("big.tgz", catalog.Gentoo, true, string(big))
	w.Put("small.tgz", catalog.Gentoo, true, "small")
	w.serve()
	socket := filepath.Join(t.TempDir(), "s")
	dead, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	tcp, unix, secure := listen(t, "127.0.0.1:0"), listen(t, "unix:"+socket), listen(t, "127.0.0.1:0")
	if l, err := Listen("unix:" + socket); err == nil {
		l.Close()
		t.Error("the socket of a server that lives was taken")
	}
	if fi, err := os.Stat(socket); err != nil || fi.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	config, roots := newCertificate(t, t.TempDir(), 1)
	m := Limits{Connections: 100, PerAddress: 50}
	w.start(nil, m.Limit(tcp), m.Limit(unix))
	w.start(config, m.Limit(secure))
	overUnix := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	overTLS := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
	for base, c := range map[string]*http.Client{
		"http://" + tcp.Addr().String(): {Transport: new(http.Transport)}, "http://unix": overUnix, "https://" + secure.Addr().String(): overTLS,
	} {
		for uri, want := range map[string]string{"/big.tgz": string(big), "/small.tgz": "small"} {
			r, err := c.Get(base + uri)
			if err != nil {
				t.Fatal(err)
			}
			if got := body(t, r); got != want || r.ContentLength != int64(len(want)) {
				t.Errorf("%s%s: %s, %d bytes", base, uri, r.Status, len(got))
			}
			r.Body.Close()
		}
		c.CloseIdleConnections()
	}
}

// TestStop: what is under way when the server is told to stop is sent to its end.
func TestStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := bytes.Repeat([]byte("x"), 16<<20)
	w.write("big", string(big))
	w.serve()
	l := listen(t, "127.0.0.1:0")
	stop := w.start(nil, Limits{}.Limit(l))
	r, err := http.Get("http://" + l.Addr().String() + "/big")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	ended := make(chan error)
	go func() { ended <- stop() }()
	if n, err := io.Copy(io.Discard, r.Body); n != int64(len(big)) || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it listens still")
	}
}

// TestLimits: one address cannot have all connections, and all together no more than
// there may be. When one ends, there is room again.
func TestLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a", "a")
	w.serve()
	for what, m := range map[string]Limits{"per address": {PerAddress: 2}, "all": {Connections: 2}} {
		l := listen(t, "127.0.0.1:0")
		w.start(nil, m.Limit(l))
		connect := func() net.Conn {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		request := func(c net.Conn) int {
			// Whoever is refused may find the connection closed before it has asked.
			_, _ = io.WriteString(c, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n")
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				return 0
			}
			defer r.Body.Close()
			return r.StatusCode
		}
		first := connect()
		second := connect()
		if a, b := request(first), request(second); a != 200 || b != 200 {
			t.Errorf("%s: %d, %d", what, a, b)
		}
		third := connect()
		if r, err := http.ReadResponse(bufio.NewReader(third), nil); err != nil || r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" {
			t.Errorf("%s: the third: %v, %v", what, r, err)
		}
		first.Close()
		ok := false
		for range 1000 { // the server sees it when it reads
			c := connect()
			if ok = request(c) == 200; ok {
				break
			}
			c.Close()
		}
		if !ok {
			t.Errorf("%s: there is no room although one has gone", what)
		}
	}
}

func TestClientOf(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:1": "192.0.2.1", "[2001:db8:1:2:3::4]:1": "2001:db8:1:2::", "[fe80::1%lo]:1": "fe80::",
	} {
		ap := netip.MustParseAddrPort(addr)
		if got := clientOf(net.TCPAddrFromAddrPort(ap)); got.String() != want {
			t.Errorf("%s counts as %s, want %s", addr, got, want)
		}
	}
	if got := clientOf(&net.UnixAddr{Name: "@", Net: "unix"}); got.IsValid() {
		t.Errorf("a Unix socket counts as %s", got)
	}
}

// A slow connection notes what it is given and for how long.
type slow struct {
	net.Conn
	deadlines []time.Time
	writes    int
	largest   int
	got       bytes.Buffer
}

func (s *slow) SetReadDeadline(time.Time) error { return nil }

func (s *slow) SetWriteDeadline(t time.Time) error {
	s.deadlines = append(s.deadlines, t)
	return nil
}

func (s *slow) Write(p []byte) (int, error) {
	s.largest = max(s.largest, len(p))
	if s.writes++; s.writes > 3 {
		return 0, os.ErrDeadlineExceeded
	}
	return s.got.Write(p)
}

func (s *slow) ReadFrom(r io.Reader) (int64, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	n, err := s.Write(text)
	return int64(n), err
}

// TestSlowClient: each piece of what is sent has its minute, so that a transfer may take
// for ever and a client that reads nothing may not.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("0123456789"), 100_000)
	for what, send := range map[string]func(c *conn) (int64, error){
		"bytes": func(c *conn) (int64, error) {
			n, err := c.Write(text)
			return int64(n), err
		},
		"file": func(c *conn) (int64, error) {
			return c.ReadFrom(&io.LimitedReader{R: bytes.NewReader(text), N: int64(len(text))})
		},
	} {
		s := new(slow)
		n, err := send(&conn{Conn: s, leave: func() {}})
		if !errors.Is(err, os.ErrDeadlineExceeded) || n != 3*piece || s.largest != piece || !bytes.Equal(s.got.Bytes(), text[:n]) {
			t.Errorf("%s: %d bytes, pieces of %d, %v", what, n, s.largest, err)
		}
		if len(s.deadlines) != 1 {
			t.Errorf("%s: the deadline was moved %d times", what, len(s.deadlines))
		}
	}
	s := new(slow)
	c := &conn{Conn: s, leave: func() {}}
	for i, set := range []time.Duration{0, pieceTime / 2, -time.Hour} {
		if err := c.SetDeadline(time.Now().Add(set)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(s.deadlines[len(s.deadlines)-1]); left < pieceTime-10*time.Second || left > pieceTime || len(s.deadlines) != 2*i+2 {
			t.Errorf("after a deadline in %v a piece has %v", set, left)
		}
	}
}

// newCertificate writes a certificate of its own for 127.0.0.1 to dir.
func newCertificate(t *testing.T, dir string, serial int64) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint(serial)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, b := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config, err := Certificate(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return config, roots
}

// TestCertificate: a renewed certificate is used at once, and half of one not at all.
func TestCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config, _ := newCertificate(t, dir, 1)
	serial := func() string {
		t.Helper()
		c, err := config.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	if got := serial(); got != "1" {
		t.Errorf("the first is %s", got)
	}
	newCertificate(t, dir, 2)
	if got := serial(); got != "2" {
		t.Errorf("the renewed one is %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != "2" {
		t.Errorf("without its key it is %s", got)
	}
	if _, err := Certificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "none")); err == nil {
		t.Error("a certificate without a key")
	}
}
