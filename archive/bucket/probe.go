package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"distkeep/catalog/digest"
)

// ErrUnfit means that a server does not keep its word, so that no archive is safe
// there.
var ErrUnfit = errors.New("the server is not fit for an archive")

// A question is something that a server has to do, and what an archive would lose if
// it did not.
type question struct {
	what string
	ask  func(p *probe, ctx context.Context) error
}

// questions are asked in this order. Each writes below a key of its own.
var questions = []question{
	{"an object that was written can be read, looked at and listed at once", (*probe).wrote},
	{"If-None-Match: * of PUT is obeyed: nothing is written over", (*probe).fresh},
	{"If-Match of PUT is obeyed: of two writers one loses", (*probe).match},
	{"If-Match of DELETE is obeyed: nothing newer is removed", (*probe).deletes},
	{"bytes without their SHA-256 are refused", (*probe).sums},
	{"a SHA-256 that was sent is told again", (*probe).told},
	{"If-None-Match: * is obeyed at the end of an upload in parts", (*probe).parts},
	{"a part of an object can be read", (*probe).ranges},
	{"of several writers at one time exactly one succeeds", (*probe).race},
}

// A probe asks one server.
type probe struct {
	b   *Bucket
	dir string
}

// Probe asks a server what an archive depends on, and removes what it has written for
// that. Its error wraps ErrUnfit when the server ignores something, and names all of
// that; any other error means that it could not be asked.
func (b *Bucket) Probe(ctx context.Context) error { return b.probe(ctx, questions...) }

func (b *Bucket) probe(ctx context.Context, questions ...question) (err error) {
	p := &probe{b, b.prefix + probes + rand.Text() + "/"}
	defer func() {
		if !advised(err) {
			err = errors.Join(err, p.clean(context.WithoutCancel(ctx)))
		}
	}()
	var ignored []string
	for _, q := range questions {
		err := q.ask(p, ctx)
		if unfit := (unfitError)(""); errors.As(err, &unfit) {
			ignored = append(ignored, q.what+" ("+string(unfit)+")")
		} else if advised(err) {
			return err // whatever was asked
		} else if err != nil {
			return fmt.Errorf("asking whether %s: %w", q.what, err)
		}
	}
	if len(ignored) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w: it is not true there that\n\t%s", b, ErrUnfit, strings.Join(ignored, "\n\t"))
}

// An unfitError is what a server did instead.
type unfitError string

func (u unfitError) Error() string { return string(u) }

// clean removes what was written.
func (p *probe) clean(ctx context.Context) error {
	return p.b.list(ctx, p.dir, func(o *Object) error {
		_, err := p.b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.b.o.Bucket, Key: &o.Key})
		return p.b.fail("remove", o.Key, err)
	})
}

var one, other = []byte("one"), []byte("the other")

// holds reports whether the object at a key is data.
func (p *probe) holds(ctx context.Context, key string, data []byte) error {
	got, _, err := p.b.getBytes(ctx, key, 1<<20)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return unfitError("what is there was replaced")
	}
	return nil
}

// refuses reports whether err is one of want.
func refuses(err error, instead string, want ...error) error {
	if err == nil {
		return unfitError(instead)
	}
	for _, w := range want {
		if errors.Is(err, w) {
			return nil
		}
	}
	return err
}

func (p *probe) wrote(ctx context.Context) error {
	key := p.dir + "wrote/c++ %2F@v1.zip"
	if _, err := p.b.putBytes(ctx, key, one, condition{}); err != nil {
		return err
	}
	if err := p.holds(ctx, key, one); err != nil {
		return err
	}
	o, err := p.b.head(ctx, key)
	if err != nil {
		return err
	}
	if o.Size != int64(len(one)) || o.ETag == "" {
		return unfitError(fmt.Sprintf("it says %d bytes and the ETag %q", o.Size, o.ETag))
	}
	found := false
	err = p.b.list(ctx, p.dir+"wrote/", func(l *Object) error {
		found = found || l.Key == key && l.Size == o.Size && l.ETag == o.ETag
		return nil
	})
	if err == nil && !found {
		err = unfitError("it is not listed, or not as it is")
	}
	return err
}

