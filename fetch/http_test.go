package fetch_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// served starts a server with a handler for the length of a test.
func served(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// TestWire checks what a server sees: the spelling of the tree, who is asking,
// and no offer to compress.
func TestWire(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := make(map[string]http.Header)
	base := served(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.RequestURI] = r.Header
		mu.Unlock()
		w.Write([]byte("x"))
	})
	o := options(base)
	o.Contact = "https://distfiles.example/contact"
	f := fetcher(t, o)
	dir := t.TempDir()
	var reqs []*fetch.Request
	uris := []string{"/github.com%2F!burnt!sushi%2Ftoml%2F@v%2Fv0.3.1.mod", "//a//b+c~d", "/x?file=57&y=%2f", "/vdr-calc-0[1].tgz", "/PyDev%202.7.1.zip"}
	for i, uri := range uris {
		reqs = append(reqs, want(t, dir, fmt.Sprint(i), []byte("x"), base+uri))
	}
	for name, r := range run(t, t.Context(), f, reqs...) {
		checkClass(t, r, "", []byte("x"))
		if r.URL != r.Final || !strings.HasPrefix(r.URL, base) || r.Received != 1 || len(r.Attempts) != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	for _, uri := range uris {
		h, ok := seen[uri]
		if !ok {
			t.Errorf("%s was not asked for: %v", uri, seen)
			continue
		}
		if h.Get("User-Agent") != "distkeep (+https://distfiles.example/contact)" || h.Get("Accept-Encoding") != "identity" || h.Get("Range") != "" {
			t.Errorf("headers %v", h)
		}
	}
}

// TestCredentials: netrc and userinfo log in, and show up nowhere.
func TestCredentials(t *testing.T) {
	t.Parallel()
	var base, other string
	secret := "s3cret"
	base = served(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		switch {
		case !ok || user != "me" || password != secret:
			w.Header().Set("X-Seen", password)
			http.Error(w, "no", http.StatusUnauthorized)
		case strings.HasPrefix(r.URL.Path, "/away"):
			http.Redirect(w, r, other+"/signed?Signature="+secret, http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/wrong"):
			w.Header().Set("Set-Cookie", secret)
			w.Header().Set("X-Token", secret)
			w.Write([]byte("y"))
		default:
			w.Write([]byte("x"))
		}
	})
	other = strings.Replace(served(t, func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); ok || r.Header.Get("Authorization") != "" {
			t.Error("the password went to another host")
		}
		if r.URL.Query().Get("Signature") != secret {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte("x"))
	}), "127.0.0.1", "localhost", 1)
	dir := t.TempDir()
	rc := filepath.Join(dir, "netrc")
	if err := os.WriteFile(rc, []byte("machine 127.0.0.1 login me password "+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	q := filepath.Join(dir, "quarantine")
	if err := os.Mkdir(q, 0o755); err != nil {
		t.Fatal(err)
	}
	o := options(base, other)
	o.AllowPrivate = true // localhost
	o.Netrc = rc
	o.Quarantine.Dir = q
	var events []string
	var mu sync.Mutex
	note := func(v ...any) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, fmt.Sprint(v...))
	}
	o.Events.Start = func(name catalog.Name, url string, _, _ int64) { note(name, url) }
	o.Events.Attempt = func(name catalog.Name, a fetch.Attempt) { note(name, a) }
	f := fetcher(t, o)
	in := strings.Replace(base, "http://", "http://me:"+secret+"@", 1)
	bad := strings.Replace(base, "http://", "http://me:"+secret+"x@", 1)
	res := run(t, t.Context(), f,
		want(t, dir, "netrc-ok", []byte("x"), base+"/a"),
		want(t, dir, "userinfo", []byte("x"), in+"/a"),
		want(t, dir, "away", []byte("x"), in+"/away"),
		want(t, dir, "refused", []byte("x"), bad+"/a"),
		want(t, dir, "wrong", []byte("x"), in+"/wrong"),
		want(t, dir, "malformed", []byte("x"), strings.Replace(in, "@", ":@", 1)+"x/a"),
	)
	for name, class := range map[string]failure.Class{"netrc-ok": "", "userinfo": "", "away": "", "refused": failure.Forbidden, "wrong": failure.Digest, "malformed": failure.BadURI} {
		checkClass(t, res[name], class, []byte("x"))
	}
	var all strings.Builder
	for _, r := range res {
		fmt.Fprintln(&all, r.URL, r.Final, r.Err, r.Attempts)
	}
	fmt.Fprintln(&all, events, f.Hosts())
	records, err := filepath.Glob(q + "/*.json")
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records in quarantine (%v)", len(records), err)
	}
	data, err := os.ReadFile(records[0])
	if err != nil {
		t.Fatal(err)
	}
	all.Write(data)
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + secret))
	for _, s := range []string{secret, basic} {
		if strings.Contains(all.String(), s) {
			t.Errorf("the password shows:\n%s", all.String())
		}
	}
}

