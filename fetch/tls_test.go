package fetch_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
	checkClass(t, res["down"], failure.Policy, nil)
	if plain.Total() != 0 {
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
	if !strings.Contains(res.Err.Error(), "expired") {
		t.Errorf("%v does not tell why", res.Err)
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
