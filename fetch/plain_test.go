package fetch_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"distkeep/fetch"
	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// A relay is a proxy that counts what it is asked for.
type relay struct {
	mu      sync.Mutex
	methods map[string]int
	login   string // that Proxy-Authorization must have
}

func (p *relay) count(method string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.methods[method]++
}

func (p *relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.count(r.Method)
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.login))
	if p.login != "" && r.Header.Get("Proxy-Authorization") != want {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	up, err := net.Dial("tcp", r.URL.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer up.Close()
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	if r.Method == http.MethodConnect {
		io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	} else {
		r.Header.Del("Proxy-Authorization")
		r.Header.Set("Connection", "close")
		r.Write(up)
	}
	splice(c, buf, up)
}

// splice copies both ways until one side ends.
func splice(c net.Conn, from io.Reader, up net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(up, from)
		up.Close()
	})
	io.Copy(c, up)
	c.Close()
	wg.Wait()
}

// socks serves SOCKS 5 without login.
func socks(t *testing.T, p *relay) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
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
				p.count("SOCKS")
				head := make([]byte, 2)
				io.ReadFull(c, head)
				io.ReadFull(c, make([]byte, head[1]))
				c.Write([]byte{5, 0})
				req := make([]byte, 10) // to an IPv4 address
				if _, err := io.ReadFull(c, req); err != nil || req[3] != 1 {
					return
				}
				up, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: req[4:8], Port: int(req[8])<<8 | int(req[9])})
				if err != nil {
					return
				}
				defer up.Close()
				c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				splice(c, c, up)
			}()
		}
	}()
	return "socks5://" + l.Addr().String()
}

// TestPlainByProxy: odd answers are read by a proxy as well, of each kind, and
// nobody is asked directly.
func TestPlainByProxy(t *testing.T) {
	t.Parallel()
	data := fetchtest.Content("f", 5000)
	u := upstream(t, "127.0.0.1:0")
	u.Add("f", data)
	s := httptest.NewTLSServer(u)
	t.Cleanup(s.Close)
	s.Config.ErrorLog = quiet
	for _, kind := range []string{"http", "login", "https", "socks5"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := &relay{methods: make(map[string]int)}
			pool := x509.NewCertPool()
			pool.AddCert(s.Certificate())
			var at string
			switch kind {
			case "socks5":
				at = socks(t, p)
			case "https":
				ps := httptest.NewTLSServer(p)
				t.Cleanup(ps.Close)
				ps.Config.ErrorLog = quiet
				pool.AddCert(ps.Certificate())
				at = ps.URL
			default:
				at = served(t, p.ServeHTTP)
				if kind == "login" {
					p.login = "me:s3cret"
					at = strings.Replace(at, "//", "//me:s3cret@", 1)
				}
			}
			via, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			o := options(u.URL, s.URL)
			o.Proxy, o.RootCAs = http.ProxyURL(via), pool
			dir := t.TempDir()
			res := run(t, t.Context(), fetcher(t, o),
				want(t, dir, "http", data, u.URL+"/no-colon/f"), want(t, dir, "https", data, s.URL+"/no-colon/s/f"), want(t, dir, "again", data, s.URL+"/te-identity/again/f"))
			for _, name := range []string{"http", "https", "again"} {
				checkClass(t, res[name], "", data)
			}
			if p.methods["SOCKS"] < 4 && (p.methods["GET"] < 2 || p.methods["CONNECT"] < 2) {
				t.Errorf("the proxy was asked %v", p.methods)
			}
			private := o
			private.AllowNets = nil
			r := run(t, t.Context(), fetcher(t, private), want(t, dir, "private", data, u.URL+"/no-colon/private/f"))["private"]
			checkClass(t, r, failure.Policy, nil)
			if u.Requests("/no-colon/private/f") > 0 {
				t.Error("a private address was asked")
			}
		})
	}
}

// TestHTTP2Refused: a server that says it speaks HTTP/2, and does not, is asked by
// HTTP/1.1.
func TestHTTP2Refused(t *testing.T) {
	t.Parallel()
	data := fetchtest.Content("f", 5000)
	for name, refuse := range map[string]func(fr *http2.Framer, stream uint32){
		"HTTP_1_1_REQUIRED": func(fr *http2.Framer, stream uint32) { fr.WriteRSTStream(stream, http2.ErrCodeHTTP11Required) },
		"GOAWAY":            func(fr *http2.Framer, stream uint32) { fr.WriteGoAway(0, http2.ErrCodeHTTP11Required, nil) },
		"GOAWAY of this":    func(fr *http2.Framer, stream uint32) { fr.WriteGoAway(stream, http2.ErrCodeInadequateSecurity, nil) },
		"nonsense":          func(fr *http2.Framer, stream uint32) { fr.WriteRawFrame(1, 4, stream, []byte("nonsense")) },
		"closed":            nil,
		"status 421": func(fr *http2.Framer, stream uint32) {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x08, 3, '4', '2', '1'}, EndStream: true, EndHeaders: true})
		},
		"status 403": func(fr *http2.Framer, stream uint32) {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x08, 3, '4', '0', '3'}, EndStream: true, EndHeaders: true})
		},
		"broken in the body": func(fr *http2.Framer, stream uint32) {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x88}, EndHeaders: true})
			fr.WriteData(stream, false, []byte("some"))
			fr.WriteRSTStream(stream, http2.ErrCodeInternal)
		},
		"silent": func(*http2.Framer, uint32) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := fetchtest.NewUpstream()
			u.Add("f", data)
			s := httptest.NewUnstartedServer(u)
			s.Config.ErrorLog = quiet
			var streams atomic.Int64
			s.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
			s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){"h2": func(_ *http.Server, c *tls.Conn, _ http.Handler) {
				defer c.Close()
				serveTwo(c, func(fr *http2.Framer, stream uint32) bool {
					streams.Add(1)
					if refuse != nil {
						refuse(fr, stream)
					}
					return refuse != nil
				})
			}}
			s.StartTLS()
			t.Cleanup(s.Close)
			o := options(s.URL)
			o.RootCAs = x509.NewCertPool()
			o.RootCAs.AddCert(s.Certificate())
			o.HeaderTimeout = time.Second
			dir := t.TempDir()
			var reqs []*fetch.Request
			for _, n := range []string{"1", "2", "3"} {
				reqs = append(reqs, want(t, dir, n, data, s.URL+"/ok/"+n+"/f"))
			}
			for _, r := range run(t, t.Context(), fetcher(t, o), reqs...) {
				checkClass(t, r, "", data)
			}
			if streams.Load() == 0 || u.Protos()["HTTP/1.1"] < 3 {
				t.Errorf("%d streams, %v", streams.Load(), u.Protos())
			}
		})
	}
}

// serveTwo reads an HTTP/2 connection, and gives streams to f until it says no.
func serveTwo(c net.Conn, f func(fr *http2.Framer, stream uint32) bool) {
	br := bufio.NewReader(c)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(br, preface); err != nil || !bytes.Equal(preface, []byte(http2.ClientPreface)) {
		return
	}
	fr := http2.NewFramer(c, br)
	fr.WriteSettings()
	for {
		frame, err := fr.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				fr.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			if !f(fr, frame.StreamID) {
				return
			}
		}
	}
}
