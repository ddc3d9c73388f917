package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// copy makes the server copy o, if that is still what it was, to another key, and
// returns the ETag of the copy. What is too large for one request is copied in parts.
func (b *Bucket) copy(ctx context.Context, o *Object, key string) (etag string, err error) {
	source := aws.String((&url.URL{Path: b.o.Bucket + "/" + o.Key}).EscapedPath())
	if o.Size > b.o.Single {
		return b.copyParts(ctx, source, o, key, b.o.Part)
	}
	out, err := b.client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: &b.o.Bucket, Key: &key, CopySource: source, CopySourceIfMatch: optional(o.ETag),
		// What is said of a content for ever is not true of a name.
		MetadataDirective: types.MetadataDirectiveReplace, ContentType: aws.String(bytesType), Metadata: nameOf(o.Name),
	})
	if err != nil {
		return "", b.fail("copy", o.Key, err)
	}
	return aws.ToString(out.CopyObjectResult.ETag), nil
}

func (b *Bucket) copyParts(ctx context.Context, source *string, o *Object, key string, part int64) (etag string, err error) {
	up, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.o.Bucket, Key: &key, ContentType: aws.String(bytesType), Metadata: nameOf(o.Name),
	})
	if err != nil {
		return "", b.fail("begin", key, err)
	}
	defer func() { err = b.abort(ctx, key, up.UploadId, err) }()
	var parts []types.CompletedPart
	for off := int64(0); off < o.Size; off += part {
		number := aws.Int32(int32(len(parts) + 1))
		out, err := b.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: &b.o.Bucket, Key: &key, UploadId: up.UploadId, PartNumber: number, CopySource: source, CopySourceIfMatch: optional(o.ETag),
			CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", off, min(off+part, o.Size)-1)),
		})
		if err != nil {
			return "", b.fail("copy a part of", o.Key, err)
		}
		parts = append(parts, types.CompletedPart{ETag: out.CopyPartResult.ETag, PartNumber: number})
	}
	_, err = b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &b.o.Bucket, Key: &key, UploadId: up.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		return "", b.fail("complete", key, err)
	}
	is, err := b.head(ctx, key) // the ETag of the answer some servers never tell again
	if err != nil {
		return "", err
	}
	return is.ETag, nil
}

// abort ends an upload in parts that has come to err, if that is an error: what is left
// of it costs money, and ctx may have ended.
func (b *Bucket) abort(ctx context.Context, key string, id *string, err error) error {
	if err == nil {
		return nil
	}
	_, aerr := b.client.AbortMultipartUpload(context.WithValue(context.WithoutCancel(ctx), unfenced{}, true), &s3.AbortMultipartUploadInput{Bucket: &b.o.Bucket, Key: &key, UploadId: id})
	if aerr = b.fail("abort", key, aerr); aerr != nil && !errors.Is(aerr, fs.ErrNotExist) {
		err = errors.Join(err, aerr)
	}
	return err
}
