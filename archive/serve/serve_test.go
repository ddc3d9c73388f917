package serve

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// TestPublished: every path of the published tree is answered, in whatever way a client
// spells it, and nothing else.
func TestPublished(t *testing.T) {
	t.Parallel()
	hashed, err := layout.Parse("filename-hash BLAKE2B 8")
	if err != nil {
		t.Fatal(err)
	}
	content, err := layout.Parse("content-hash SHA512 8:8")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, hashed, content)
	names := map[string]string{
		"a-1.tar.gz": "/a-1.tar.gz", "a%2Fb@v1.zip": "/a%252Fb@v1.zip", "what?.tgz": "/what%3F.tgz", "c#.tgz": "/c%23.tgz",
		"c++ ä.tgz": "/c++%20%C3%A4.tgz", "a&b=<c>\"d'.tgz": "/a&b=%3Cc%3E%22d'.tgz", "x:y.tgz": "/x:y.tgz", "100%.tgz": "/100%25.tgz",
	}
	for name := range names {
		w.Put(name, catalog.Gentoo, true, "content of "+name)
	}
	w.write(".hidden", "secret")
	w.write("sub/.hidden", "secret")
	w.write("core/os/core.db", "a database")
	outside := filepath.Join(filepath.Dir(w.Distfiles), "secret")
	if err := errors.Join(os.WriteFile(outside, []byte("secret"), 0o644), os.Symlink(outside, w.Path("absolute")), os.Symlink("../secret", w.Path("relative")),
		os.Symlink("core/os/core.db", w.Path("inside")), os.Symlink("..", w.Path("up")), os.Symlink("nothing", w.Path("dangling")),
		syscall.Mkfifo(w.Path("fifo"), 0o644)); err != nil {
		t.Fatal(err)
	}
	w.serve()
	wants := map[string]string{
		"/core/os/core.db": "a database", "//core//os//core.db": "a database", "/core/os/core.db?x=1": "a database", "/inside": "a database",
		"/core%2Fos%2Fcore.db": "a database", "/layout.conf": "[structure]\n0=filename-hash BLAKE2B 8\n1=content-hash SHA512 8:8\n",
		// As clients say it that escape nothing.
		"/a%2Fb@v1.zip": "content of a%2Fb@v1.zip", "/what?.tgz": "content of what?.tgz", "/c#.tgz": "content of c#.tgz",
	}
	for name, spelt := range names {
		text := "content of " + name
		sums, _ := digest.NewSet(digest.SHA512.Sum([]byte(text)))
		h, _ := hashed.Path(catalog.Name(name), nil)
		c, _ := content.Path(catalog.Name(name), sums)
		wants[spelt] = text // by name: no layout is flat
		wants["/"+h[:3]+spelt[1:]] = text
		wants["/"+c] = text
		wants[escape(layout.ByCipher(digest.SHA256.Sum([]byte(text)), name))] = text
	}
	for uri, want := range wants {
		r := w.get(uri)
		if got := body(t, r); r.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s: %s %q, want %q", uri, r.Status, got, want)
			continue
		}
		if r.Header.Get("X-Content-Type-Options") != "nosniff" || strings.Contains(r.Header.Get("Content-Type"), "html") {
			t.Errorf("%s: a browser may take it for a page: %v", uri, r.Header)
		}
		if sum := `"` + hexOf(digest.SHA256, want) + `"`; strings.HasPrefix(want, "content") != (r.Header.Get("Etag") == sum) {
			t.Errorf("%s has the ETag %s", uri, r.Header.Get("Etag"))
		}
	}
	for _, uri := range []string{
		"/.hidden", "/sub/.hidden", "/../secret", "/%2e%2e/secret", "/core/../../secret", "/..%2Fsecret", "/%2e%2e%2fsecret", "/absolute", "/relative",
		"/up/secret", "/up/", "/dangling", "/fifo", "/core/os/core.db/", "/core/os/core.db/x", "/nothing", "/a%00b", "/" + strings.Repeat("x", 300),
		"/" + strings.Repeat("x/", 3000), "/...", "/./core/os/core.db", "/secret", "/core/os/core.db%0A",
	} {
		if r := w.get(uri); r.StatusCode != http.StatusNotFound || strings.Contains(body(t, r), "secret") {
			t.Errorf("%.40s: %s", uri, r.Status)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PROPFIND", "CONNECT"} {
		if r := w.do(method, "/layout.conf"); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s", method, r.Status)
		}
	}
}

