package fetch

import (
	"net/url"
	"slices"
)

// A scheme is one of those of URLs that can be fetched, and what follows from it.
type scheme struct {
	name string
	// port is that of a URL that names none. A scheme without port is of files
	// of this machine: its URLs have no host.
	port string
	// tls tells that a server has to prove who it is.
	tls bool
	// program tells that a program of its own writes what comes to a file, and
	// reads first what is there of it: nothing can be had without a file.
	program bool
}

// schemes are all that there are. Each has a transport in New.
var schemes = []scheme{
	{name: "http", port: "80"},
	{name: "https", port: "443", tls: true},
	{name: "ftp", port: "21"},
	{name: "rsync", port: "873", program: true},
	{name: "file"},
}

// schemeNamed returns the scheme of that name; the zero scheme if there is none.
func schemeNamed(name string) scheme {
	if i := slices.IndexFunc(schemes, func(s scheme) bool { return s.name == name }); i >= 0 {
		return schemes[i]
	}
	return scheme{}
}

func schemeOf(u *url.URL) scheme { return schemeNamed(u.Scheme) }

// local tells that the files are those of this machine.
func (s scheme) local() bool { return s.name != "" && s.port == "" }

// schemeNames are those that a Fetcher is allowed by default, and with local all.
func schemeNames(local bool) (names []string) {
	for _, s := range schemes {
		if local || !s.local() {
			names = append(names, s.name)
		}
	}
	return names
}

// usualPort reports whether port is that of a scheme: it is always allowed.
func usualPort(port string) bool {
	return port != "" && slices.ContainsFunc(schemes, func(s scheme) bool { return s.port == port })
}
