package fetch

import (
	"net"
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
		"http://localhost/", "http://LOCALHOST./", "http://a.localhost/", "http://router/", "http://printer.local/", "http://a.internal/", "http://a.home.arpa./", "http://localhost.localdomain/", "http://[2606:2800::5efe:a00:1]/",
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
	malformed := "http://me:secret@h:" + "x"
	o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(malformed) }
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

// TestMapHost: a host has one spelling for all that comes behind the policy.
func TestMapHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://Example.ORG./x":                     "http://example.org/x",
		"http://b\u00fccher.example/x":              "http://xn--bcher-kva.example/x",
		"http://BU\u0308CHER.example:80/x":          "http://xn--bcher-kva.example:80/x",
		"http://XN--BCHER-KVA.example/x":            "http://xn--bcher-kva.example/x",
		"http://fa\u00df.example/x":                 "http://xn--fa-hia.example/x",
		"http://a_b.example.org/x":                  "http://a_b.example.org/x",
		"http://\uff11\uff10.\uff11.\uff12.\uff13/": "http://10.1.2.3/",
		"http://169\u3002254\uff61169\uff0e254/":    "http://169.254.169.254/",
		"http://\u2460\u2468\u2461.168.0.\u00b9/":   "http://192.168.0.1/",
		"http://\U0001d7cf\U0001d7ce.1.2.3/":        "http://10.1.2.3/",
		"http://x.\u2113ocalhost/":                  "http://x.localhost/",
		"http://metadata.google.\u2139nternal/":     "http://metadata.google.internal/",
		"http://2130706433/":                        "http://127.0.0.1/",
		"http://0x7F000001/":                        "http://127.0.0.1/",
		"http://0X7f.1/":                            "http://127.0.0.1/",
		"http://0177.0.0.01:80/":                    "http://127.0.0.1:80/",
		"http://10.65793/":                          "http://10.1.1.1/",
		"http://8.8.8.8./":                          "http://8.8.8.8/",
		"http://0x5db8d822/":                        "http://93.184.216.34/",
		"http://[::ffff:10.0.0.1]/":                 "http://10.0.0.1/",
		"http://[::FFFF:a00:1]:80/":                 "http://10.0.0.1:80/",
		"http://[2606:2800:0220:0001::0001]/":       "http://[2606:2800:220:1::1]/",
		"http://%EF%BC%91%EF%BC%90.1.2.3/":          "http://10.1.2.3/",
	} {
		u, err := parseURL(in)
		if err != nil || u.String() != want {
			t.Errorf("%s: %v, %v, want %s", in, u, err, want)
		}
	}
	for _, bad := range []string{
		"http://a..b/", "http://.a/", "http://a\uff0fb.example/", "http://a\uff20b.example/", "http://a\uff1a80.example/", "http://\u00ad/",
		"http://1.2.3.4.5/", "http://256.256.256.256/", "http://08.8.8.8/", "http://9.9.9.256/", "http://a.0x1x.1/", "http://99999999999/",
	} {
		if u, err := parseURL(bad); err == nil {
			t.Errorf("%s: %v, want an error", bad, u)
		}
	}
}

// TestOneLane: spellings of one host share its lane, its limits and its netrc.
func TestOneLane(t *testing.T) {
	t.Parallel()
	o := Options{HostLimits: map[string]int{"B\u00dcCHER.example": 2, "b\u00fccher.example:8080": 3}, TLSSkipVerifyHosts: []string{"b\u00fccher.example"}}.withDefaults()
	n, err := parseNetrc("netrc", strings.NewReader("machine b\u00fccher.example login me password x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{"https://b\u00fccher.example/x", "https://B\u00dcCHER.example./x", "https://xn--bcher-kva.example:443/x", "https://XN--bcher-KVA.example/x"} {
		u, err := parseURL(in)
		if err != nil {
			t.Fatal(err)
		}
		_, _, known := n.find(u)
		if key := laneKey(u); key != "xn--bcher-kva.example" || o.hostLimit(key) != 2 || !o.skipVerify(u.Hostname()) || !known || doorKey(u) != (doorID{"https", key, "443"}) {
			t.Errorf("%s: lane %s, limit %d, verify %v, netrc %v", in, key, o.hostLimit(key), !o.skipVerify(u.Hostname()), known)
		}
	}
	if n := o.hostLimit("xn--bcher-kva.example:8080"); n != 3 {
		t.Errorf("limit of the port is %d", n)
	}
}

// FuzzPolicy: what the policy lets pass is not for anybody to read in another way.
func FuzzPolicy(f *testing.F) {
	for _, s := range []string{"10.1.2.3", "0x7f.1", "\uff11\uff10.1.2.3", "x.\u2113ocalhost", "[::ffff:127.0.0.1]", "[64:ff9b::a00:1]:80", "b\u00fccher.example.", "a%2e1", "2130706433"} {
		f.Add(s)
	}
	o := Options{}.withDefaults()
	g := newGuard(&o)
	f.Fuzz(func(t *testing.T, host string) {
		u, err := parseURL("http://" + host + "/x")
		if err != nil || g.check(u) != nil {
			t.Skip()
		}
		name := u.Hostname()
		again, err := mapName(name)
		if err != nil || again != name || name != strings.ToLower(name) {
			t.Fatalf("%q is mapped to %q, and that to %q (%v)", host, name, again, err)
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || isPrivateName(name) && !strings.Contains(name, ":") {
			t.Fatalf("%q is let pass as %q", host, name)
		}
		if a, err := netip.ParseAddr(name); err == nil && (a.IsPrivate() || a.IsLoopback() || a.Is4In6() || a.IsLinkLocalUnicast()) {
			t.Fatalf("%q is let pass as %s", host, a)
		}
		if endsInNumber(name) && net.ParseIP(name) == nil {
			t.Fatalf("%q is let pass as %q", host, name)
		}
	})
}
