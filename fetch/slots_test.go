package fetch_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"distkeep/fetch"
)

// TestIdleTunnels: tunnels through a proxy that nobody uses any more do not keep
// transfers from other hosts waiting.
func TestIdleTunnels(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			io.Copy(up, c)
			up.Close()
		}()
		io.Copy(c, up)
		c.Close()
	}))
	t.Cleanup(proxy.Close)
	to, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	dir, pool := t.TempDir(), x509.NewCertPool()
	var bases []string
	var reqs []*fetch.Request
	for i := range 6 {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("x")) }))
		t.Cleanup(s.Close)
		pool.AddCert(s.Certificate())
		bases = append(bases, s.URL)
		reqs = append(reqs, want(t, dir, fmt.Sprint(i), []byte("x"), s.URL+"/f"))
	}
	o := options(append(bases, proxy.URL)...)
	o.Jobs, o.RootCAs = 2, pool
	o.ConnectTimeout, o.HeaderTimeout = 2*time.Second, 2*time.Second
	o.Proxy = func(*http.Request) (*url.URL, error) { return to, nil }
	for name, r := range run(t, t.Context(), fetcher(t, o), reqs...) {
		if r.Err != nil || len(r.Attempts) > 1 {
			t.Errorf("%s: %v after %d attempts", name, r.Err, len(r.Attempts))
		}
	}
}

// TestOneBoundForAllPorts: http and https of a host share the bound on its
// connections, idle ones included.
func TestOneBoundForAllPorts(t *testing.T) {
	t.Parallel()
	const host = "127.0.0.11"
	listen := func(port string) net.Listener {
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Skip("needs a usual port: ", err)
		}
		return l
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("x")) }))
	secure.Listener.Close()
	secure.Listener = listen("443")
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/to") {
			http.Redirect(w, r, "https://"+host+r.URL.Path, http.StatusFound)
			return
		}
		w.Write([]byte("x"))
	}))
	plain.Listener.Close()
	plain.Listener = listen("80")
	plain.Start()
	t.Cleanup(plain.Close)

	o := options()
	o.HostJobs, o.RootCAs, o.TLSSkipVerifyHosts = 2, x509.NewCertPool(), []string{host}
	f := fetcher(t, o)
	dir := t.TempDir()
	var reqs []*fetch.Request
	for i := range 100 {
		path := []string{"/", "/to"}[i%2]
		reqs = append(reqs, want(t, dir, fmt.Sprint(i), []byte("x"), fmt.Sprint("http://", host, path, i)))
	}
	for name, r := range run(t, t.Context(), f, reqs...) {
		if r.Err != nil {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
	if n := f.Hosts()[0].Connections; n > 2 {
		t.Errorf("%d connections at one time, want 2", n)
	}
}
