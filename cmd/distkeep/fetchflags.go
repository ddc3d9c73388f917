package main

import (
	"crypto/tls"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"distkeep/fetch"
)

// fetchFlags configure the transfers.
type fetchFlags struct {
	jobs, hostJobs      int
	hostLimits          *cli.StringSlice
	stall               durationValue
	minRate             sizeValue
	maxTime             durationValue
	rate, hostRate      sizeValue
	maxSize             sizeValue
	tries               int
	prefer              choiceValue
	contact, netrc      string
	userAgents          *cli.StringSlice
	schemes, skipVerify *cli.StringSlice
	tlsMin              choiceValue
	noDowngrade         bool
	ports               *cli.IntSlice
	allowPrivate        bool
	fallbacks           *cli.StringSlice
}

func newFetchFlags() *fetchFlags {
	return &fetchFlags{
		hostLimits: cli.NewStringSlice(), userAgents: cli.NewStringSlice(), schemes: cli.NewStringSlice(), skipVerify: cli.NewStringSlice(),
		ports: cli.NewIntSlice(), fallbacks: cli.NewStringSlice(),
		stall: durationValue(time.Minute), minRate: 256, maxSize: 32 << 30, maxTime: durationValue(24 * time.Hour),
		prefer: choiceValue{"mirrors", []string{"mirrors", "primary"}}, tlsMin: choiceValue{"1.0", []string{"1.0", "1.2", "1.3"}},
	}
}

func (o *fetchFlags) flags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "jobs", Usage: "at most `N` transfers at the same time", Value: 16, Destination: &o.jobs},
		&cli.IntFlag{Name: "host-jobs", Usage: "at most `N` transfers from one host", Value: 4, Destination: &o.hostJobs},
		&cli.StringSliceFlag{Name: "host-limit", Usage: "at most N transfers from HOST: `HOST=N`; repeatable", Destination: o.hostLimits},
		&cli.GenericFlag{Name: "stall", Usage: "cut a transfer that delivers no byte for `DURATION`", Value: &o.stall},
		&cli.GenericFlag{Name: "min-rate", Usage: "cut a transfer that is slower than `SIZE` a second", Value: &o.minRate},
		&cli.GenericFlag{Name: "max-time", Usage: "park all transfers for the next run after `DURATION`; 0 is no limit", Value: &o.maxTime},
		&cli.GenericFlag{Name: "rate", Usage: "at most `SIZE` a second in all; 0 is no limit", Value: &o.rate},
		&cli.GenericFlag{Name: "host-rate", Usage: "at most `SIZE` a second from one host; 0 is no limit", Value: &o.hostRate},
		&cli.GenericFlag{Name: "max-size", Usage: "take at most `SIZE` of a file whose size no tree tells", Value: &o.maxSize},
		&cli.IntFlag{Name: "tries", Usage: "ask at most `N` of the URLs behind mirror:// for one file; 0 is no limit", Value: 10, Destination: &o.tries},
		&cli.GenericFlag{Name: "prefer", Usage: "ask `WHICH` first: mirrors or primary (the plain URIs)", Value: &o.prefer},
		&cli.StringFlag{Name: "contact", Usage: "put `URL-OR-MAIL` into the User-Agent: some hosts refuse anonymous clients", Destination: &o.contact},
		&cli.StringSliceFlag{Name: "user-agent", Usage: "send TEXT as User-Agent to HOST, which refuses ours: `HOST=TEXT`; repeatable", Destination: o.userAgents},
		&cli.StringFlag{Name: "netrc", Usage: "read passwords for hosts from `FILE`", Destination: &o.netrc},
		&cli.StringSliceFlag{Name: "allow-scheme", Usage: "allow URIs of `SCHEME` beside http, https, ftp and rsync: file; repeatable", Destination: o.schemes},
		&cli.IntSliceFlag{Name: "allow-port", Usage: "allow `PORT` beside 80, 443, 21 and 873; repeatable", Destination: o.ports},
		&cli.BoolFlag{Name: "allow-private", Usage: "allow URIs that lead to loopback, link-local and private addresses", Destination: &o.allowPrivate},
		&cli.StringSliceFlag{Name: "tls-skip-verify-host", Usage: "do not verify the certificate of `HOST`: digests decide; repeatable", Destination: o.skipVerify},
		&cli.GenericFlag{Name: "tls-min", Usage: "never speak less than TLS `VERSION`: 1.0, 1.2 or 1.3; below 1.2, old ciphers too, only when nothing better works and a strong digest decides", Value: &o.tlsMin},
		&cli.BoolFlag{Name: "no-downgrade", Usage: "refuse redirects from https to http, also where a strong digest decides", Destination: &o.noDowngrade},
		&cli.StringSliceFlag{Name: "fallback", Usage: "when all URIs failed, ask the archive at `URL`: by its layout.conf and by_cipher; repeatable", Destination: o.fallbacks},
	}
}

func (o *fetchFlags) options() (fetch.Options, error) {
	f := fetch.Options{
		Jobs: o.jobs, HostJobs: o.hostJobs, HostLimits: make(map[string]int),
		Stall: time.Duration(o.stall), MinRate: int64(o.minRate), MaxTime: time.Duration(o.maxTime), Rate: int64(o.rate), HostRate: int64(o.hostRate), MaxSize: int64(o.maxSize),
		Tries: o.tries, PreferPrimary: o.prefer.value == "primary",
		UserAgent: "distkeep/" + version(), Contact: o.contact, Netrc: o.netrc,
		Schemes: append([]string{"http", "https", "ftp", "rsync"}, o.schemes.Value()...),
		Ports:   o.ports.Value(), AllowPrivate: o.allowPrivate, TLSSkipVerifyHosts: o.skipVerify.Value(),
		Fallbacks: o.fallbacks.Value(), NoDowngrade: o.noDowngrade,
		TLSMin: map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[o.tlsMin.value], UserAgents: make(map[string]string),
	}
	// With a proxy all connections are to one host: that is only said where there is one.
	if slices.ContainsFunc([]string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"}, func(v string) bool { return os.Getenv(v) != "" }) {
		f.Proxy = http.ProxyFromEnvironment
	}
	if o.jobs < 1 || o.hostJobs < 1 {
		return f, usagef("--jobs and --host-jobs must be at least 1")
	}
	if o.tries < 0 {
		return f, usagef("--tries must be at least 0")
	}
	if f.Tries == 0 {
		f.Tries = math.MaxInt
	}
	if o.maxSize < 1 {
		return f, usagef("--max-size must be at least 1")
	}
	if f.Stall == 0 {
		f.Stall = -1
	}
	if f.MinRate == 0 {
		f.MinRate = -1
	}
	for _, s := range o.hostLimits.Value() {
		host, n, ok := strings.Cut(s, "=")
		limit, err := strconv.Atoi(n)
		if !ok || err != nil || limit < 1 || host == "" {
			return f, usagef("--host-limit %q: write HOST=N", s)
		}
		f.HostLimits[host] = limit
	}
	for _, s := range o.userAgents.Value() {
		host, text, ok := strings.Cut(s, "=")
		if !ok || host == "" || text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return f, usagef("--user-agent %q: write HOST=TEXT, in printable ASCII", s)
		}
		f.UserAgents[host] = text
	}
	return f, nil
}