// TestListing: the names of a directory can be followed, whatever is in them.
func TestListing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"b<script>&\".tgz", "a:b.tgz", "100%?#.tgz", "plain-1.0.tar.gz", ".hidden", "dir/x", "dir/y/z"} {
		w.write(name, name)
	}
	w.serve()
	r := w.get("/")
	want := `<!DOCTYPE html>
<title>Index of /</title>
<h1>Index of /</h1>
<pre>
<a href="./100%25%3F%23.tgz">100%?#.tgz</a>
<a href="./a:b.tgz">a:b.tgz</a>
<a href="./b%3Cscript%3E&amp;%22.tgz">b&lt;script&gt;&amp;&#34;.tgz</a>
<a href="dir/">dir/</a>
<a href="plain-1.0.tar.gz">plain-1.0.tar.gz</a>
</pre>
`
	if got := body(t, r); got != want || r.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%s\n%s", r.Status, got)
	}
	if r := w.get("/", "If-None-Match", r.Header.Get("Etag")); r.StatusCode != http.StatusNotModified {
		t.Errorf("unchanged: %s", r.Status)
	}
	for uri, want := range map[string]string{"/dir": "/dir/", "//dir/y": "/dir/y/", "/dir%2Fy": "/dir/y/"} {
		if r := w.get(uri); r.StatusCode != http.StatusMovedPermanently || r.Header.Get("Location") != want {
			t.Errorf("%s: %s %s", uri, r.Status, r.Header.Get("Location"))
		}
	}
	if got := body(t, w.get("/dir/")); !strings.Contains(got, "<a href=\"../\">../</a>\n<a href=\"x\">x</a>\n<a href=\"y/\">y/</a>\n") {
		t.Errorf("%s", got)
	}
}

// TestListingElsewhere: an archive that has its contents elsewhere lists them as one that has
// files, in every directory, and anew when it has others.
func TestListingElsewhere(t *testing.T) {
	t.Parallel()
	var confs layout.Conf
	for _, spec := range []string{"filename-hash BLAKE2B 8", "content-hash SHA512 8:8", "flat"} {
		l, err := layout.Parse(spec)
		if err != nil {
			t.Fatal(err)
		}
		confs = append(confs, l)
	}
	worlds := []*world{newWorld(t, confs...), newBucketWorld(t, confs...)}
	for _, w := range worlds {
		for _, name := range []string{"a-1.tgz", "a.tgz", "b<c>&.tgz", "c++ ä.tgz", "sub.tgz"} {
			w.Put(name, catalog.Gentoo, true, "content of "+name)
		}
		w.Put("again.tgz", catalog.Gentoo, true, "content of a.tgz")
		w.Put("port.tgz", catalog.OpenBSD, false, "content of a port")
		w.write("generations/latest", "")
		w.serve()
	}
	pages := func(w *world) map[string]string {
		all := make(map[string]string)
		for todo := []string{"/"}; len(todo) > 0; todo = todo[1:] {
			r := w.get(todo[0])
			page := body(t, r)
			if all[todo[0]] = page; r.StatusCode != http.StatusOK {
				t.Fatalf("%s: %s", todo[0], r.Status)
			}
			for _, m := range regexp.MustCompile(`<a href="([^".]+/)">`).FindAllStringSubmatch(page, -1) {
				todo = append(todo, todo[0]+m[1])
			}
		}
		return all
	}
	files, bucket := pages(worlds[0]), pages(worlds[1])
	if diff := cmp.Diff(files, bucket); diff != "" || len(files) < 30 {
		t.Errorf("%d directories: -files +bucket:\n%s", len(files), diff)
	}
	w := worlds[1]
	if r := w.get("/by_cipher"); r.StatusCode != http.StatusMovedPermanently || r.Header.Get("Location") != "/by_cipher/" {
		t.Errorf("without a slash: %s %v", r.Status, r.Header)
	}
	r := w.get("/")
	if r := w.get("/", "If-None-Match", r.Header.Get("Etag")); r.StatusCode != http.StatusNotModified {
		t.Errorf("unchanged: %s", r.Status)
	}
	w.Put("new.tgz", catalog.Gentoo, true, "new")
	w.s.Refresh()
	if r := w.get("/", "If-None-Match", r.Header.Get("Etag")); r.StatusCode != http.StatusOK || !strings.Contains(body(t, r), "new.tgz") {
		t.Errorf("changed: %s", r.Status)
	}
	for _, uri := range []string{"/nothing/", "/a.tgz/", "/by_ciph", "/by_cipher/sha256/zz/"} {
		if r := w.get(uri); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", uri, r.Status)
		}
	}
}

