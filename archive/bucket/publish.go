package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"distkeep/catalog/digest"
)

// A Publishing is how readers get contents by their names from the storage itself.
type Publishing string

const (
	// PublishNone is that they do not: distkeep serve answers them.
	PublishNone Publishing = "none"
	// PublishCopies has a copy at each path, made by the server.
	PublishCopies Publishing = "copies"
	// PublishRedirects has an empty object at each path, which servers that host web
	// sites answer with where the content is.
	PublishRedirects Publishing = "redirects"
)

// Publishings are all of them.
var Publishings = []Publishing{PublishNone, PublishCopies, PublishRedirects}

// publishDoc is the document that has the choice.
const publishDoc = "publish"

// Publishing returns how the archive is published, as SetPublishing has left it.
func (b *Bucket) Publishing(ctx context.Context) (Publishing, error) {
	data, _, err := b.getBytes(ctx, b.doc(publishDoc), 1<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return PublishNone, nil
	} else if err != nil {
		return "", err
	}
	p := Publishing(strings.TrimSpace(string(data)))
	if !slices.Contains(Publishings, p) {
		return "", fmt.Errorf("%s says %.40q, which this program does not know", b.URLOfDoc(publishDoc), p)
	}
	return p, nil
}

// SetPublishing chooses how the archive is published. Its error wraps ErrUnfit where the
// server cannot do that.
func (b *Bucket) SetPublishing(ctx context.Context, p Publishing) error {
	was, err := b.Publishing(ctx)
	if err == nil && was == p {
		return nil
	}
	if err := b.ProbePublishing(ctx, p); err != nil {
		return err
	}
	_, err = b.putBytes(ctx, b.doc(publishDoc), []byte(p+"\n"), condition{})
	return err
}

// ProbePublishing asks a server whether it can publish in a way. Its error wraps ErrUnfit
// where it cannot.
func (b *Bucket) ProbePublishing(ctx context.Context, p Publishing) error {
	if p != PublishRedirects {
		return nil
	}
	return b.probe(ctx, question{"where an object leads to, x-amz-website-redirect-location, is kept", (*probe).redirects})
}

func (p *probe) redirects(ctx context.Context) error {
	key, to := p.dir+"redirects", "/somewhere/else%201"
	if _, err := p.b.redirect(ctx, key, to); err != nil {
		return err
	}
	out, err := p.b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.b.o.Bucket, Key: &key})
	if err != nil {
		return p.b.fail("look at", key, err)
	}
	if got := aws.ToString(out.WebsiteRedirectLocation); got != to {
		return unfitError(fmt.Sprintf("it says %q", got))
	}
	return nil
}

// redirect writes an empty object that leads to another key, a path of a URL.
func (b *Bucket) redirect(ctx context.Context, key, to string) (etag string, err error) {
	none := digest.SHA256.Sum(nil)
	out, err := b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.o.Bucket, Key: &key, Body: bytes.NewReader(nil), ContentLength: aws.Int64(0), ChecksumSHA256: aws.String(none.Base64()),
		ContentType: aws.String(bytesType), WebsiteRedirectLocation: &to,
	}, signed(none.Hex()))
	if err != nil {
		return "", b.fail("put", key, err)
	}
	return aws.ToString(out.ETag), nil
}

// Expose makes a content of which readers know the path rel come from there, as how
// says, in place of what was there. It returns the ETag of what is there now.
func (b *Bucket) Expose(ctx context.Context, rel string, sum digest.Digest, size int64, how Publishing) (etag string, err error) {
	if how == PublishRedirects {
		return b.redirect(ctx, b.exposed(rel), (&url.URL{Path: "/" + b.blob(sum)}).EscapedPath())
	}
	return b.copy(ctx, &Object{Key: b.blob(sum), Size: size}, b.exposed(rel))
}

// ExposeFile writes a small file to the path rel of readers.
func (b *Bucket) ExposeFile(ctx context.Context, rel string, body io.ReadSeeker, size int64, sum digest.Digest) (etag string, err error) {
	return b.put(ctx, b.exposed(rel), body, size, sum, condition{}, nil)
}

// Withdraw removes what is at the path rel of readers.
func (b *Bucket) Withdraw(ctx context.Context, rel string) error {
	return b.remove(ctx, b.exposed(rel), "")
}

// WithdrawAside moves what somebody else has put at the path rel of readers to where a
// person can look at it.
func (b *Bucket) WithdrawAside(ctx context.Context, rel string) error {
	o, err := b.head(ctx, b.exposed(rel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if _, err := b.copy(ctx, o, b.prefix+asides+public+rel+"/"+stamp(o)); err != nil {
		return err
	}
	return b.remove(ctx, o.Key, o.ETag)
}

// Exposed calls f with everything that readers find whose path begins with below, by one
// listing.
func (b *Bucket) Exposed(ctx context.Context, below string, f func(rel, etag string) error) error {
	return b.list(ctx, b.exposed(below), func(o *Object) error {
		return f(strings.TrimPrefix(o.Key, b.exposed("")), o.ETag)
	})
}

// OpenExposed reads what readers find at the path rel.
func (b *Bucket) OpenExposed(ctx context.Context, rel string) (io.ReadCloser, error) {
	r, _, err := b.get(ctx, b.exposed(rel), 0, -1)
	return r, err
}

// exposed is the key of the path rel of readers.
func (b *Bucket) exposed(rel string) string { return b.prefix + public + "distfiles/" + rel }

// URLOfExposed is where a path of readers is, for people.
func (b *Bucket) URLOfExposed(rel string) string { return Scheme + b.o.Bucket + "/" + b.exposed(rel) }
