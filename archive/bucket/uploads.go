package bucket

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// sweep aborts the uploads in parts that processes have left which were killed: nobody
// sees them, and they cost money. Who has the lease has begun none before it has written
// anything. It asks once, for a thousand at most; the rest is for another run.
func (b *Bucket) sweep(ctx context.Context) error {
	if b.lease.Load() == nil || b.swept.Swap(true) {
		return nil
	}
	page, err := b.client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &b.o.Bucket, Prefix: &b.prefix})
	if err = b.fail("list the uploads of", b.prefix, err); err != nil {
		return unheard(err)
	}
	for _, up := range page.Uploads {
		key := aws.ToString(up.Key)
		rest, ok := strings.CutPrefix(key, b.prefix)
		if !ok || !slices.ContainsFunc([]string{blobs, asides, probes, public}, func(root string) bool { return strings.HasPrefix(rest, root) }) {
			continue // others may use the bucket as well
		}
		_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.o.Bucket, Key: &key, UploadId: up.UploadId})
		if err = unheard(b.fail("abort", key, err)); err != nil {
			return err
		}
	}
	return nil
}

// unheard returns err unless a server has answered so: one that does not list uploads, or
// not for this user, is fit for an archive all the same.
func unheard(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) && e.Status > 0 {
		return nil
	}
	return err
}