// TestQuarantine keeps wrong bytes with what is needed to understand them, and
// not too many.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	u := upstream(t, "127.0.0.1:0")
	dir, q := t.TempDir(), t.TempDir()
	o := options(u.URL)
	o.Quarantine = fetch.Quarantine{Dir: q, MaxFiles: 3, MaxBytes: 400_000}
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { now = now.Add(time.Second); return now }
	o.Jobs = 1
	f := fetcher(t, o)
	fetchOne := func(name, fault string, size int) fetch.Result {
		data := fetchtest.Content(name, size)
		u.Add(name, data)
		return run(t, t.Context(), f, want(t, dir, name, data, u.URL+"/"+fault+"/"+name))[name]
	}
	for _, c := range []struct {
		name, fault string
		size        int
		class       failure.Class
	}{
		{"small", "wrong", 1000, failure.Digest},
		{"big", "wrong", 300_000, failure.Digest},
		{"short", "too-short-chunked", 1000, failure.Size},
	} {
		r := fetchOne(c.name, c.fault, c.size)
		checkClass(t, r, c.class, nil)
		_, kept, ok := strings.Cut(r.Err.Error(), ", kept as ")
		if !ok || !strings.Contains(r.Err.Error(), "expected ") || !strings.Contains(r.Err.Error(), ", got ") {
			t.Fatalf("error %v does not tell what was expected, got and kept", r.Err)
		}
		var rec fetch.Quarantined
		data, err := os.ReadFile(kept + ".json")
		if err == nil {
			err = json.Unmarshal(data, &rec)
		}
		fi, serr := os.Stat(kept)
		if err != nil || serr != nil || fi.Mode().Perm() != 0o600 || rec.Size != fi.Size() || rec.WantSize != int64(c.size) || string(rec.Name) != c.name ||
			rec.URL != u.URL+"/"+c.fault+"/"+c.name || rec.Status != 200 || rec.Got["SHA256"] != filepath.Base(kept) || rec.Want["SHA512"] == "" {
			t.Errorf("%s: record %+v (%v, %v)", c.name, rec, err, serr)
		}
		if _, err := os.Stat(r.Request.Part); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: .part is still there", c.name)
		}
	}
	// A second fetcher finds what is there; the oldest goes.
	f = fetcher(t, o)
	checkClass(t, fetchOne("another", "wrong", 1000), failure.Digest, nil)
	checkClass(t, fetchOne("another", "wrong", 1000), failure.Digest, nil)
	checkClass(t, fetchOne("too-big-to-keep", "wrong", 500_000), failure.Digest, nil)
	entries, err := os.ReadDir(q)
	if err != nil || len(entries) != 6 {
		t.Errorf("%d files in quarantine, want 3 with records", len(entries))
	}
	checkClass(t, fetchOne("larger", "wrong", 399_000), failure.Digest, nil)
	if entries, _ = os.ReadDir(q); len(entries) != 4 {
		t.Errorf("%d files in quarantine, want those of 400,000 bytes together", len(entries))
	}
}

// TestProxy: requests go to the proxy, whose own address is exempt; names are
// left for it to resolve, and private literals are refused all the same.
func TestProxy(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked []string
	proxy := served(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.RequestURI)
		mu.Unlock()
		w.Write([]byte("x"))
	})
	at, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := fetcher(t, fetch.Options{Proxy: http.ProxyURL(at)})
	res := run(t, t.Context(), f,
		want(t, dir, "name", []byte("x"), "http://upstream.example/a%2Fb"),
		want(t, dir, "private", []byte("x"), "http://10.0.0.1/x"),
		want(t, dir, "self", []byte("x"), proxy+"/x"),
	)
	checkClass(t, res["name"], "", []byte("x"))
	checkClass(t, res["private"], failure.Policy, nil)
	checkClass(t, res["self"], failure.Policy, nil)
	if len(asked) != 1 || asked[0] != "http://upstream.example/a%2Fb" {
		t.Errorf("the proxy was asked for %q", asked)
	}
}

// nowhere is a name server that knows no name.
func nowhere(t testing.TB) *net.Resolver {
	return nameServer(t, func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError })
}

// loopback is a name server by which all names are 127.0.0.1.
func loopback(t testing.TB) *net.Resolver {
	return nameServer(t, func(m *dnsmessage.Message) {
		for _, q := range m.Questions {
			if q.Type == dnsmessage.TypeA {
				h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
			}
		}
	})
}

// nameServer starts a name server that fills in the replies.
func nameServer(t testing.TB, answer func(*dnsmessage.Message)) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { c.Close(); wg.Wait() })
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			answer(&m)
			if out, err := m.Pack(); err == nil {
				c.WriteTo(out, from)
			}
		}
	})
	return &net.Resolver{PreferGo: true, Dial: (&redirectDialer{c.LocalAddr().String()}).dial}
}

