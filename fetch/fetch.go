// Package fetch obtains distfiles from untrusted upstreams: it asks every
// source that a tree names, politely and in parallel, continues what an earlier
// run left half done, and hands over only files whose size and digests are
// those that were wanted.
//
// A [Fetcher] has one queue ("lane") for each host, so that neither a slow, a
// dead nor a throttling host delays another. It never logs: what happens is
// told through [Events] and in the [Result] of each [Request].
package fetch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A Request wants one content.
type Request struct {
	Name catalog.Name
	// Size is the length in bytes, or -1 where it is not known.
	Size int64
	// Digests are what the content must have: every one that can be computed
	// must match, and at least one must be computable.
	Digests digest.Set
	// Compute names further digests to compute in the same pass. SHA256 always
	// is.
	Compute []digest.Algorithm
	// Sources are as the tree names them. They are expanded and put into
	// emirrordist's order here.
	Sources []catalog.Source
	// Package is the package that wants the file. What all files of one package
	// may cost is bounded; empty is no package.
	Package string
	// Part is the path of the .part file. Its directory exists, and the name
	// is unique for the name and the wanted digests: a .part never belongs to
	// another content.
	Part string
}

// Requests are those of a Run: At makes each of them when its turn has come, from several
// goroutines at once, and makes the same each time. What was not made takes no memory.
type Requests struct {
	Len int
	At  func(i int) *Request
}

// Made are requests that there are.
func Made(rs ...*Request) Requests {
	return Requests{len(rs), func(i int) *Request { return rs[i] }}
}

// A Result is what became of a Request.
type Result struct {
	// Request is Index of those of its Run.
	Request *Request
	Index   int
	// Err is nil, or an error that has an *Error in its chain. When it is nil
	// the file at Request.Part is complete and verified, but not yet synced,
	// and belongs to the caller. Otherwise a usable short .part stays for the
	// next run.
	Err error
	// Digests are all that were computed, when Err is nil.
	Digests digest.Set
	// Size is the length of the file, when Err is nil.
	Size int64
	// URL is where the last bytes came from, Final the same after redirects:
	// both without credentials, and empty when an earlier .part was complete.
	URL, Final string
	// Lowered is what was given up to get the file, as in HostStats.
	Lowered string
	// Received counts the bytes that came over the network in this run, those
	// of failed attempts included; Resumed those taken over from an earlier
	// run's .part.
	Received, Resumed int64
	// Attempts are the tries in order, the successful one included. Of very many
	// some in the middle are omitted.
	Attempts []Attempt
	Omitted  int
}

// An Attempt is one try at one URL.
type Attempt struct {
	// URL is without credentials; Host is the lane.
	URL, Host string
	// Fallback tells that another archive was asked.
	Fallback bool
	// Class and Err are empty for the attempt that succeeded.
	Class failure.Class
	Err   error
	// Offset is where the transfer began, Received what came.
	Offset, Received int64
	Took             time.Duration

	source int // which of the job's sources
}

// HostStats are the figures of one lane since New.
type HostStats struct {
	Host string
	// Files were completed from the host.
	Files int
	// Bytes were received, in failed attempts too.
	Bytes int64
	// Requests were sent; a request that a dead host spared is not counted.
	Requests int
	// Peak is the largest number of transfers at one time, Connections that
	// of open connections.
	Peak        int
	Connections int
	// Answered tells that the host has answered in this run, if only that it
	// has not got a file.
	Answered bool
	// Declined are requests that a host in good health has answered, but not
	// with the file. Failures are attempts that failed for trouble with the
	// host; Spared are those that were not even
	// made, because the host was known to be dead.
	Declined int
	Failures int
	Spared   int
	// Limit is the number of transfers that the host is trusted with now, Max
	// the most that it may ever be.
	Limit int
	Max   int
	// Spent is the time that failed attempts took in all.
	Spent time.Duration
	// Dead says why the host is not asked any more, and DeadClass what kind
	// of trouble that is; empty when it is.
	Dead      string
	DeadClass failure.Class
	// SkipVerify tells that certificates of the host are not verified.
	SkipVerify bool
	// Lowered is what was given up to get files from the host, such as modern
	// TLS; the digests have proved the files all the same.
	Lowered string
}

