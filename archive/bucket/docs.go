package bucket

import (
	"context"
	"errors"
	"io"

	"distkeep/catalog/digest"
)

// What must be true of a document that is written.
const (
	// Anything: it is written whatever is there.
	Anything = "*"
	// Nothing: there is none yet.
	Nothing = ""
)

// PutDoc writes a document of which was is Anything, Nothing, or the ETag that it must
// have, and returns its new one. Its error wraps ErrExists or ErrChanged where that is not
// so, unless what is there are the same bytes.
func (b *Bucket) PutDoc(ctx context.Context, name string, body io.ReaderAt, size int64, sum digest.Digest, was string) (etag string, err error) {
	cond := condition{etag: was}
	switch was {
	case Anything:
		cond = condition{}
	case Nothing:
		cond = condition{fresh: true}
	}
	etag, err = b.put(ctx, b.doc(name), io.NewSectionReader(body, 0, size), size, sum, cond, nil)
	if !errors.Is(err, ErrExists) && !errors.Is(err, ErrChanged) {
		return etag, err
	}
	// An answer that was lost, and the next attempt met what the first had written.
	if is, herr := b.head(ctx, b.doc(name)); herr == nil && is.SHA256 == sum {
		return is.ETag, nil
	}
	return "", err
}

// LookAtDoc asks for a document without reading it.
func (b *Bucket) LookAtDoc(ctx context.Context, name string) (*Object, error) {
	return b.head(ctx, b.doc(name))
}

// Doc reads a document.
func (b *Bucket) Doc(ctx context.Context, name string) (io.ReadCloser, *Object, error) {
	return b.get(ctx, b.doc(name), 0, -1)
}

// RemoveDoc removes a document.
func (b *Bucket) RemoveDoc(ctx context.Context, name string) error {
	return b.remove(ctx, b.doc(name), "")
}

// URLOfDoc is where a document is, for people.
func (b *Bucket) URLOfDoc(name string) string { return Scheme + b.o.Bucket + "/" + b.doc(name) }
