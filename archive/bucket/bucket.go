// Package bucket keeps the contents of an archive in a bucket of object storage that
// talks S3. Which contents there are, and under which names, only the ledger knows: the
// bucket has bytes by their SHA-256, and a copy of the ledger.
//
// The keys, all of them below the prefix of the archive; none is the beginning of
// another one, which servers that keep objects in files do not allow:
//
//	blob/sha256/ab/HEX   the bytes of a content
//	aside/HEX/TIME       bytes that were at the key of a content and are not that
//	doc/NAME             documents: the ledger, how the archive is published, snapshots
//	lease                who changes the archive now
//	mark                 that there is an archive, and which one it is
//	probe/...            what init asks a server with; it is removed again
//	public/distfiles/... what readers find whom the storage itself serves, see Expose
//	K-of-N/...           the K-th of N archives that are one together, in the same way
//
// The rules that callers may rely on:
//
//   - A content is written once, under the condition that nothing is at its key, with
//     its SHA-256, which the server compares. What is there already is compared before it is
//     taken for the content.
//   - Who has a lease, and may not have it any more, writes and removes nothing: each
//     attempt of a request asks.
//   - Only what is still the object that was looked at is removed, and no content that a
//     snapshot has. What is wanted again after a lease was taken over is another object.
//   - What may have failed for a while only is tried again for about two minutes, later
//     and later, and not before a server says that it may be. A server that has never
//     answered is not waited for as long, see Options.
//   - Memory does not grow with the size of a content: it is sent from its file.
//   - No error and no log has a credential.
//
// Begin reading at Bucket.Publish, and at Probe, which finds out whether a server
// keeps its word.
package bucket

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"distkeep/catalog/digest"
)

// Options say where a bucket is. Bucket and Credentials are needed.
type Options struct {
	// Bucket is its name, and Prefix what all keys of the archive begin with, without
	// a slash at its end. It may be empty.
	Bucket, Prefix string
	// Endpoint is the URL of the server. Empty means Amazon's of the Region.
	Endpoint, Region string
	Credentials      aws.CredentialsProvider
	// Proxy returns the proxy of a request. Nil means that there is none.
	Proxy func(*http.Request) (*url.URL, error)
	// Jobs is how many contents are sent at once. Zero means 16: most of them are
	// small, and the time of a request is waiting.
	Jobs int
	// Lease is how long one lasts, see Bucket.Hold. Zero means two minutes.
	Lease time.Duration
	// Cache is a directory for what is read again and again and never changes. Who keeps
	// snapshots needs it, and it is made then.
	Cache string
	// Single is the size above which a content is sent in parts of Part bytes. Zero
	// means 5 GiB, which is what S3 allows, and 512 MiB.
	Single, Part int64
	// Soon is for how long the first question is tried that the server does not answer.
	// Zero means ten seconds. After that, and when there is no answer later, Waits is
	// called, if it is not nil, once until there is one again, with what keeps it from
	// answering, and the question is tried like any other. Without Waits the first
	// question has failed. It is called as well by Hold, once, when it waits for a lease.
	Soon  time.Duration
	Waits func(why error)
}

// A Bucket is the part of a bucket that an archive has for itself. Its methods may be
// called concurrently, but for those of vault.Depot that change something.
type Bucket struct {
	o      Options
	line   *line
	client *s3.Client
	sign   *s3.PresignClient
	prefix string // with the slash
	lease  atomic.Pointer[Lease]
	swept  atomic.Bool // see sweep
	// spared are the contents of snapshots, or nil.
	spared  map[string]bool
	sparing sync.Mutex
}

// Parse reads s3://BUCKET/PREFIX.
func Parse(text string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(text, Scheme)
	if !ok {
		return "", "", fmt.Errorf("%q is not s3://BUCKET/PREFIX", text)
	}
	bucket, prefix, _ = strings.Cut(strings.TrimRight(rest, "/"), "/")
	if bucket == "" || strings.ContainsAny(bucket, "@:?# ") {
		return "", "", fmt.Errorf("%q has no name of a bucket: it is s3://BUCKET/PREFIX", text)
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" && prefix != "" || part == "." || part == ".." || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", "", fmt.Errorf("%q: the prefix is no path", text)
		}
	}
	return bucket, prefix, nil
}

// Scheme begins the URL of a bucket.
const Scheme = "s3://"

// New returns the bucket of o. It asks nobody yet.
func New(o Options) (*Bucket, error) {
	if o.Jobs == 0 {
		o.Jobs = 16
	}
	if o.Lease == 0 {
		o.Lease = leaseLasts
	}
	if o.Soon == 0 {
		o.Soon = soon
	}
	if o.Single == 0 {
		o.Single = 5 << 30
	}
	if o.Part == 0 {
		o.Part = 512 << 20
	}
	if o.Region == "" {
		if o.Endpoint == "" {
			return nil, fmt.Errorf("%s%s: its region is not known", Scheme, o.Bucket)
		}
		o.Region = "us-east-1" // what most servers that are not Amazon's sign with
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("the endpoint %q is not http://HOST or https://HOST", o.Endpoint)
		}
		if u.User != nil {
			return nil, fmt.Errorf("the endpoint of %s%s has a password in it: give credentials as the AWS tools take them", Scheme, o.Bucket)
		}
	}
	b := &Bucket{o: o, prefix: o.Prefix}
	if b.prefix != "" {
		b.prefix += "/"
	}
	b.line = newLine(&b.o)
	b.connect()
	return b, nil
}

// Jobs is how many requests are made at once.
func (b *Bucket) Jobs() int { return b.o.Jobs }

func (b *Bucket) connect() {
	b.client = newClient(&b.o, b.line, b.Held)
	b.sign = s3.NewPresignClient(b.client)
}

// String is the URL of the bucket.
func (b *Bucket) String() string {
	return strings.TrimSuffix(Scheme+b.o.Bucket+"/"+b.prefix, "/")
}

// The names of the keys. No other file spells one.
const (
	blobs    = "blob/sha256/"
	asides   = "aside/"
	docs     = "doc/"
	probes   = "probe/"
	public   = "public/"
	markName = "mark"
)

// blob is the key of a content.
func (b *Bucket) blob(sum digest.Digest) string {
	hex := sum.Hex()
	return b.prefix + blobs + hex[:2] + "/" + hex
}

// sumOf returns the content whose key it is.
func (b *Bucket) sumOf(key string) (digest.Digest, bool) {
	rest, ok := strings.CutPrefix(key, b.prefix+blobs)
	dir, hex, found := strings.Cut(rest, "/")
	sum, err := digest.Parse(digest.SHA256, hex)
	return sum, ok && found && err == nil && hex[:2] == dir && sum.Hex() == hex
}

// doc is the key of a document.
func (b *Bucket) doc(name string) string { return b.prefix + docs + name }

// Asides is where what was set aside is of the archive at a URL that Parse takes.
func Asides(url string) string { return url + "/" + asides }
