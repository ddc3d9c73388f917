package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"distkeep/catalog/digest"
)

// An Object is what a server says of one.
type Object struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
	// SHA256 is what the server has computed, or zero: of what was sent in parts there
	// is none.
	SHA256 digest.Digest
	// Name is the name that a content was written under, or empty.
	Name string
}

// immutable is said of what is named by its digest.
const immutable = "public, max-age=31536000, immutable"

// bytesType is what all is: a browser runs nothing that comes out of a package.
const bytesType = "application/octet-stream"

// nameMeta is the metadata that has the name of a content: with it a ledger can be
// made of the bucket alone.
const nameMeta = "name"

// nameOf is the metadata with a name, or none.
func nameOf(name string) map[string]string {
	if name == "" {
		return nil
	}
	return map[string]string{nameMeta: url.PathEscape(name)}
}

// put writes size bytes of body, which have the SHA-256 sum.
func (b *Bucket) put(ctx context.Context, key string, body io.ReadSeeker, size int64, sum digest.Digest, cond condition, meta map[string]string) (etag string, err error) {
	ifNone, ifMatch := cond.header()
	in := &s3.PutObjectInput{
		Bucket: &b.o.Bucket, Key: &key, Body: body, ContentLength: &size, ChecksumSHA256: aws.String(sum.Base64()),
		IfNoneMatch: ifNone, IfMatch: ifMatch, ContentType: aws.String(bytesType), Metadata: meta,
	}
	if meta != nil {
		in.CacheControl = aws.String(immutable)
	}
	out, err := b.client.PutObject(ctx, in, signed(sum.Hex()))
	if err != nil {
		return "", cond.refine(b.fail("put", key, err))
	}
	return aws.ToString(out.ETag), nil
}

// putBytes is put for what is in memory.
func (b *Bucket) putBytes(ctx context.Context, key string, data []byte, cond condition) (etag string, err error) {
	return b.put(ctx, key, bytes.NewReader(data), int64(len(data)), digest.SHA256.Sum(data), cond, nil)
}

// putParts writes a file that is too large for one request, in parts. The whole of it
// must have the SHA-256 sum.
func (b *Bucket) putParts(ctx context.Context, key string, f *os.File, size int64, sum digest.Digest, cond condition, meta map[string]string) (etag string, err error) {
	up, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.o.Bucket, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256, Metadata: meta,
		ContentType: aws.String(bytesType), CacheControl: aws.String(immutable),
	})
	if err != nil {
		return "", b.fail("begin", key, err)
	}
	defer func() { err = b.abort(ctx, key, up.UploadId, err) }()
	whole := digest.NewHasher()
	var parts []types.CompletedPart
	for off := int64(0); off < size; off += b.o.Part {
		n := min(b.o.Part, size-off)
		part := digest.NewHasher()
		if _, err := io.Copy(io.MultiWriter(whole, part), io.NewSectionReader(f, off, n)); err != nil {
			return "", err
		}
		psum := part.Sum().Get(digest.SHA256)
		number := aws.Int32(int32(len(parts) + 1))
		out, err := b.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &b.o.Bucket, Key: &key, UploadId: up.UploadId, PartNumber: number, ContentLength: &n,
			Body: io.NewSectionReader(f, off, n), ChecksumSHA256: aws.String(psum.Base64()),
		}, signed(psum.Hex()))
		if err != nil {
			return "", b.fail("put a part of", key, err)
		}
		parts = append(parts, types.CompletedPart{ETag: out.ETag, PartNumber: number, ChecksumSHA256: aws.String(psum.Base64())})
	}
	if got := whole.Sum().Get(digest.SHA256); got != sum {
		return "", fmt.Errorf("%s: its SHA256 is %s, want %s", f.Name(), got.Hex(), sum.Hex())
	}
	ifNone, ifMatch := cond.header()
	out, err := b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.o.Bucket, Key: &key, UploadId: up.UploadId, IfNoneMatch: ifNone, IfMatch: ifMatch,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		err = cond.refine(b.fail("complete", key, err))
		if e := (*Error)(nil); errors.As(err, &e) && errors.Is(e.Err, fs.ErrNotExist) {
			e.Err = ErrExists // perhaps: an answer was lost, and the upload is no more
		}
		return "", err
	}
	return aws.ToString(out.ETag), nil
}

