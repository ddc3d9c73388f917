package fetch

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"distkeep/catalog"
)

// Options configure a Fetcher. The zero value is ready for use.
type Options struct {
	// Jobs bounds the transfers under way. Zero means 16.
	Jobs int
	// HostJobs bounds those from one host. Zero means 4. HostLimits are
	// exceptions: by host name, in any case of letters, or host:port for a port
	// that is not the usual one of its scheme.
	HostJobs   int
	HostLimits map[string]int

	// Stall cuts a transfer that delivers no byte for so long. Zero means a
	// minute, negative never.
	Stall time.Duration
	// MinRate, in bytes a second, cuts a transfer that is slower over RateWindow.
	// Zero means 256, negative never; a zero RateWindow means Stall.
	// The rate that is asked of a transfer grows by as much with each ten minutes
	// of its age, and one that has not 64 times as much (16 KiB) keeps no place
	// of Jobs from others.
	MinRate    int64
	RateWindow time.Duration
	// ConnectTimeout bounds the connection and, again, the TLS handshake;
	// HeaderTimeout the time from the request to the answer, which some servers
	// need to pack the file. Zero means 30 s, and a minute.
	ConnectTimeout time.Duration
	HeaderTimeout  time.Duration
	// MaxTime bounds a Run. What is left then is ended at once with errors of
	// class interrupted; a .part stays. Zero means no bound.
	MaxTime time.Duration

	// Retries is how often a source is asked again after transient trouble.
	// Zero means 3, negative never. RetryWait is the pause before the first
	// (zero means half a second); it doubles up to MaxRetryWait (zero means 30 s).
	Retries      int
	RetryWait    time.Duration
	MaxRetryWait time.Duration
	// MaxRetryAfter is the longest Retry-After that a lane waits for. A server
	// that asks for more is not asked for that file again, and soon for no
	// other. Zero means two minutes.
	MaxRetryAfter time.Duration
	// Tries is emirrordist's --tries: how many of the URLs behind mirror://
	// are asked; plain URIs always are. Zero means 10.
	Tries int
	// PreferPrimary asks plain URIs before mirrors.
	PreferPrimary bool
	// Seed varies the order in which the mirrors of a group are asked. That
	// order also differs from name to name, and is the same in every run.
	Seed uint64

	// UserAgent is the product token; empty means "distkeep". Contact, a URL or
	// mail address, is put behind it: several hosts refuse anonymous clients.
	UserAgent string
	Contact   string
	// UserAgents are whole User-Agent headers for hosts that refuse ours.
	UserAgents map[string]string

	// Schemes are those allowed in URIs and redirects; nil means http, https,
	// ftp and rsync. Ports are allowed beside 80, 443, 21 and 873.
	Schemes []string
	Ports   []int
	// AllowPrivate lets URIs lead to loopback, link-local and private
	// addresses.
	AllowPrivate bool
	// AllowNets are networks that URIs may lead to although they are not
	// public.
	AllowNets []netip.Prefix
	// TLSSkipVerifyHosts are hosts whose certificates are not verified.
	TLSSkipVerifyHosts []string
	// TLSMin is the least version of TLS, as in crypto/tls. Zero means that
	// whatever an old server speaks is used where the tree has a strong digest,
	// after all that is better has failed; from TLS 1.2 on no old cipher suite is
	// used either.
	TLSMin uint16
	// NoDowngrade refuses redirects from https to anything else. They are
	// followed otherwise, where the tree has a strong digest.
	NoDowngrade bool
	// RootCAs are the certificate authorities to trust; nil means the system's.
	RootCAs *x509.CertPool
	// Proxy names the proxy of a request, as in http.Transport. Nil means none.
	// ftp and rsync connect directly.
	Proxy func(*http.Request) (*url.URL, error)
	// Resolver resolves host names; nil means the system's.
	Resolver *net.Resolver
	// Netrc is the path of a netrc file; empty means none. Its default entry is
	// ignored: URIs are untrusted, and it would send a password to any host.
	Netrc string

	// Rate and HostRate, in bytes a second, bound all transfers together and
	// those from one host. Zero means no bound.
	Rate, HostRate int64
	// MaxSize bounds a file whose size the tree does not tell. Zero means
	// 32 GiB.
	MaxSize int64

	// Fallbacks are base URLs of other archives, asked when all sources have
	// failed; rsync cannot ask them. FallbackPaths returns the slash-separated
	// paths, below the base, at which such an archive keeps name according to
	// its layout.conf; conf is empty when it has none. Nil means the name
	// itself. Archives are also asked by content, under by_cipher/sha256.
	Fallbacks     []string
	FallbackPaths func(conf []byte, r *Request) []string

	// Quarantine keeps wrong bytes for inspection.
	Quarantine Quarantine
	// RsyncProgram is the rsync to run; empty means "rsync", found by PATH.
	RsyncProgram string

	// Room is asked whether need more bytes may be written to the file system of
	// path: before all transfers and each of them, and again as one of unknown
	// size grows. need includes what the others will write; by rsync a file is
	// written twice. An error makes a failure of class disk. It is that of the file
	// alone, and wraps ErrRoom, while need may be zero; otherwise no transfer is
	// started after it. Of many files that do not fit together the smallest are
	// fetched.
	Room func(path string, need int64) error
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Events are told what happens.
	Events Events
}