func (p *probe) fresh(ctx context.Context) error {
	key := p.dir + "fresh"
	if _, err := p.b.putBytes(ctx, key, one, condition{fresh: true}); err != nil {
		return err
	}
	_, err := p.b.putBytes(ctx, key, other, condition{fresh: true})
	if err := refuses(err, "it was written over", ErrExists); err != nil {
		return err
	}
	return p.holds(ctx, key, one)
}

func (p *probe) match(ctx context.Context) error {
	key := p.dir + "match"
	first, err := p.b.putBytes(ctx, key, one, condition{})
	if err != nil {
		return err
	}
	if _, err := p.b.putBytes(ctx, key, other, condition{etag: first}); err != nil {
		return err
	}
	_, err = p.b.putBytes(ctx, key, one, condition{etag: first})
	if err := refuses(err, "a newer object was written over", ErrChanged); err != nil {
		return err
	}
	return p.holds(ctx, key, other)
}

func (p *probe) deletes(ctx context.Context) error {
	key := p.dir + "deletes"
	first, err := p.b.putBytes(ctx, key, one, condition{})
	if err != nil {
		return err
	}
	second, err := p.b.putBytes(ctx, key, other, condition{})
	if err != nil {
		return err
	}
	if err := refuses(p.b.remove(ctx, key, first), "a newer object was removed", ErrChanged); err != nil {
		return err
	}
	if err := p.holds(ctx, key, other); err != nil {
		return err
	}
	return p.b.remove(ctx, key, second)
}

func (p *probe) sums(ctx context.Context) error {
	_, err := p.b.put(ctx, p.dir+"sums", bytes.NewReader(one), int64(len(one)), digest.SHA256.Sum(other), condition{}, nil)
	return refuses(err, "they were stored", ErrSum)
}

func (p *probe) told(ctx context.Context) error {
	key := p.dir + "told"
	if _, err := p.b.putBytes(ctx, key, one, condition{}); err != nil {
		return err
	}
	o, err := p.b.head(ctx, key)
	if err == nil && o.SHA256 != digest.SHA256.Sum(one) {
		err = unfitError("it says nothing of it")
	}
	return err
}

// parts is asked with one part: the last may be small.
func (p *probe) parts(ctx context.Context) error {
	key := p.dir + "parts"
	if _, err := p.b.putBytes(ctx, key, one, condition{}); err != nil {
		return err
	}
	up, err := p.b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &p.b.o.Bucket, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		return p.b.fail("begin", key, err)
	}
	sum := digest.SHA256.Sum(other)
	part, err := p.b.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &p.b.o.Bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(other), ChecksumSHA256: aws.String(sum.Base64()),
	}, signed(sum.Hex()))
	if err != nil {
		return p.b.fail("put a part of", key, err)
	}
	_, err = p.b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &p.b.o.Bucket, Key: &key, UploadId: up.UploadId, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1), ChecksumSHA256: aws.String(sum.Base64())}}},
	})
	if err := refuses(condition{fresh: true}.refine(p.b.fail("complete", key, err)), "it was written over", ErrExists); err != nil {
		return err
	}
	_, err = p.b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &p.b.o.Bucket, Key: &key, UploadId: up.UploadId})
	if err = p.b.fail("abort", key, err); err != nil {
		return err
	}
	return p.holds(ctx, key, one)
}

func (p *probe) ranges(ctx context.Context) error {
	key := p.dir + "ranges"
	if _, err := p.b.putBytes(ctx, key, other, condition{}); err != nil {
		return err
	}
	r, _, err := p.b.get(ctx, key, 4, 3)
	if refused := (*Error)(nil); err != nil && !errors.As(err, &refused) {
		return unfitError("all of it was sent")
	} else if err != nil {
		return err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, other[4:7]) {
		err = unfitError("other bytes were sent")
	}
	return err
}

func (p *probe) race(ctx context.Context) error {
	const writers, rounds = 8, 4
	for round := range rounds {
		key := fmt.Sprintf("%srace/%d", p.dir, round)
		errs := make(chan error, writers)
		for w := range writers {
			go func() {
				_, err := p.b.putBytes(ctx, key, fmt.Append(nil, w), condition{fresh: true})
				errs <- err
			}()
		}
		wins := 0
		var failed error
		for range writers {
			switch err := <-errs; {
			case err == nil:
				wins++
			case !errors.Is(err, ErrExists):
				failed = err
			}
		}
		if failed != nil {
			return failed
		}
		if wins != 1 {
			return unfitError(fmt.Sprintf("%d did", wins))
		}
	}
	return nil
}
