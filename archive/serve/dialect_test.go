package serve

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// What nix-hash --to-base32 makes of the SHA-256 of "abc", and its SHA-512 in SRI.
const (
	abcNix = "1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s"
	abcSRI = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqXp6ATrK13fM8l1hqQ2J+lXOBM5H1Kp0Jjx5kRwnpTPxcrHDFbY0pYQXEQ=="
)

func hexOf(a digest.Algorithm, text string) string { return a.Sum([]byte(text)).Hex() }

// TestDialects asks for "abc" as each client does, by the rules in its own sources.
func TestDialects(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, makes func(t *testing.T, conf ...layout.Layout) *world) {
		w := makes(t, layout.Flat())
		w.Put("foo-1.0.tar.gz", catalog.Gentoo, true, "abc")
		w.Put("sub/bar-2.tgz", catalog.OpenBSD, true, "in a directory")
		w.addDigests(map[string]string{"foo-1.0.tar.gz": "abc"})
		w.serve()
		md5, sha1, sha256, sha512 := hexOf(digest.MD5, "abc"), hexOf(digest.SHA1, "abc"), hexOf(digest.SHA256, "abc"), hexOf(digest.SHA512, "abc")
		b64 := digest.SHA256.Sum([]byte("abc")).Base64()
		sri := "sha512-" + digest.SHA512.Sum([]byte("abc")).Base64()
		asked := make(map[string]bool)
		for _, c := range []struct{ client, uri, want string }{
			{"Portage", "/distfiles/foo-1.0.tar.gz", "abc"},
			{"Portage", "/distfiles/a5/foo-1.0.tar.gz", "abc"},
			{"Nix", "/sha256/" + sha256, "abc"},
			{"Nix", "/sha512/" + sha512, "abc"},
			{"Nix", "/sha1/" + sha1, "abc"},
			{"Nix", "/md5/" + md5, "abc"},
			{"Nix", "/sha256/" + abcNix, "abc"},
			{"Nix", "//" + sri, "abc"},
			{"Nix", "/sha512/" + sri, "abc"},
			{"Guix", "/file/foo-1.0.tar.gz/sha256/" + abcNix, "abc"},
			{"Guix", "/file/any/sha256/" + abcNix, "abc"},
			{"Software Heritage", "/api/1/content/sha256:" + sha256 + "/raw/", "abc"},
			{"Software Heritage", "/api/1/content/sha1:" + sha1 + "/raw/", "abc"},
			{"opam", "/cache/sha256/" + sha256[:2] + "/" + sha256, "abc"},
			{"opam", "/sha512/" + sha512[:2] + "/" + sha512, "abc"},
			{"opam", "/md5/" + md5[:2] + "/" + md5, "abc"},
			{"Spack", "/_source-cache/archive/" + sha256[:2] + "/" + sha256 + ".tar.gz", "abc"},
			{"Spack", "/_source-cache/archive/" + sha256[:2] + "/" + sha256, "abc"},
			{"vcpkg", "/" + sha512, "abc"},
			{"vcpkg", "/" + strings.ToUpper(sha512), "abc"},
			{"Nix", "/" + hexOf(digest.BLAKE2B, "abc"), "abc"},
			{"Buildroot", "/foo/foo-1.0.tar.gz", "abc"},
			{"Buildroot", "/foo-1.0.tar.gz", "abc"},
			{"Buildroot", "/foo/foo-1.0.tar.gz?urlencode", "abc"},
			{"BitBake", "/bar-2.tgz", "in a directory"},
			{"Homebrew", "/https://h.example/foo-1.0.tar.gz", "abc"},
			{"Homebrew", "/https:/h.example/foo-1.0.tar.gz", "abc"},
			{"Homebrew", "/http://h.example/sub/bar-2.tgz", "in a directory"},
			{"Alpine", "/edge/foo-1.0.tar.gz", "abc"},
			{"Void", "/foo-1.0/foo-1.0.tar.gz", "abc"},
			{"FreeBSD", "/sub/bar-2.tgz", "in a directory"},
			{"FreeBSD", "/other/bar-2.tgz", "in a directory"},
			{"OpenBSD", "/by_cipher/sha256/" + b64[:2] + "/" + b64 + "/foo-1.0.tar.gz", "abc"},
			{"OpenBSD", "/by_cipher/sha256/" + b64[:2] + "/" + b64 + "/another", "abc"},
		} {
			asked[c.client] = true
			r := w.get(c.uri)
			if got := body(t, r); r.StatusCode != http.StatusOK || got != c.want {
				t.Errorf("%s %s: %s %q", c.client, c.uri, r.Status, got)
			}
			if want := `"` + hexOf(digest.SHA256, c.want) + `"`; r.Header.Get("Etag") != want {
				t.Errorf("%s %s has the ETag %s", c.client, c.uri, r.Header.Get("Etag"))
			}
			if r := w.do(http.MethodHead, c.uri); r.StatusCode != http.StatusOK || body(t, r) != "" {
				t.Errorf("HEAD %s: %s", c.uri, r.Status)
			}
		}
		for _, d := range Dialects() {
			for client := range strings.SplitSeq(d.Clients, ", ") {
				if !asked[client] {
					t.Errorf("%s is not tested", client)
				}
			}
		}
		other := hexOf(digest.SHA256, "other")
		for uri, why := range map[string]string{
			"/sha256/" + other: "SHA256",
			"/md5/" + hexOf(digest.MD5, "in a directory"):  "MD5", // which no list has named
			"/sha256/" + sha512:                            "nothing",
			"/sha256/" + sha256[:62]:                       "nothing",
			"/tiger/" + sha256:                             "nothing",
			"/file/foo-1.0.tar.gz/sha256/" + abcNix + "0":  "nothing",
			"/https://other.example/foo-1.0.tar.gz":        "nothing", // another file of that name
			"/https://h.example/foo-1.0.tar.gz?download=1": "",
			"/api/1/content/sha1_git:" + sha1 + "/raw/":    "nothing",
			"/foo-1.0.tar":                                 "nothing",
		} {
			r := w.get(uri)
			if why == "" {
				if r.StatusCode != http.StatusOK {
					t.Errorf("%s: %s", uri, r.Status)
				}
			} else if got := body(t, r); r.StatusCode != http.StatusNotFound || !strings.Contains(got, why) {
				t.Errorf("%s: %s %q", uri, r.Status, got)
			}
		}
	})
}

