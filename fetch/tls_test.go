package fetch_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// TestTLS: a certificate that does not prove anything is found out once, and can
// be overlooked for a host.
func TestTLS(t *testing.T) {
	t.Parallel()
	u := fetchtest.NewUpstream()
	s := httptest.NewTLSServer(u)
	t.Cleanup(s.Close)
	s.Config.ErrorLog = quiet
	plain := upstream(t, "127.0.0.1:0")
	u.Other = plain.URL
	u.Add("f", []byte("x"))
	plain.Add("f", []byte("x"))
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	host := func(f *fetch.Fetcher) fetch.HostStats {
		for _, h := range f.Hosts() {
			if strings.HasSuffix(s.URL, h.Host) {
				return h
			}
		}
		return fetch.HostStats{}
	}

	o := options(s.URL, plain.URL)
	f := fetcher(t, o)
	var reqs []*fetch.Request
	for i := range 20 {
		reqs = append(reqs, want(t, t.TempDir(), fmt.Sprint(i), []byte("x"), fmt.Sprintf("%s/ok/%d/f", s.URL, i)))
	}
	for _, r := range run(t, t.Context(), f, reqs...) {
		checkClass(t, r, failure.TLS, nil)
	}
	if h := host(f); h.Requests != 1 || h.Dead == "" {
		t.Errorf("%+v", h)
	}

	o.TLSSkipVerifyHosts = []string{"127.0.0.1"}
	f = fetcher(t, o)
	checkClass(t, run(t, t.Context(), f, reqs[0])["0"], "", []byte("x"))
	if h := host(f); !h.SkipVerify {
		t.Errorf("%+v does not tell that nothing was verified", h)
	}

	o.TLSSkipVerifyHosts, o.RootCAs = nil, pool
	f = fetcher(t, o)
	checkClass(t, run(t, t.Context(), f, reqs[1])["1"], "", []byte("x"))
	res := run(t, t.Context(), f, want(t, t.TempDir(), "down", []byte("x"), s.URL+"/redirect-host/f"))
	checkClass(t, res["down"], "", []byte("x"))
	if res["down"].Lowered != "redirected from https to http" || host(f).Lowered != res["down"].Lowered || plain.Total() != 1 {
		t.Errorf("a redirect from https to http is not told: %+v", f.Hosts())
	}
	weak := want(t, t.TempDir(), "weak", []byte("x"), s.URL+"/redirect-host/weak/f")
	weak.Digests = digest.Set{digest.MD5.Sum([]byte("x"))}
	checkClass(t, run(t, t.Context(), f, weak)["weak"], failure.Policy, nil)
	o.NoDowngrade = true
	f = fetcher(t, o)
	checkClass(t, run(t, t.Context(), f, want(t, t.TempDir(), "no", []byte("x"), s.URL+"/redirect-host/no/f"))["no"], failure.Policy, nil)
	if plain.Total() != 1 {
		t.Error("a redirect from https to http was followed")
	}

	// Plain HTTP on the port of https, and the other way round.
	checkClass(t, run(t, t.Context(), f, want(t, t.TempDir(), "p", []byte("x"), strings.Replace(plain.URL, "http:", "https:", 1)+"/ok/f"))["p"], failure.TLS, nil)
}