// TestListingKept: a page is made once for a directory that is left alone, and again after
// every change, also one that comes at once.
func TestListingKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("dir/a", "")
	changed := time.Now()
	w.At(changed.Add(time.Hour))
	s := w.serve()
	get := func() string { return body(t, w.get("/dir/")) }
	first := get()
	if p := s.listings.pages["dir"]; string(p.body) != first {
		t.Error("the page was not kept")
	}
	w.write("dir/b", "")
	if got := get(); !strings.Contains(got, `"b"`) {
		t.Errorf("after a change:\n%s", got)
	}
	s.Now = func() time.Time { return changed }
	w.write("dir/c", "")
	get()
	if p := s.listings.pages["dir"]; strings.Contains(string(p.body), `"c"`) {
		t.Error("a page was kept that the next change may make wrong")
	}
	s.Now = w.Now
	for i := range 3 {
		if _, err := s.listings.get(strings.Repeat("x", i), state{}, true, func() ([]byte, error) { return make([]byte, maxListings/2), nil }); err != nil {
			t.Fatal(err)
		}
		if s.listings.bytes > maxListings {
			t.Errorf("%d bytes are kept", s.listings.bytes)
		}
	}
}

// TestConditions: what a client has is not sent again, and a file that has changed under the
// same name is not taken for it.
func TestConditions(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, makes func(t *testing.T, conf ...layout.Layout) *world) {
		w := makes(t)
		w.Put("a.tgz", catalog.Gentoo, true, "0123456789")
		w.serve()
		sum := hexOf(digest.SHA256, "0123456789")
		tag := `"` + sum + `"`
		first := w.get("/a.tgz")
		date := first.Header.Get("Last-Modified")
		if _, err := http.ParseTime(date); err != nil || first.Header.Get("Accept-Ranges") != "bytes" ||
			first.Header.Get("Repr-Digest") != "sha-256=:"+digest.SHA256.Sum([]byte("0123456789")).Base64()+":" {
			t.Errorf("%v", first.Header)
		}
		for _, c := range []struct {
			header []string
			status int
			body   string
		}{
			{[]string{"If-None-Match", tag}, 304, ""},
			{[]string{"If-None-Match", `"x", ` + tag}, 304, ""},
			{[]string{"If-None-Match", `"x"`}, 200, "0123456789"},
			{[]string{"If-Match", `"x"`}, 412, ""},
			{[]string{"If-Modified-Since", date}, 304, ""},
			{[]string{"Range", "bytes=3-5"}, 206, "345"},
			{[]string{"Range", "bytes=-2"}, 206, "89"},
			{[]string{"Range", "bytes=7-"}, 206, "789"},
			{[]string{"Range", "bytes=10-"}, 416, "invalid range: failed to overlap\n"},
			{[]string{"Range", "bytes=3-5", "If-Range", tag}, 206, "345"},
			{[]string{"Range", "bytes=3-5", "If-Range", `"x"`}, 200, "0123456789"},
			{[]string{"Range", "bytes=3-5", "If-Range", date}, 206, "345"},
		} {
			for _, uri := range []string{"/a.tgz", "/sha256/" + sum} {
				if r := w.get(uri, c.header...); r.StatusCode != c.status || body(t, r) != c.body {
					t.Errorf("%s %v: %s", uri, c.header, r.Status)
				}
			}
		}
		if got := w.get("/sha256/" + sum).Header.Get("Cache-Control"); !strings.Contains(got, "immutable") {
			t.Errorf("by digest: %s", got)
		}
		if got := first.Header.Get("Cache-Control"); got != "" {
			t.Errorf("by name: %s", got)
		}
		if w.bucket != nil {
			return
		}
		// Somebody rewrites the file: its time tells.
		if err := errors.Join(os.WriteFile(w.Path("a.tgz"), []byte("9876543210"), 0o644), os.Chtimes(w.Path("a.tgz"), time.Time{}, time.Unix(1e9, 0))); err != nil {
			t.Fatal(err)
		}
		if r := w.get("/a.tgz", "If-None-Match", tag); r.StatusCode != 200 || body(t, r) != "9876543210" || r.Header.Get("Etag") == tag {
			t.Errorf("changed: %s %s", r.Status, r.Header.Get("Etag"))
		}
		if r := w.get("/sha256/" + sum); r.StatusCode != http.StatusNotFound {
			t.Errorf("changed, by digest: %s", r.Status)
		}
	})
}

