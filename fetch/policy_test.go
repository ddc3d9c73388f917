package fetch

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"distkeep/fetch/failure"
)

// TestPolicy checks the URLs that an untrusted tree may not send us to.
func TestPolicy(t *testing.T) {
	t.Parallel()
	o := Options{Ports: []int{8080}}.withDefaults()
	g := newGuard(&o)
	for _, good := range []string{
		"http://example.org/x", "https://example.org:443/x", "ftp://example.org/x", "rsync://example.org/m/x",
		"http://example.org:8080/x", "https://93.184.216.34/x", "https://[2606:2800:220:1::1]/x", "https://[2001:200::1]/x", "https://[64:ff9b::5db8:d822]/x", "https://9front.org/x", "https://x.1e100.net/",
	} {
		if err := g.check(parsed(t, good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"file:///etc/passwd", "gopher://example.org/", "fhttp://example.org/",
		"http://example.org:22/", "http://example.org:8081/",
		"http://localhost/", "http://LOCALHOST./", "http://a.localhost/",
		"http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/", "http://127.0.0.0x1/",
		"http://10.1.2.3/", "http://172.16.0.1/", "http://192.168.1.1/", "http://169.254.169.254/", "http://100.64.0.1/",
		"http://0.0.0.0/", "http://255.255.255.255/", "http://224.0.0.1/", "http://198.18.0.1/", "http://240.0.0.1/", "http://192.0.2.1/",
		"http://[::1]/", "http://[::]/", "http://[fe80::1]/", "http://[fc00::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:10.0.0.1]/",
		"http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[fe80::1%25eth0]/", "http://[ff02::1]/",
		"http://[::127.0.0.1]/", "http://[::8.8.8.8]/", "http://[64:ff9b:1::7f00:1]/", "http://[3fff::1]/", "http://[5f00::1]/", "http://[fec0::1]/",
		"http://[100::1]/", "http://[100:0:0:1::1]/", "http://[2001::1]/", "http://[2001:1ff::1]/", "http://[2001:db8::1]/", "http://[4000::1]/", "http://192.88.99.1/",
	} {
		if err := g.check(parsed(t, bad)); Classify(err) != failure.Policy {
			t.Errorf("%s: %v (%s), want a policy error", bad, err, Classify(err))
		}
	}
	o.AllowPrivate = true
	for _, good := range []string{"http://127.0.0.1/", "http://localhost/", "http://[::1]/"} {
		if err := g.check(parsed(t, good)); err != nil {
			t.Errorf("allowed %s: %v", good, err)
		}
	}
	o.AllowPrivate, o.AllowNets = false, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	if g.check(parsed(t, "http://10.1.2.3/")) != nil || g.check(parsed(t, "http://10.2.2.3/")) == nil {
		t.Error("AllowNets is not kept to")
	}
}

// parsed is url.Parse for what is known to be a URL.
func parsed(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestDial checks that an address is judged when it is connected to.
func TestDial(t *testing.T) {
	t.Parallel()
	o := Options{}.withDefaults()
	g := newGuard(&o)
	if _, err := g.dial(t.Context(), "tcp", "127.0.0.1:9"); Classify(err) != failure.Policy {
		t.Errorf("dial: %v, want a policy error", err)
	}
	o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:9") }
	if _, err := g.proxy(nil); err != nil {
		t.Fatal(err)
	}
	if _, err := g.dial(t.Context(), "tcp", "127.0.0.1:9"); Classify(err) != failure.Refused {
		t.Errorf("dial of the proxy: %v, want a refused connection", err)
	}
	o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://me:secret@h:x") }
	if _, err := g.proxy(nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("malformed proxy: %v, want an error without the password", err)
	}
	o.Proxy = nil
	if _, err := g.dial(t.Context(), "tcp", "127.0.0.1:10"); Classify(err) != failure.Policy {
		t.Errorf("dial beside the proxy: %v, want a policy error", err)
	}
	// Other protocols use no proxy, and a fallback archive is the operator's.
	if g.exempt(byOperator(t.Context()), "127.0.0.1:9") {
		t.Error("a proxy is exempt as a host")
	}
	g.trust(parsed(t, "ftp://127.0.0.1/x"))
	if g.exempt(t.Context(), "127.0.0.1:21") || !g.exempt(byOperator(t.Context()), "127.0.0.1:21") {
		t.Error("a fallback archive is exempt for everyone, or for nobody")
	}
}