// A Fetcher fetches. It keeps connections and what it has learnt about hosts
// from one Run to the next.
type Fetcher struct {
	o          Options
	transports map[string]transport
	http       *httpTransport
	guard      *guard
	quarantine *quarantine
	fallbacks  []*fallback
	limiter    limiter
	question   string // see Asked
	// claimed are the bytes that the jobs still need.
	claimed atomic.Int64
	// waited is the time that Get has lost.
	waited atomic.Int64

	mu    sync.Mutex // guards hosts and lanes and all that is in them
	sched *scheduler // nil when nothing is asked for
	hosts map[string]*host
	lanes map[doorID]*lane
}

// New returns a Fetcher. Its error names the option that cannot be.
func New(o Options) (*Fetcher, error) {
	o = o.withDefaults()
	f := &Fetcher{o: o, hosts: make(map[string]*host), lanes: make(map[doorID]*lane), limiter: newLimiter(o.Rate)}
	creds, err := loadNetrc(o.Netrc)
	if err != nil {
		return nil, err
	}
	f.guard = newGuard(&f.o)
	f.http = newHTTPTransport(&f.o, f.guard, creds, f.countConn)
	f.transports = map[string]transport{
		"http":  f.http,
		"https": f.http,
		"ftp":   &ftpTransport{o: &f.o, guard: f.guard, creds: creds, count: f.countConn},
		"rsync": newRsyncTransport(&f.o, f.guard, creds),
		"file":  fileTransport{},
	}
	for _, s := range o.Schemes {
		if f.transports[s] == nil {
			return nil, fmt.Errorf("scheme %q is not known: use one of %s", s, strings.Join(schemeNames(true), ", "))
		}
	}
	for _, base := range o.Fallbacks {
		fb, err := f.newFallback(base)
		if err != nil {
			return nil, err
		}
		f.fallbacks = append(f.fallbacks, fb)
	}
	f.question = f.o.question()
	f.quarantine = newQuarantine(o.Quarantine, o.Now)
	return f, nil
}

// Run fetches reqs and calls done once for each, from several goroutines at
// once, as soon as each has ended. It returns when all have. When ctx ends, the
// rest ends at once with errors that wrap its cause, and Run returns that
// cause.
//
// done may block for a while: that holds transfers back, but no host's slot.
//
// Run and Fetch may be called while others are under way. Lanes, and what is known of
// hosts, are theirs together, and what several ask for with one Part is one transfer,
// by the first request: all get its result, with the digests that it has computed.
func (f *Fetcher) Run(ctx context.Context, reqs Requests, done func(Result)) error {
	f.call(&call{ctx: ctx, reqs: reqs, done: done})
	return context.Cause(ctx)
}

// Fetch fetches r for somebody who waits for its first bytes: before whatever else
// waits for the same hosts, and not counted among Options.Jobs. The bytes are in the
// .part as soon as they have come, see Events.Grown, unless the file is so small that it
// is verified before it is written.
func (f *Fetcher) Fetch(ctx context.Context, r *Request) (res Result) {
	f.call(&call{ctx: ctx, reqs: Made(r), urgent: true, done: func(x Result) { res = x }})
	return res
}

// Hosts returns the figures of all hosts that were asked, the busiest first.
func (f *Fetcher) Hosts() []HostStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]HostStats, 0, len(f.hosts))
	for _, h := range f.hosts {
		out = append(out, h.snapshot())
	}
	slices.SortFunc(out, func(a, b HostStats) int {
		if a.Bytes != b.Bytes {
			return int(max(-1, min(1, b.Bytes-a.Bytes)))
		}
		return strings.Compare(a.Host, b.Host)
	})
	return out
}

// Close closes all idle connections. The Fetcher must not be running.
func (f *Fetcher) Close() error {
	f.quarantine.tidy()
	f.http.close()
	return nil
}

// countConn notes that n connections were opened (1) or closed (-1) to a host.
func (f *Fetcher) countConn(name string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.host(name)
	h.conns += n
	h.stats.Connections = max(h.stats.Connections, h.conns)
}
