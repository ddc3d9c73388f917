package serve

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"

	"distkeep/catalog/digest"
)

// A dialect is how clients of one kind ask for a file. What form has in braces stands
// for:
//
//	{alg}   an algorithm: md5, sha1, sha256, sha512, blake2b and so on
//	{sum}   its digest: hexadecimal, base64, base 32 of Nix, or SRI
//	{ab}    the first two characters of the digest
//	{ext}   an extension, or nothing
//	{name}  a file name, which may mean several contents
//	{dir}   directories before it: a package, or a part of the name
//	{path}  a path of the published tree
//	{url}   the URL that the archive has it from
type dialect struct {
	Dialect
	pattern *regexp.Regexp
}

// A Dialect says who asks for files in which form.
type Dialect struct{ Clients, Form string }

// Dialects lists what the server understands beside the paths of the published tree.
func Dialects() (ds []Dialect) {
	for _, d := range dialects {
		ds = append(ds, d.Dialect)
	}
	return ds
}

// dialects are asked in this order, from what can only mean one content to what may
// mean several. It is about paths for which the published tree has nothing.
var dialects = []dialect{
	newDialect("Guix", "/file/{name}/{alg}/{sum}"),
	newDialect("Software Heritage", "/api/1/content/{alg}:{sum}/raw/"),
	newDialect("opam", "/cache/{alg}/{ab}/{sum}"),
	newDialect("opam", "/{alg}/{ab}/{sum}"),
	newDialect("Nix", "/{alg}/{sum}"),
	newDialect("Spack", "/_source-cache/archive/{ab}/{sum}{ext}"),
	newDialect("OpenBSD", "/by_cipher/{alg}/{ab}/{sum}/{name}"),
	newDialect("Nix, vcpkg", "/{sum}"),
	newDialect("Homebrew", "/{url}"),
	newDialect("Portage", "/distfiles/{path}"),
	newDialect("Buildroot, Void, FreeBSD", "/{dir}/{name}"),
	newDialect("BitBake, Buildroot, Alpine, Void", "/{name}"),
}

// fields are what stands in a form, as regular expressions.
var fields = map[string]string{
	"{alg}":  `(?P<alg>[a-z0-9_-]+)`,
	"{sum}":  `(?P<sum>.+?)`,
	"{ab}":   `..`,
	"{ext}":  `(?:\.[^/]*)?`,
	"{name}": `(?P<name>[^/]+)`,
	"{dir}":  `(?P<dir>[^:]+)`, // a URL is none
	"{path}": `(?P<path>[^:]+)`,
	"{url}":  `(?P<url>(?:https?|ftp)://?.+)`,
}

var field = regexp.MustCompile(`\{[a-z]+\}`)

func newDialect(clients, form string) dialect {
	pattern := field.ReplaceAllStringFunc(form, func(f string) string { return fields[f] })
	return dialect{Dialect{clients, form}, regexp.MustCompile("^" + pattern + "$")}
}

// A wish is what a path asks for in some dialect. What is not asked for is empty.
type wish struct {
	// sums are the digests that the text can mean: one, or two of the same length.
	sums      []digest.Digest
	url       string
	path      string
	dir, name string
}

// parse reads a path. ok is false when it is none of the dialect.
func (d *dialect) parse(path string) (w wish, ok bool) {
	m := d.pattern.FindStringSubmatch(path)
	if m == nil {
		return wish{}, false
	}
	get := func(name string) string {
		if i := d.pattern.SubexpIndex(name); i >= 0 {
			return m[i]
		}
		return ""
	}
	if text := get("sum"); text != "" {
		w.sums = parseSum(get("alg"), text)
		return w, len(w.sums) > 0
	}
	w = wish{url: get("url"), path: get("path"), dir: get("dir"), name: get("name")}
	if scheme, rest, ok := strings.Cut(w.url, ":/"); ok {
		// Some proxies make one slash of two.
		w.url = scheme + "://" + strings.TrimPrefix(rest, "/")
	}
	return w, true
}

// algorithms are the names that clients have for them.
var algorithms = map[string]digest.Algorithm{
	"md5": digest.MD5, "sha1": digest.SHA1, "sha256": digest.SHA256, "sha512": digest.SHA512,
	"blake2b": digest.BLAKE2B, "blake2b512": digest.BLAKE2B, "blake2s256": digest.BLAKE2S,
	"sha3-256": digest.SHA3_256, "sha3-512": digest.SHA3_512,
}

// bare are the algorithms that a digest without the name of one can be of.
var bare = []digest.Algorithm{digest.SHA256, digest.SHA512, digest.BLAKE2B, digest.SHA1, digest.MD5}

// parseSum reads a digest in any spelling. alg is empty where the text, or its length,
// tells the algorithm.
func parseSum(alg, text string) []digest.Digest {
	if name, sum, ok := strings.Cut(text, "-"); ok && (alg == "" || alg == name) {
		if a, ok := algorithms[name]; ok {
			alg, text = name, sum
			if d, err := parseBase64(a, text); err == nil {
				return []digest.Digest{d}
			}
		}
	}
	as := bare
	if alg != "" {
		as = []digest.Algorithm{algorithms[alg]}
	}
	var ds []digest.Digest
	for _, parse := range []func(digest.Algorithm, string) (digest.Digest, error){digest.Parse, digest.ParseNix32, parseBase64} {
		for _, a := range as {
			if d, err := parse(a, text); err == nil && !d.IsZero() {
				ds = append(ds, d)
			}
		}
		if len(ds) > 0 {
			return ds
		}
	}
	return nil
}

// parseBase64 reads base64 with both alphabets, padded or not.
func parseBase64(a digest.Algorithm, text string) (digest.Digest, error) {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return digest.Digest{}, err
	}
	return digest.New(a, raw)
}

// spellings are the paths that a request may mean, the likeliest first: what the URL
// says, and what a client says that escapes nothing, neither a "%2F" nor a "?" that is in
// a name.
func spellings(u *url.URL) []string {
	path := "/" + strings.TrimLeft(u.Path, "/")
	all := []string{path}
	raw := "/" + strings.TrimLeft(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		all = append(all, path+"?"+u.RawQuery)
	}
	if raw != path {
		all = append(all, raw)
		if u.RawQuery != "" {
			all = append(all, raw+"?"+u.RawQuery)
		}
	}
	return all
}

// want returns the contents that a wish may mean.
func (c *contents) want(w wish) (found []*content) {
	switch {
	case len(w.sums) > 0:
		for _, sum := range w.sums {
			found = append(found, c.withDigest(sum)...)
		}
	case w.url != "":
		found = c.from(w.url)
	case w.name != "":
		found = c.named(w.dir, w.name)
	}
	return different(found)
}