// TestViews: a file has its digest as ETag at a path, too, that no layout makes, and
// another file with its name, size and time has not.
func TestViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Put("a.pkg", catalog.Pacman, false, "package")
	sum := hexOf(digest.SHA256, "package")
	file := layout.ByCipher(digest.SHA256.Sum([]byte("package")), "a.pkg")
	w.write("core/b", "")
	if err := os.Link(w.Path(file), w.Path("core/a.pkg")); err != nil {
		t.Fatal(err)
	}
	w.write("extra/a.pkg", "another")
	fi, err := os.Stat(w.Path(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(w.Path("extra/a.pkg"), time.Time{}, fi.ModTime()); err != nil {
		t.Fatal(err)
	}
	w.serve()
	for uri, want := range map[string]bool{"/core/a.pkg": true, "/extra/a.pkg": false} {
		if r := w.get(uri); r.StatusCode != 200 || (r.Header.Get("Etag") == `"`+sum+`"`) != want {
			t.Errorf("%s: %s %s", uri, r.Status, r.Header.Get("Etag"))
		}
	}
}

// TestFollow: the server sees what a run has changed, also before that has exported
// it, and goes on with what it knew when what was exported cannot be read.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	get := func(uri string) int { return w.get(uri).StatusCode }
	sum := hexOf(digest.SHA256, "abc")
	if get("/sha256/"+sum) != 404 || get("/healthz") != 200 || get("/report") != 404 || get("/metrics") != 200 {
		t.Error("an archive without a run")
	}
	w.Put("a.tgz", catalog.Gentoo, true, "abc")
	if get("/sha256/"+sum) != 200 || get("/a.tgz") != 200 || get("/sha512/"+hexOf(digest.SHA512, "abc")) != 404 {
		t.Error("before what is exported was read")
	}
	s.Refresh()
	if get("/sha512/"+hexOf(digest.SHA512, "abc")) != 200 || get("/report") != 200 {
		t.Error("after it was read")
	}
	k := s.known.Load()
	if s.Refresh(); s.known.Load() != k {
		t.Error("nothing has changed, and it was read again")
	}
	if err := report.WriteStatus(w.reports(), &report.Summary{Command: "mirror"}, regular.Replace); err != nil {
		t.Fatal(err)
	}
	if s.Refresh(); s.known.Load() == k || s.known.Load().contents != k.contents {
		t.Error("the distfiles have not changed, and were read again, or the status was not")
	}
	if err := os.WriteFile(filepath.Join(w.reports(), "distfiles.jsonl"), []byte("garbage\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s.Refresh(); get("/sha512/"+hexOf(digest.SHA512, "abc")) != 200 || get("/healthz") != 503 || w.warning == "" {
		t.Error("garbage is not noticed, or has driven out what was known")
	}
	w.Put("b.tgz", catalog.Gentoo, true, "b")
	if s.Refresh(); get("/sha512/"+hexOf(digest.SHA512, "b")) != 200 || get("/healthz") != 200 {
		t.Error("after it was written anew")
	}
	if err := os.Rename(w.Distfiles, w.Distfiles+"2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.Distfiles, 0o755); err != nil {
		t.Fatal(err)
	}
	if get("/healthz") != 503 {
		t.Error("another directory is in the place of the published one")
	}
}

// TestRecycled: what has left the published tree is not served.
func TestRecycled(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, makes func(t *testing.T, conf ...layout.Layout) *world) {
		w := makes(t)
		w.Put("a.tgz", catalog.Gentoo, true, "abc")
		w.restate(func(d *report.Distfile) { d.Recycled = true })
		if len(w.serve().known.Load().contents.at) != 0 {
			t.Error("what is in recycle is known")
		}
	})
}