// Events are called as a run proceeds, from several goroutines at once. They
// must return quickly and not call the Fetcher. Nil fields are ignored. URLs are
// without credentials.
type Events struct {
	// Start is called when the bytes of a transfer begin to come. size is that
	// of the whole file, or -1.
	Start func(name catalog.Name, url string, offset, size int64)
	// Bytes is called for every piece received.
	Bytes func(name catalog.Name, n int)
	// Grown is called when the file at a part has have bytes, which are those of
	// one file of the source as far as is known, and with 0 when it is begun
	// anew: what was there before was wrong, or could not be continued. It is
	// called again for whoever joins by Fetch.
	Grown func(part string, have int64)
	// Attempt is called at the end of each try.
	Attempt func(name catalog.Name, a Attempt)
	// HostBusy is called when a host is not asked before until, or, when until
	// is zero, not any more.
	HostBusy func(host string, until time.Time, why error)
}

func (e *Events) start(name catalog.Name, url string, offset, size int64) {
	if e.Start != nil {
		e.Start(name, url, offset, size)
	}
}

func (e *Events) bytes(name catalog.Name, n int) {
	if e.Bytes != nil {
		e.Bytes(name, n)
	}
}

func (e *Events) grown(part string, have int64) {
	if e.Grown != nil {
		e.Grown(part, have)
	}
}

func (e *Events) attempt(name catalog.Name, a Attempt) {
	if e.Attempt != nil {
		e.Attempt(name, a)
	}
}

func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// withDefaults returns a copy of o with unset fields filled in.
func (o Options) withDefaults() Options {
	if o.Jobs < 1 {
		o.Jobs = 16
	}
	// Four hosts serve 93 % of the URIs of a real tree, so this number, not
	// Jobs, decides how polite we are.
	or(&o.HostJobs, 4)
	limits := make(map[string]int, len(o.HostLimits))
	for host, n := range o.HostLimits {
		limits[laneOption(host)] = n
	}
	o.HostLimits = limits
	agents := make(map[string]string, len(o.UserAgents))
	for host, text := range o.UserAgents {
		agents[oneSpelling(host)] = text
	}
	o.UserAgents = agents
	skip := make([]string, len(o.TLSSkipVerifyHosts))
	for i, host := range o.TLSSkipVerifyHosts {
		skip[i] = oneSpelling(host)
	}
	o.TLSSkipVerifyHosts = skip
	or(&o.Stall, time.Minute)
	or(&o.MinRate, 256)
	if o.RateWindow == 0 {
		o.RateWindow = time.Minute
		if o.Stall > 0 {
			o.RateWindow = o.Stall
		}
	}
	or(&o.ConnectTimeout, 30*time.Second)
	or(&o.HeaderTimeout, time.Minute)
	or(&o.Retries, 3)
	or(&o.RetryWait, time.Second/2)
	or(&o.MaxRetryWait, 30*time.Second)
	or(&o.MaxRetryAfter, 2*time.Minute)
	or(&o.Tries, 10)
	or(&o.UserAgent, "distkeep")
	if o.Schemes == nil {
		o.Schemes = schemeNames(false)
	}
	or(&o.MaxSize, 32<<30)
	or(&o.RsyncProgram, "rsync")
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// userAgent is the value of the User-Agent header (RFC 9110, section 10.1.5).
func (o *Options) userAgent(host string) string {
	if text, ok := o.UserAgents[oneSpelling(host)]; ok {
		return text
	}
	if o.Contact == "" {
		return o.UserAgent
	}
	return o.UserAgent + " (+" + o.Contact + ")"
}
