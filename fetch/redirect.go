package fetch

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// maxHops bounds the redirects of one trip, as curl does.
const maxHops = 50

// A trip is one way from a source to a file: the redirects that were followed,
// within a host and to others, and the cookies that were set on it. Some hosts
// hand a file only to who brings a cookie back. Nothing of a trip outlives it.
type trip struct {
	hops int
	// at is where the last redirect led to.
	at *url.URL
	// bare trips take no cookies: they only improve a request.
	bare bool
	jar  http.CookieJar
	// strong tells that the digests of the file prove what it is, so that no
	// more is lost than that others see what is fetched.
	strong bool
	// lowered is what was given up for that.
	lowered string
}

// addCookies gives a request the cookies that are for its URL.
func (t *trip) addCookies(r *http.Request) {
	if t.jar == nil {
		return
	}
	for _, c := range t.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
}

// follow returns where a response leads, or nil when it is no redirect.
func (t *trip) follow(u *url.URL, resp *http.Response, o *Options) (*url.URL, error) {
	if !isRedirect(resp) {
		return nil, nil
	}
	if cookies := resp.Cookies(); len(cookies) > 0 && !t.bare {
		if t.jar == nil {
			t.jar, _ = cookiejar.New(nil) // never fails
		}
		t.jar.SetCookies(u, cookies)
	}
	to, err := resolve(u, resp.Header.Get("Location"))
	if err != nil {
		return nil, err
	}
	return to, t.check(u, to, o)
}

// hop goes on to where a redirect leads.
func (t *trip) hop(to *url.URL) error {
	t.at = to
	if t.hops++; t.hops > maxHops {
		return errLoop
	}
	return nil
}

// isRedirect reports whether a response leads elsewhere. Without a Location, a
// choice of several is an answer like any other.
func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	case http.StatusMultipleChoices:
		return resp.Header.Get("Location") != ""
	}
	return false
}

// check judges where a redirect leads by what can be said without the policy for
// hosts. All redirects come by it, those within a host too.
func (t *trip) check(from, to *url.URL, o *Options) error {
	switch {
	case schemeOf(to).local(): // that the tree may name files does not allow it to strangers
		return &policyError{"redirected to a file of this machine"}
	case !schemeOf(from).tls || schemeOf(to).tls:
		return nil
	case o.NoDowngrade:
		return &policyError{"redirected from https to " + redactFinal(to) + ", which --no-downgrade refuses"}
	case !t.strong:
		return &policyError{"redirected from https to " + redactFinal(to) + ", without a digest that proves what comes"}
	}
	t.lowered = "redirected from https to " + to.Scheme
	return nil
}

var (
	errLongTarget = &uriError{"redirected to a URL longer than 8000 bytes"}
	errNoTarget   = &uriError{"redirect without a usable Location"}
)

// resolve reads a Location, with the leniency that the URIs of a tree enjoy and
// that browsers and curl have: blanks, lone percent signs and bytes that are not
// ASCII are escaped, http:\\host, http:/host and \\host are read as meant.
func resolve(from *url.URL, location string) (*url.URL, error) {
	if len(location) > maxURL {
		return nil, errLongTarget
	}
	location = breaks.Replace(strings.Trim(location, " \t\r\n"))
	location, _, _ = strings.Cut(location, "#")
	if location == "" {
		return nil, errNoTarget
	}
	scheme, rest := splitScheme(location)
	slashes := len(rest) - len(strings.TrimLeft(rest, `/\`))
	switch {
	case scheme != "" && slashes > 0 && !schemeNamed(scheme).local():
		location = scheme + "://" + hostFirst(rest[slashes:])
	case scheme == "" && slashes > 1:
		location = from.Scheme + "://" + hostFirst(rest[slashes:])
	case scheme != "":
	default:
		return resolveWithin(from, location)
	}
	to, err := parseURL(location)
	switch {
	case err == errLongURL:
		return nil, errLongTarget
	case err != nil:
		return nil, errNoTarget
	}
	return to, nil
}

// breaks are what browsers drop from a URL.
var breaks = strings.NewReplacer("\t", "", "\r", "", "\n", "")

// splitScheme cuts a scheme that we know of off a Location.
func splitScheme(s string) (scheme, rest string) {
	scheme, rest, ok := strings.Cut(s, ":")
	scheme = strings.ToLower(scheme)
	if ok && schemeNamed(scheme).name != "" {
		return scheme, rest
	}
	if i := strings.Index(s, "://"); i > 0 && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == "" {
		return scheme, rest // for the policy to refuse
	}
	return "", s
}

// hostFirst makes a slash of the backslash that ends the host.
func hostFirst(s string) string {
	if i := strings.IndexAny(s, `/\?`); i >= 0 && s[i] == '\\' {
		return s[:i] + "/" + s[i+1:]
	}
	return s
}

// resolveWithin resolves a reference without host.
func resolveWithin(from *url.URL, location string) (*url.URL, error) {
	path, query, asked := strings.Cut(location, "?")
	if strings.HasPrefix(path, `\`) {
		path = "/" + path[1:]
	}
	ref := escape(path)
	if first, _, _ := strings.Cut(ref, "/"); strings.Contains(first, ":") {
		ref = "./" + ref // no scheme
	}
	if asked {
		ref += "?" + escape(query)
	}
	for i := range len(location) {
		if location[i] < ' ' || location[i] == 0x7f {
			return nil, errNoTarget
		}
	}
	to, err := from.Parse(ref)
	switch {
	case err != nil:
		return nil, errNoTarget
	case len(to.String()) > maxURL: // it has become longer
		return nil, errLongTarget
	}
	to.Fragment, to.RawFragment = "", ""
	return to, nil
}