// TestAccel: a web server before this one is told where a file is, as it has to spell it.
func TestAccel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Put("a%2Fb c.tgz", catalog.Gentoo, true, "abc")
	s := w.serve()
	s.Accel = "/published/"
	for uri, want := range map[string]string{
		"/a%252Fb%20c.tgz":                       "/published/a%252Fb%20c.tgz",
		"/sha256/" + hexOf(digest.SHA256, "abc"): "/published" + escape(layout.ByCipher(digest.SHA256.Sum([]byte("abc")), "a%2Fb c.tgz")),
		"/nothing":                               "", "/": "",
	} {
		r := w.get(uri)
		if got := r.Header.Get("X-Accel-Redirect"); got != want || want != "" && body(t, r) != "" {
			t.Errorf("%s: %s", uri, got)
		}
	}
}

// TestPages: metrics are as Prometheus reads them, and the report is a page that runs nothing.
func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Put("a.tgz", catalog.Gentoo, true, "abc")
	fs := []report.Failure{{Name: "<script>", Class: "gone", Reason: "gone: 404 & <b>", Owner: "c/p::r"}}
	if err := report.WriteFailures(w.reports(), fs, regular.Replace); err != nil {
		t.Fatal(err)
	}
	w.serve()
	w.get("/a.tgz")
	w.get("/nothing")
	text := body(t, w.get("/metrics"))
	for _, want := range []string{
		`distkeep_requests_total{class="2xx"} 1`, `distkeep_requests_total{class="4xx"} 1`, "distkeep_sent_bytes_total ",
		"distkeep_contents 1", `distkeep_archive_files{state="held"} 1`, "distkeep_report_readable 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	family, seen := "", make(map[string]bool)
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			family, _, _ = strings.Cut(rest, " ")
			if seen[family] {
				t.Errorf("%s is there twice", family)
			}
			seen[family] = true
		} else if line[0] != '#' && !strings.HasPrefix(line, family+"{") && !strings.HasPrefix(line, family+" ") {
			t.Errorf("%q is below %s", line, family)
		}
	}
	r := w.get("/report")
	page := body(t, r)
	if !strings.Contains(page, "&lt;script&gt;") || strings.Contains(page, "<script>") || !strings.Contains(r.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%v\n%s", r.Header, page)
	}
}

// TestLog: a line is in the combined format, and nobody can write another one.
func TestLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("a", "0123456789")
	w.serve()
	w.get("/a?x", "Range", "bytes=0-3", "User-Agent", "evil\"\n1.1.1.1", "Referer", "http://h/")
	w.do("HEAD", "/a")
	w.get("/nothing")
	want := `192.0.2.1 - - [02/Jan/2026:03:00:00 +0000] "GET /a?x HTTP/1.1" 206 4 "http://h/" "evil\x22\x0A1.1.1.1"
192.0.2.1 - - [02/Jan/2026:03:00:00 +0000] "HEAD /a HTTP/1.1" 200 0 "-" "-"
192.0.2.1 - - [02/Jan/2026:03:00:00 +0000] "GET /nothing HTTP/1.1" 404 23 "-" "-"
`
	if got := w.log.String(); got != want {
		t.Errorf("%s", got)
	}
}
