package fetch_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// An otherArchive serves what is at paths, and notes what it was asked for.
type otherArchive struct {
	mu    sync.Mutex
	at    map[string][]byte
	asked []string
	fail  int // that many answers are 503
}

func (a *otherArchive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.RequestURI)
	data, ok := a.at[r.RequestURI]
	switch {
	case a.fail > 0:
		a.fail--
		http.Error(w, "later", http.StatusServiceUnavailable)
	case !ok:
		http.NotFound(w, r)
	default:
		w.Write(data)
	}
}

func (a *otherArchive) count(uri string) int {
	n := 0
	for _, s := range a.asked {
		if s == uri {
			n++
		}
	}
	return n
}

// TestFallbacks asks other archives for what upstream has lost: by name, by
// their layout, and by content in both spellings. None of them is trusted.
func TestFallbacks(t *testing.T) {
	t.Parallel()
	up := upstream(t, "127.0.0.1:0")
	data := func(name string) []byte { return bytes.Repeat([]byte(name), 100) }
	sum := func(name string) digest.Digest {
		h := digest.NewHasher()
		h.Write(data(name))
		return h.Sum().Get(digest.SHA256)
	}
	x, b := sum("by-hex"), sum("by-base64")
	first := &otherArchive{at: map[string][]byte{
		"/distfiles/layout.conf":          []byte("[structure]\n0=test\n"),
		"/distfiles/aa/by-layout":         data("by-layout"),
		"/distfiles/aa/wrong":             data("liar"),
		"/distfiles/aa/a%252Fb@v1%5B1%5D": data("a%2Fb@v1[1]"),
		"/distfiles/by_cipher/sha256/" + x.Hex()[:2] + "/" + x.Hex() + "/by-hex":          data("by-hex"),
		"/distfiles/by_cipher/sha256/" + b.Base64()[:2] + "/" + b.Base64() + "/by-base64": data("by-base64"),
	}}
	second := &otherArchive{at: map[string][]byte{"/flat": data("flat"), "/wrong": data("wrong")}, fail: 1}
	urls := []string{served(t, first.ServeHTTP) + "/distfiles/", served(t, second.ServeHTTP)}
	var confs sync.Map
	o := options(up.URL)
	o.AllowNets = options().AllowNets
	o.Fallbacks = urls // on ports that trees may not name
	o.FallbackPaths = func(conf []byte, r *fetch.Request) []string {
		confs.Store(string(conf), true)
		if bytes.Contains(conf, []byte("test")) {
			return []string{"aa/" + string(r.Name)}
		}
		return []string{string(r.Name)}
	}
	f := fetcher(t, o)
	dir := t.TempDir()
	names := []string{"by-layout", "by-hex", "by-base64", "flat", "wrong", "a%2Fb@v1[1]", "nowhere"}
	var reqs []*fetch.Request
	for i, name := range names {
		r := want(t, dir, name, data(name), fmt.Sprintf("%s/404/%d", up.URL, i))
		r.Digests = r.Digests.Union(digest.Set{sum(name)})
		reqs = append(reqs, r)
	}
	upOnly := want(t, dir, "up", data("up"), up.URL+"/ok/up")
	up.Add("up", data("up"))
	noURI := want(t, dir, "flat", data("flat"))
	noURI.Part += "2"
	reqs = append(reqs, upOnly)
	res := run(t, t.Context(), f, reqs...)
	for _, name := range names[:6] {
		checkClass(t, res[name], "", data(name))
		if a := res[name].Attempts; !a[len(a)-1].Fallback || a[0].Fallback {
			t.Errorf("%s: attempts %+v", name, a)
		}
	}
	checkClass(t, res["up"], "", data("up"))
	// The class is upstream's: that other archives lack it is no news.
	checkClass(t, res["nowhere"], failure.Gone, nil)
	if !strings.Contains(res["nowhere"].Err.Error(), up.URL) {
		t.Errorf("%v blames a fallback", res["nowhere"].Err)
	}
	for _, a := range []*otherArchive{first, second} {
		if n := a.count("/distfiles/layout.conf") + a.count("/layout.conf"); n != 1 && a.at["/flat"] == nil || n > 2 {
			t.Errorf("layout.conf was asked for %d times", n)
		}
		if slices.ContainsFunc(a.asked, func(s string) bool { return strings.HasSuffix(s, "/up") }) {
			t.Error("a fallback was asked for what upstream has")
		}
	}
	if _, ok := confs.Load(""); !ok {
		t.Error("an archive without layout.conf was not told of")
	}
	checkClass(t, run(t, t.Context(), f, noURI)["flat"], "", data("flat"))

	// Without a digest that names content, nothing is asked by content.
	before := len(first.asked)
	weak := want(t, dir, "weak", data("weak"), up.URL+"/404/weak")
	run(t, t.Context(), f, weak)
	if got := first.asked[before:]; len(got) != 1 || got[0] != "/distfiles/aa/weak" {
		t.Errorf("asked for %v", got)
	}
	// The other archive's port is not open to trees.
	sneak := want(t, dir, "sneak", data("flat"), urls[1]+"/flat")
	sneak.Name = "flat-by-uri"
	sneak.Digests = want(t, dir, "x", data("sneak")).Digests
	checkClass(t, run(t, t.Context(), f, sneak)["flat-by-uri"], failure.Policy, nil)
}

// TestFallbackDown: another archive that is down costs its lane, and the error
// remains upstream's.
func TestFallbackDown(t *testing.T) {
	t.Parallel()
	up := upstream(t, "127.0.0.1:0")
	o := options(up.URL)
	o.Fallbacks = []string{"http://127.0.0.1:1/distfiles"}
	f := fetcher(t, o)
	dir := t.TempDir()
	var reqs []*fetch.Request
	for i := range 30 {
		reqs = append(reqs, want(t, dir, fmt.Sprint(i), []byte("x"), fmt.Sprintf("%s/404/%d", up.URL, i)))
	}
	for _, r := range run(t, t.Context(), f, reqs...) {
		checkClass(t, r, failure.Gone, nil)
	}
	for _, h := range f.Hosts() {
		if h.Host == "127.0.0.1:1" && h.Requests != 3 {
			t.Errorf("%+v", h)
		}
	}
	for _, bad := range []string{"distfiles", "http:///x", "gopher://h/x", "http://u:s3cret@h:x/"} {
		if _, err := fetch.New(fetch.Options{Fallbacks: []string{bad}}); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("fallback %s: %v", bad, err)
		}
	}
}

// TestBase64Path is the spelling of by_cipher that bsd.port.mk asks for:
// slashes of the digest make directories.
func TestBase64Path(t *testing.T) {
	t.Parallel()
	raw, err := hex.DecodeString(strings.Repeat("ff", 32))
	if err != nil {
		t.Fatal(err)
	}
	d, err := digest.New(digest.SHA256, raw)
	if err != nil {
		t.Fatal(err)
	}
	b := base64.StdEncoding.EncodeToString(raw)
	a := &otherArchive{}
	o := options()
	o.Fallbacks = []string{served(t, a.ServeHTTP)}
	r := want(t, t.TempDir(), "sub", []byte("x"))
	r.Name, r.Digests = "sub/dir/f", digest.Set{d}
	run(t, t.Context(), fetcher(t, o), r)
	want := []string{"/layout.conf", "/sub/dir/f", "/by_cipher/sha256/ff/" + d.Hex() + "/f", "/by_cipher/sha256/" + b[:2] + "/" + b + "/f"}
	if !strings.Contains(b, "//") || !slices.Equal(a.asked, want) {
		t.Errorf("asked for %q, want %q", a.asked, want)
	}
}