// TestUnreachable: names that do not resolve and ports that nobody listens on
// cost one look for all files together.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + l.Addr().String()
	l.Close()
	good := upstream(t, "127.0.0.1:0")
	good.Add("f", []byte("x"))
	o := options(closed, good.URL)
	o.Resolver = nowhere(t)
	f := fetcher(t, o)
	dir := t.TempDir()
	var reqs []*fetch.Request
	for i := range 50 {
		reqs = append(reqs,
			want(t, dir, fmt.Sprint("dns", i), []byte("x"), "http://no-such-host.example/f"),
			want(t, dir, fmt.Sprint("refused", i), []byte("x"), closed+"/f"),
			want(t, dir, fmt.Sprint("saved", i), []byte("x"), closed+"/f", "http://no-such-host.example/f", fmt.Sprintf("%s/ok/%d/f", good.URL, i)))
	}
	for name, r := range run(t, t.Context(), f, reqs...) {
		if r.Err != nil && strings.Count(r.Err.Error(), "http") != 1 {
			t.Errorf("%v names the URL more than once", r.Err)
		}
		switch {
		case strings.HasPrefix(name, "dns"):
			checkClass(t, r, failure.DNS, nil)
		case strings.HasPrefix(name, "refused"):
			checkClass(t, r, failure.Refused, nil)
		default:
			checkClass(t, r, "", []byte("x"))
		}
	}
	for _, h := range f.Hosts() {
		if h.Host == "no-such-host.example" && h.Requests != 1 || strings.HasSuffix(closed, h.Host) && h.Requests != 3 {
			t.Errorf("%+v", h)
		}
	}
}

// TestPageOrFile: a page in place of an archive is told from a page that has
// changed.
func TestPageOrFile(t *testing.T) {
	t.Parallel()
	page := []byte("\xef\xbb\xbf \n<HTML><title>login</title>")
	base := served(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(page)
	})
	f := fetcher(t, options(base))
	dir := t.TempDir()
	same := bytes.Repeat([]byte("x"), len(page))
	res := run(t, t.Context(), f, want(t, dir, "a.tar", same, base+"/a"), want(t, dir, "a.html", same, base+"/b"), want(t, dir, "b.html", page, base+"/c"))
	checkClass(t, res["a.tar"], failure.HTML, nil)
	checkClass(t, res["a.html"], failure.Digest, nil)
	checkClass(t, res["b.html"], "", page)
}

// TestSilence: neither a server that says nothing nor one that never ends its
// error page holds a slot for long, or hides what it has said.
func TestSilence(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	base := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/page" {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusNotFound)
			http.NewResponseController(w).Flush()
		}
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(end) })
	o := options(base)
	o.ConnectTimeout, o.HeaderTimeout = 100*time.Millisecond, 300*time.Millisecond
	f := fetcher(t, o)
	dir := t.TempDir()
	checkClass(t, run(t, t.Context(), f, want(t, dir, "page", []byte("x"), base+"/page"))["page"], failure.Gone, nil)
	var reqs []*fetch.Request
	for i := range 20 {
		reqs = append(reqs, want(t, dir, fmt.Sprint(i), []byte("x"), fmt.Sprintf("%s/%d", base, i)))
	}
	for _, r := range run(t, t.Context(), f, reqs...) {
		checkClass(t, r, failure.Stalled, nil)
	}
	if h := f.Hosts()[0]; h.Requests > 1+4+2 || h.Dead == "" {
		t.Errorf("%+v", h)
	}
}

// TestTooSlow: what drips is cut once, and left for the next run.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	u := upstream(t, "127.0.0.1:0")
	data := fetchtest.Content("f", 1000)
	u.Add("f", data)
	o := options(u.URL)
	o.RateWindow = 1200 * time.Millisecond
	res := run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", data, u.URL+"/drip/f"))["f"]
	checkClass(t, res, failure.Stalled, nil)
	if u.Total() != 1 || !strings.Contains(res.Err.Error(), "bytes a second") {
		t.Errorf("%d requests, %v", u.Total(), res.Err)
	}
	if left, err := os.ReadFile(res.Request.Part); err != nil || !strings.HasPrefix(string(data), string(left)) || len(left) == 0 {
		t.Errorf("%d bytes are left (%v)", len(left), err)
	}
}

// TestStalled: what stalls is cut and continued. That may happen more than once on a
// busy machine.
func TestStalled(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 300_000} {
		u := upstream(t, "127.0.0.1:0")
		data := fetchtest.Content("f", size)
		u.Add("f", data)
		o := options(u.URL)
		o.Stall, o.Retries = 500*time.Millisecond, 1000
		res := run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", data, u.URL+"/stall/f"))["f"]
		checkClass(t, res, "", data)
		if fetch.Classify(res.Attempts[0].Err) != failure.Stalled {
			t.Errorf("attempts %+v", res.Attempts)
		}
	}
}

// TestRates keeps to the bytes a second that were allowed.
func TestRates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rate, hostRate int64 }{{1 << 20, 0}, {0, 1 << 20}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			t.Parallel()
			u := upstream(t, "127.0.0.1:0")
			data := fetchtest.Content("f", 384<<10)
			u.Add("f", data)
			o := options(u.URL)
			o.Rate, o.HostRate = c.rate, c.hostRate
			began := time.Now()
			res := run(t, t.Context(), fetcher(t, o), want(t, t.TempDir(), "f", data, u.URL+"/ok/f"))["f"]
			checkClass(t, res, "", data)
			// 128 KiB come at once, the rest at a MiB a second.
			if took := time.Since(began); took < 200*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}
