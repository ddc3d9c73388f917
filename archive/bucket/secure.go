package bucket

import (
	"bytes"
	"context"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"

	"distkeep/catalog/digest"
)

// Whoever has lost the lease asks for it before every request, but may come to a halt
// after that, with a DELETE on its way. It is on the condition that the object has the ETag
// that it had, which the same bytes have again when they are written again. So whoever has
// taken a lease over gives another ETag to each content that is wanted and was there
// already: one that was written in parts has one that is not the digest of its bytes.

// inMemory is what is read for that where it cannot be written in more than one part.
const inMemory = 10 << 20

// secure makes the DELETE fail of a holder before who has come to a halt. Of servers to
// which parts are nothing, and of empty contents, it cannot.
func (b *Bucket) secure(ctx context.Context, sum digest.Digest) error {
	if l := b.lease.Load(); l == nil || !l.Taken {
		return nil
	}
	o, err := b.head(ctx, b.blob(sum))
	if err != nil || o.Size == 0 {
		return err
	}
	source := aws.String((&url.URL{Path: b.o.Bucket + "/" + o.Key}).EscapedPath())
	etag, err := b.copyParts(ctx, source, o, o.Key, b.o.Part)
	switch {
	case err != nil || etag != o.ETag:
		return err
	case o.Size > inMemory:
		_, err = b.copyParts(ctx, source, o, o.Key, min(b.o.Part, o.Size)/2+1)
		return err
	}
	data, _, err := b.getBytes(ctx, o.Key, inMemory)
	if err == nil {
		_, err = b.put(ctx, o.Key, bytes.NewReader(data), o.Size, sum, condition{etag: o.ETag}, nameOf(o.Name))
	}
	return err
}