// head asks what is at a key.
func (b *Bucket) head(ctx context.Context, key string) (*Object, error) {
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.o.Bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return nil, b.fail("look at", key, err)
	}
	o := &Object{Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag), Modified: aws.ToTime(out.LastModified)}
	if out.ChecksumType != types.ChecksumTypeComposite {
		o.SHA256, _ = digest.ParseBase64(digest.SHA256, aws.ToString(out.ChecksumSHA256)) // that of parts is none
	}
	o.Name, _ = url.PathUnescape(out.Metadata[nameMeta])
	return o, nil
}

// get reads what is at a key, from off on to its end when n is negative, or n bytes.
func (b *Bucket) get(ctx context.Context, key string, off, n int64) (io.ReadCloser, *Object, error) {
	in := &s3.GetObjectInput{Bucket: &b.o.Bucket, Key: &key}
	switch {
	case n >= 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	case off > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", off))
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		return nil, nil, b.fail("get", key, err)
	}
	if in.Range != nil && out.ContentRange == nil {
		drain(out.Body)
		return nil, nil, fmt.Errorf("get %s%s/%s: the server has not understood the range", Scheme, b.o.Bucket, key)
	}
	return out.Body, &Object{Key: key, Size: aws.ToInt64(out.ContentLength), ETag: aws.ToString(out.ETag), Modified: aws.ToTime(out.LastModified)}, nil
}

// getBytes reads a small object.
func (b *Bucket) getBytes(ctx context.Context, key string, most int64) ([]byte, *Object, error) {
	r, o, err := b.get(ctx, key, 0, -1)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s%s/%s has more than %d bytes", Scheme, b.o.Bucket, key, most)
	}
	return data, o, err
}

// remove removes the object at a key if it is still the one with etag. That there is
// none any more is no error.
func (b *Bucket) remove(ctx context.Context, key, etag string) error {
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.o.Bucket, Key: &key, IfMatch: optional(etag)})
	if err = b.fail("remove", key, err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// list calls f with every object whose key begins with prefix, in the order of the
// keys, a thousand a request.
func (b *Bucket) list(ctx context.Context, prefix string, f func(*Object) error) error {
	return b.listBy(ctx, prefix, 1000, f)
}

// listBy is list with most objects a request.
func (b *Bucket) listBy(ctx context.Context, prefix string, most int32, f func(*Object) error) error {
	in := &s3.ListObjectsV2Input{Bucket: &b.o.Bucket, Prefix: &prefix, MaxKeys: &most}
	for more := true; more; {
		page, err := b.client.ListObjectsV2(ctx, in)
		if err != nil {
			return b.fail("list", prefix, err)
		}
		// Whatever is not listed would be taken for lost.
		next := aws.ToString(page.NextContinuationToken)
		if more = aws.ToBool(page.IsTruncated); more && (next == "" || next == aws.ToString(in.ContinuationToken)) {
			return fmt.Errorf("list %s%s/%s: the server says that there is more, and not where", Scheme, b.o.Bucket, prefix)
		}
		in.ContinuationToken = &next
		for _, c := range page.Contents {
			if err := f(&Object{Key: aws.ToString(c.Key), Size: aws.ToInt64(c.Size), ETag: aws.ToString(c.ETag), Modified: aws.ToTime(c.LastModified)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Presigned returns a URL by which anybody can get a content for a while.
func (b *Bucket) Presigned(ctx context.Context, sum digest.Digest, lasts time.Duration) (string, error) {
	key := b.blob(sum)
	r, err := b.sign.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: &b.o.Bucket, Key: &key}, s3.WithPresignExpires(lasts))
	if err != nil {
		return "", b.fail("sign", key, err)
	}
	return r.URL, nil
}