// TestExpired has a certificate whose time is over.
func TestExpired(t *testing.T) {
	t.Parallel()
	cert, pool, err := fetchtest.Certificate(time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	u := fetchtest.NewUpstream()
	s := httptest.NewUnstartedServer(u)
	s.Config.ErrorLog = quiet
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	o := options(s.URL)
	o.RootCAs = pool
	res := run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", []byte("x"), s.URL+"/ok/f"))["f"]
	checkClass(t, res, failure.TLS, nil)
	fe := (*fetch.Error)(nil)
	if !errors.As(res.Err, &fe) || !strings.Contains(fe.Error(), "expired") || !strings.Contains(fe.Hint(), "expired") {
		t.Errorf("%v does not tell why", res.Err)
	}
}

// TestOldTLS: servers that crypto/tls refuses give files all the same, where a
// strong digest decides and nobody has forbidden it, and no password.
func TestOldTLS(t *testing.T) {
	t.Parallel()
	data := []byte("x")
	for name, c := range map[string]struct {
		config *tls.Config
		refuse int // handshakes, before one is answered
		want   string
	}{
		"modern":         {&tls.Config{}, 0, ""},
		"TLS 1.0":        {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, 0, "TLS 1.0, TLS_"},
		"TLS 1.1":        {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0, "TLS 1.1, TLS_"},
		"RSA exchange":   {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, 0, "TLS 1.2, TLS_RSA_WITH_AES_128_GCM_SHA256"},
		"3DES":           {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}}, 0, "TLS 1.2, TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"},
		"refused once":   {&tls.Config{}, 1, "TLS 1.2, TLS_"},
		"refused twice":  {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_GCM_SHA384}}, 2, "TLS 1.2, AES256-GCM-SHA384"},
		"closed at once": {&tls.Config{}, -2, "TLS 1.2, TLS_"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := fetchtest.NewUpstream()
			u.Add("f", data)
			s := httptest.NewUnstartedServer(u)
			s.Config.ErrorLog = quiet
			s.TLS = c.config
			s.Listener = &shy{Listener: s.Listener, refuse: c.refuse}
			s.StartTLS()
			t.Cleanup(s.Close)
			pool := x509.NewCertPool()
			pool.AddCert(s.Certificate())
			o := options(s.URL)
			o.RootCAs = pool
			f := fetcher(t, o)
			if strings.HasPrefix(name, "RSA") { // the others have one go only
				weak := want(t, t.TempDir(), "weak", data, s.URL+"/ok/weak/f")
				weak.Digests = digest.Set{digest.MD5.Sum(data)}
				checkClass(t, run(t, t.Context(), fetcher(t, o), weak)["weak"], failure.TLS, nil)
				strict := o
				strict.TLSMin = tls.VersionTLS12
				checkClass(t, run(t, t.Context(), fetcher(t, strict), want(t, t.TempDir(), "strict", data, s.URL+"/ok/strict/f"))["strict"], failure.TLS, nil)
				login := strings.Replace(s.URL, "//", "//me:secret@", 1)
				checkClass(t, run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "login", data, login+"/ok/login/f"))["login"], failure.TLS, nil)
				foreign := o
				foreign.RootCAs = x509.NewCertPool()
				checkClass(t, run(t, t.Context(), fetcher(t, foreign), want(t, t.TempDir(), "foreign", data, s.URL+"/ok/foreign/f"))["foreign"], failure.TLS, nil)
				if u.Total() != 0 {
					t.Errorf("%d requests were made", u.Total())
				}
			}
			r := run(t, t.Context(), f, want(t, t.TempDir(), "f", data, s.URL+"/ok/f"))["f"]
			checkClass(t, r, "", data)
			if got := strings.TrimPrefix(r.Lowered, "old TLS: "); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") || f.Hosts()[0].Lowered != r.Lowered {
				t.Errorf("lowered to %q, want %q; %+v", r.Lowered, c.want, f.Hosts())
			}
			r = run(t, t.Context(), f, want(t, t.TempDir(), "gone", data, s.URL+"/404/f"))["gone"]
			checkClass(t, r, failure.Gone, nil)
			if c.want != "" && !strings.Contains(r.Err.Error(), c.want) {
				t.Errorf("%v does not tell what was given up", r.Err)
			}
		})
	}
}

// A shy listener refuses the first connections, by an alert or, when they are
// negative, by closing.
type shy struct {
	net.Listener
	refuse int
}

func (s *shy) Accept() (net.Conn, error) {
	for {
		c, err := s.Listener.Accept()
		if err != nil || s.refuse == 0 {
			return c, err
		}
		if s.refuse > 0 {
			s.refuse--
			c.Read(make([]byte, 4096))
			c.Write([]byte{21, 3, 3, 0, 2, 2, 40})
		} else {
			s.refuse++
		}
		c.Close()
	}
}

// TestCertificateHints: what is wrong with a certificate is told.
func TestCertificateHints(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(fetchtest.NewUpstream())
	t.Cleanup(s.Close)
	s.Config.ErrorLog = quiet
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	for name, c := range map[string]struct {
		host string
		pool *x509.CertPool
		want string
	}{
		"name":      {"localhost", pool, "for other names"},
		"authority": {"127.0.0.1", x509.NewCertPool(), "signed its certificate itself"},
	} {
		o := options(s.URL)
		o.AllowPrivate, o.RootCAs = true, c.pool
		r := run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", []byte("x"), strings.Replace(s.URL, "127.0.0.1", c.host, 1)+"/f"))["f"]
		fe := (*fetch.Error)(nil)
		if !errors.As(r.Err, &fe) || fe.Class != failure.TLS || !strings.Contains(fe.Hint(), c.want) {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}

// TestHTTP2 fetches many files over streams of few connections, from a server
// that allows few streams and sends connections away.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	u := fetchtest.NewUpstream()
	s := httptest.NewUnstartedServer(u)
	s.EnableHTTP2 = true
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 3}
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	o := options(s.URL)
	o.RootCAs = pool
	o.HostJobs = 8
	f := fetcher(t, o)
	dir := t.TempDir()
	var reqs []*fetch.Request
	datas := make(map[string][]byte)
	for i := range 200 {
		name, fault := fmt.Sprint(i), []string{"ok", "ok", "cut", "503-once", "goaway"}[i%5]
		datas[name] = fetchtest.Content(name, 1000+i*500)
		u.Add(name, datas[name])
		reqs = append(reqs, want(t, dir, name, datas[name], s.URL+"/"+fault+"/"+name))
	}
	for name, r := range run(t, t.Context(), f, reqs...) {
		checkClass(t, r, "", datas[name])
	}
	if h := f.Hosts()[0]; h.Connections > 8 || h.Peak > 8 {
		t.Errorf("%+v", h)
	}
	if u.Protos()["HTTP/1.1"] != 0 || u.Protos()["HTTP/2.0"] < 200 {
		t.Errorf("protocols %v", u.Protos())
	}
}
