package oldtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// certificates makes one of each kind of key.
func certificates(t testing.TB) (rsaCert, ecCert tls.Certificate) {
	t.Helper()
	make := func(public, private any) tls.Certificate {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "old"}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"old.example"}}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, public, private)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
	}
	rk, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ek, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return make(&rk.PublicKey, rk), make(&ek.PublicKey, ek)
}

// exchangeWith sends and receives over a connection to a server that echoes.
func exchangeWith(t *testing.T, addr string, want string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	var names []string
	tc, err := Client(c, &Config{ServerName: "old.example", Verify: func(certs []*x509.Certificate) error {
		names = certs[0].DNSNames
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tc.Suite(), want) || len(names) != 1 || names[0] != "old.example" {
		t.Errorf("%s with %v, want %s", tc.Suite(), names, want)
	}
	data := bytes.Repeat([]byte("0123456789abcdef\n"), 5000)
	go tc.Write(data)
	got := make([]byte, len(data))
	if _, err := io.ReadFull(tc, got); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back changed (%v)", len(got), err)
	}
	if err := tc.Close(); err != nil {
		t.Error(err)
	}
}

// echo is a server of crypto/tls.
func echo(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// TestGo speaks with crypto/tls, by the suites that both know.
func TestGo(t *testing.T) {
	t.Parallel()
	rsaCert, ecCert := certificates(t)
	for _, c := range []struct {
		suite uint16
		cert  tls.Certificate
		curve tls.CurveID
		ask   bool
	}{
		{suite: tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, cert: rsaCert},
		{suite: tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, cert: rsaCert, curve: tls.CurveP521},
		{suite: tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, cert: ecCert, curve: tls.CurveP256},
		{suite: tls.TLS_RSA_WITH_AES_128_CBC_SHA256, cert: rsaCert},
		{suite: tls.TLS_RSA_WITH_AES_128_GCM_SHA256, cert: rsaCert},
		{suite: tls.TLS_RSA_WITH_AES_256_GCM_SHA384, cert: rsaCert, ask: true},
	} {
		t.Run(tls.CipherSuiteName(c.suite)+c.curve.String(), func(t *testing.T) {
			t.Parallel()
			config := &tls.Config{Certificates: []tls.Certificate{c.cert}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{c.suite}}
			if c.curve != 0 {
				config.CurvePreferences = []tls.CurveID{c.curve}
			}
			if c.ask {
				config.ClientAuth = tls.RequestClientCert
			}
			exchangeWith(t, echo(t, config), "AES")
		})
	}
}

// TestOpenSSL speaks with OpenSSL, by each suite.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed: install it to test against it")
	}
	ciphers, err := exec.Command(openssl, "ciphers", "ALL:@SECLEVEL=0").Output()
	if err != nil {
		t.Fatal(err)
	}
	known := ":" + strings.TrimSpace(string(ciphers)) + ":"
	rsaCert, ecCert := certificates(t)
	dir := t.TempDir()
	write := func(name string, cert tls.Certificate) string {
		key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		data := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			if !strings.Contains(known, ":"+s.name+":") {
				t.Skip("this openssl has no such cipher")
			}
			cert := rsaCert
			if strings.Contains(s.name, "ECDSA") {
				cert = ecCert
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := l.Addr().String()
			l.Close()
			cmd := exec.Command(openssl, "s_server", "-rev", "-quiet", "-accept", addr, "-tls1_2", "-cipher", s.name+":@SECLEVEL=0", "-cert", write(s.name, cert))
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			defer func() {
				cmd.Process.Kill()
				if err := <-ended; t.Failed() {
					t.Logf("openssl: %v\n%s", err, said.Bytes())
				}
			}()
			c := dialSoon(t, addr, ended)
			defer c.Close()
			c.SetDeadline(time.Now().Add(20 * time.Second))
			tc, err := Client(c, &Config{})
			if err != nil {
				t.Fatal(err)
			}
			if tc.Suite() != s.name {
				t.Errorf("agreed on %s", tc.Suite())
			}
			fmt.Fprintln(tc, "abc")
			got := make([]byte, 4)
			if _, err := io.ReadFull(tc, got); err != nil || string(got) != "cba\n" {
				t.Errorf("%q came back (%v)", got, err)
			}
		})
	}
}