// TestParseSum: every spelling of a digest is the digest.
func TestParseSum(t *testing.T) {
	t.Parallel()
	of := func(a digest.Algorithm) []digest.Digest { return []digest.Digest{a.Sum([]byte("abc"))} }
	raw := digest.SHA512.Sum([]byte("abc")).Raw()
	for _, c := range []struct {
		alg, text string
		want      []digest.Digest
	}{
		{"sha256", hexOf(digest.SHA256, "abc"), of(digest.SHA256)},
		{"sha256", abcNix, of(digest.SHA256)},
		{"", abcNix, of(digest.SHA256)},
		{"sha512", base64.StdEncoding.EncodeToString(raw), of(digest.SHA512)},
		{"sha512", base64.RawURLEncoding.EncodeToString(raw), of(digest.SHA512)},
		{"", "sha512-" + base64.StdEncoding.EncodeToString(raw), of(digest.SHA512)},
		{"sha512", "sha512-" + base64.RawStdEncoding.EncodeToString(raw), of(digest.SHA512)},
		{"sha1", "kpcd173cq987hw957sx6m0868wv3x6d9", of(digest.SHA1)},
		{"md5", "kAFQmDzST7DWlj99KOF/cg==", of(digest.MD5)},
		{"md5", "3jgzhjhz9zjvbb0kyj7jc500ch", of(digest.MD5)},
		{"sha256", "sha512-" + base64.StdEncoding.EncodeToString(raw), nil},
		{"", "sha999-AAAA", nil},
		{"", "", nil}, {"sha256", "", nil}, {"nothing", hexOf(digest.SHA256, "abc"), nil},
	} {
		got := parseSum(c.alg, c.text)
		if len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] {
			t.Errorf("%s %s is %v, want %v", c.alg, c.text, got, c.want)
		}
	}
	// 128 hexadecimal digits are of either.
	if got := parseSum("", hexOf(digest.BLAKE2B, "abc")); len(got) != 2 || got[1] != of(digest.BLAKE2B)[0] {
		t.Errorf("%v", got)
	}
}

// TestChoices: a name that several contents may be meant by is answered with all of
// them, unless the package before it tells which.
func TestChoices(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, makes func(t *testing.T, conf ...layout.Layout) *world) {
		w := makes(t)
		w.Put("v1.0.tar.gz", catalog.Sources, false, "one")
		w.Put("v1.0.tar.gz", catalog.Sources, false, "two")
		w.Put("sub/same.tgz", catalog.Sources, false, "same")
		w.Put("other/same.tgz", catalog.Sources, false, "same")
		owners := map[string]string{hexOf(digest.SHA256, "one"): "dev-libs/one-1.0::list", hexOf(digest.SHA256, "two"): "two::list"}
		w.restate(func(d *report.Distfile) { d.Owner = owners[d.SHA256] })
		w.serve()
		r := w.get("/v1.0.tar.gz")
		text := body(t, r)
		if r.StatusCode != http.StatusMultipleChoices || strings.Count(text, "\n") != 2 || r.Header.Get("Location") != "" {
			t.Errorf("%s %q", r.Status, text)
		}
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if got := body(t, w.get(f[2])); "sha256:"+hexOf(digest.SHA256, got) != f[0] || f[1] != "3" {
				t.Errorf("%s is %q", line, got)
			}
		}
		for uri, want := range map[string]string{
			"/one/v1.0.tar.gz": "one", "/one-1.0/v1.0.tar.gz": "one", "/x/two/v1.0.tar.gz": "two", "/same.tgz": "same",
		} {
			if r := w.get(uri); r.StatusCode != http.StatusOK || body(t, r) != want {
				t.Errorf("%s: %s", uri, r.Status)
			}
		}
		for _, uri := range []string{"/on/v1.0.tar.gz", "/one-1/v1.0.tar.gz", "/three/v1.0.tar.gz"} {
			if r := w.get(uri); r.StatusCode != http.StatusMultipleChoices {
				t.Errorf("%s: %s", uri, r.Status)
			}
		}
		// What is published under the name is meant, however many others there were.
		w.Put("v1.0.tar.gz", catalog.Gentoo, true, "three")
		w.s.Refresh()
		if got := body(t, w.get("/any/v1.0.tar.gz")); got != "three" {
			t.Errorf("%q", got)
		}
	})
}
