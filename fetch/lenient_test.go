package fetch

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzReadResponse compares the forgiving reader with the strict one: what both
// can read is the same, and what only the forgiving one reads is bounded.
func FuzzReadResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 404 Not Found\n\nabc",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"http/1.1 200\nno colon\nContent-Length: 3, 3\nX: a\n b\n\nabc",
		"\r\nHTTP 200 OK\r\nTransfer-Encoding: identity, chunked\r\n\r\n 3 \nabc\n0\n",
		"only bytes",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &http.Request{Method: http.MethodGet}
		resp, err := readResponse(bufio.NewReader(bytes.NewReader(data)), r)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(resp.Body)
			if len(body) > len(data) {
				t.Fatalf("%d bytes of %d", len(body), len(data))
			}
		}
		strict, serr := http.ReadResponse(bufio.NewReader(bytes.NewReader(data)), r)
		if serr != nil || strict.StatusCode/100 == 1 || strict.StatusCode > 999 || strict.ProtoMajor != 1 || strict.ContentLength < 0 && len(strict.TransferEncoding) == 0 {
			return
		}
		want, serr := io.ReadAll(strict.Body)
		if serr != nil || len(strict.TransferEncoding) == 0 && int64(len(want)) < strict.ContentLength {
			return
		}
		if err != nil || resp.StatusCode != strict.StatusCode || !bytes.Equal(body, want) {
			t.Fatalf("read %+v %q (%v), net/http %+v %q", resp, body, err, strict, want)
		}
	})
}

// TestReadResponseBounds: a server can neither fill memory nor keep us reading
// heads for ever.
func TestReadResponseBounds(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]io.Reader{
		"empty lines": repeat("\r\n"),
		"one line":    io.MultiReader(strings.NewReader("HTTP/1.1 "), repeat("a")),
		"header":      io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"), repeat("A: b\r\n")),
		"interim":     repeat("HTTP/1.1 100 Continue\r\n\r\n"),
		"nothing":     strings.NewReader(""),
		"no status":   strings.NewReader("HTTP/1.1 OK\r\n\r\n"),
		"status 99":   strings.NewReader("HTTP/1.1 99 Few\r\n\r\n"),
	} {
		if resp, err := readResponse(bufio.NewReader(r), &http.Request{Method: http.MethodGet}); err == nil {
			t.Errorf("%s: read %+v", name, resp)
		}
	}
	for name, tail := range map[string]io.Reader{
		"chunk line": repeat("0"), "no number": strings.NewReader("zz\r\n"), "negative": strings.NewReader("-1\r\n"), "trailer": io.MultiReader(strings.NewReader("0\r\n"), repeat("A: b\r\n")),
	} {
		head := strings.NewReader("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		resp, err := readResponse(bufio.NewReader(io.MultiReader(head, tail)), &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(resp.Body); len(data) > 0 || err == nil && name != "trailer" {
			t.Errorf("%s: %d bytes, %v", name, len(data), err)
		}
	}
}

// repeat is s for ever.
func repeat(s string) io.Reader { return &repeater{s: s} }

type repeater struct {
	s string
	i int
}

func (r *repeater) Read(p []byte) (int, error) {
	for n := range p {
		p[n] = r.s[r.i]
		r.i = (r.i + 1) % len(r.s)
	}
	return len(p), nil
}

func TestResolve(t *testing.T) {
	t.Parallel()
	from, err := url.Parse("https://host.example/a/b?c")
	if err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"x":                             "https://host.example/a/x",
		"/x":                            "https://host.example/x",
		"?x":                            "https://host.example/a/b?x",
		"//other.example/x":             "https://other.example/x",
		`\\other.example\x`:             "https://other.example/x",
		"http:/other.example/x":         "http://other.example/x",
		"http:////other.example/x":      "http://other.example/x",
		`http:\\other.example\x\y`:      `http://other.example/x%5Cy`,
		"HTTPS://OTHER.example/x":       "https://other.example/x",
		"/100%/%zz/%41?a=%&b= c":        "https://host.example/100%25/%25zz/%41?a=%25&b=%20c",
		"/a b\"<>|{}^`\\":               "https://host.example/a%20b%22%3C%3E%7C%7B%7D%5E%60%5C",
		"/\xfc/ü":                       "https://host.example/%FC/%C3%BC",
		" \t/x \r":                      "https://host.example/x",
		"/x\ty":                         "https://host.example/xy",
		"/x#y":                          "https://host.example/x",
		"a:b/c":                         "https://host.example/a/a:b/c",
		"/x?u=http://y/z":               "https://host.example/x?u=http://y/z",
		"x?u=a:b":                       "https://host.example/a/x?u=a:b",
		"ftp://other.example/x":         "ftp://other.example/x",
		"file:///etc/passwd":            "file:///etc/passwd",
		"FILE:///etc/passwd":            "file:///etc/passwd",
		"gopher://other.example/x":      "gopher://other.example/x",
		"http://user:pw@o.example/":     "http://user:pw@o.example/",
		"":                              "",
		"#x":                            "",
		"http://":                       "",
		"http://[::1/x":                 "",
		"/a\x01b":                       "",
		"http://a b/":                   "",
		strings.Repeat("a", 9000):       "",
		"/" + strings.Repeat("ü", 3000): "",
	} {
		to, err := resolve(from, location)
		switch {
		case want == "" && (err == nil || !is[*uriError](err)):
			t.Errorf("%.60q leads to %v, %v", location, to, err)
		case want != "" && (err != nil || to.String() != want):
			t.Errorf("%.60q leads to %v (%v), want %s", location, to, err, want)
		}
	}
}

// FuzzResolve: where a Location leads is a URL that reads back as itself.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"x", "//h/x", `\\h\x`, "http:/h/%", "a:b", "?x", "file:x", "http://u:p@h:1/", "/\xff#"} {
		f.Add(s)
	}
	from, err := url.Parse("https://host.example/a/b?c")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, location string) {
		to, err := resolve(from, location)
		if err != nil {
			if !is[*uriError](err) {
				t.Fatalf("%q: %v", location, err)
			}
			return
		}
		again, err := resolve(from, to.String())
		if err != nil || again.String() != to.String() {
			t.Fatalf("%q leads to %s, which leads to %v (%v)", location, to, again, err)
		}
		if to.Fragment != "" || to.Scheme == "" || to.Host == "" && to.Scheme != "file" || len(to.String()) > maxURL {
			t.Fatalf("%q leads to %#v", location, to)
		}
	})
}