// dialSoon connects to a program that tells nobody when it is ready, unless it has
// ended.
func dialSoon(t *testing.T, addr string, ended chan error) net.Conn {
	t.Helper()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatal("nobody listens any more")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestRefused: what a server refuses, and what it changes, is told.
func TestRefused(t *testing.T) {
	t.Parallel()
	rsaCert, _ := certificates(t)
	addr := echo(t, &tls.Config{Certificates: []tls.Certificate{rsaCert}, MinVersion: tls.VersionTLS13})
	dial := func(config *Config, change func(net.Conn) net.Conn) error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		tc, err := Client(change(c), config)
		if err != nil {
			return err
		}
		_, err = tc.Read(make([]byte, 1))
		return err
	}
	same := func(c net.Conn) net.Conn { return c }
	var refused AlertError
	if err := dial(&Config{}, same); !errors.As(err, &refused) || refused != alertProtocolVersion {
		t.Errorf("a server of TLS 1.3 only: %v", err)
	}
	addr = echo(t, &tls.Config{Certificates: []tls.Certificate{rsaCert}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256}})
	no := errors.New("not this one")
	if err := dial(&Config{Verify: func([]*x509.Certificate) error { return no }}, same); !errors.Is(err, no) {
		t.Errorf("a certificate that is refused: %v", err)
	}
	// One bit anywhere in what the server says in the handshake is found out.
	for at := 0; ; at += 37 {
		f := &flipping{at: at}
		err := dial(&Config{}, func(c net.Conn) net.Conn {
			f.Conn = c
			c.SetDeadline(time.Now().Add(300 * time.Millisecond)) // what is behind the handshake is nothing
			return f
		})
		if f.at >= 0 {
			break
		}
		if err == nil {
			t.Errorf("byte %d was changed, and nobody cares", at)
		}
	}
}

// A flipping connection changes one bit of what is read.
type flipping struct {
	net.Conn
	at int
}

func (f *flipping) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if 0 <= f.at && f.at < n {
		p[f.at] ^= 1
	}
	f.at -= n
	return n, err
}

// FuzzClient hears anything from a server.
func FuzzClient(f *testing.F) {
	rsaCert, _ := certificates(f)
	record := func(kind byte, b []byte) []byte { return append([]byte{kind, 3, 3}, prefix(2, b)...) }
	hello := slices.Concat([]byte{3, 3}, make([]byte, 32), []byte{0}, []byte{0, 0x9f, 0})
	certs := prefix(3, prefix(3, rsaCert.Certificate[0]))
	exchange := slices.Concat(prefix(2, make([]byte, 128)), prefix(2, []byte{2}), prefix(2, []byte{5}), []byte{4, 1}, prefix(2, make([]byte, 256)))
	f.Add(record(recordHandshake, message(serverHello, hello)))
	f.Add(slices.Concat(record(recordHandshake, slices.Concat(message(serverHello, hello), message(certificate, certs), message(serverKeyExchange, exchange), message(serverHelloDone, nil))), record(recordChange, []byte{1})))
	f.Add(record(recordAlert, []byte{2, 40}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := Client(&hearing{r: bytes.NewReader(data)}, &Config{}); err == nil {
			t.Fatalf("agreed on %s with nobody", c.Suite())
		}
	})
}

// A hearing connection reads what was prepared.
type hearing struct {
	net.Conn
	r io.Reader
}

func (h *hearing) Read(p []byte) (int, error)  { return h.r.Read(p) }
func (h *hearing) Write(p []byte) (int, error) { return len(p), nil }

// TestOpenGarbage: no record, however short, upsets a direction of any suite.
func TestOpenGarbage(t *testing.T) {
	t.Parallel()
	for _, s := range suites {
		h, _, err := s.halves(make([]byte, 48), make([]byte, 32), make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		for n := range 200 {
			if _, err := h.open(recordData, make([]byte, n)); err == nil {
				t.Errorf("%s: %d zeros are a record", s.name, n)
			}
		}
	}
}
