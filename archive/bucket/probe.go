package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
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
	{"a SHA-256 and a name that were sent are told again", (*probe).told},
	{"If-None-Match: * is obeyed at the end of an upload in parts", (*probe).parts},
	{"a part whose bytes do not have their SHA-256 is refused", (*probe).partSums},
	{"a part of an object can be read", (*probe).ranges},
	{"what is not there is said not to be", (*probe).absent},
	{"a listing goes on where the page before has ended", (*probe).pages},
	{"of several writers of a new object at one time exactly one succeeds", (*probe).race},
	{"of several that write over an object at one time exactly one succeeds", (*probe).matchRace},
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
	b.line.hurry(true)
	defer b.line.hurry(false)
	var ignored []string
	for _, q := range questions {
		err := q.ask(p, ctx)
		if unfit := (unfitError)(""); errors.As(err, &unfit) {
			ignored = append(ignored, q.what+" ("+string(unfit)+")")
		} else if err != nil && len(ignored) > 0 {
			break // it is unfit, whatever comes of the rest
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
	if err := p.b.remove(ctx, key, second); err != nil {
		return err
	}
	return p.gone(ctx, key, "what was removed is there")
}

// gone reports whether nothing is at a key.
func (p *probe) gone(ctx context.Context, key, instead string) error {
	_, err := p.b.head(ctx, key)
	return refuses(err, instead, fs.ErrNotExist)
}

// absent: whoever may not list a bucket is told by some servers that he may not read
// what is not there. An archive could not tell that from a lost one.
func (p *probe) absent(ctx context.Context) error {
	_, _, err := p.b.getBytes(ctx, p.dir+"absent", 1<<10)
	if err := refuses(err, "something was sent", fs.ErrNotExist); err != nil {
		return err
	}
	return p.gone(ctx, p.dir+"absent", "it was said to be there")
}

// pages: whatever a listing leaves out would be taken for lost.
func (p *probe) pages(ctx context.Context) error {
	want := []string{p.dir + "pages/a", p.dir + "pages/b", p.dir + "pages/c"}
	for _, key := range want {
		if _, err := p.b.putBytes(ctx, key, one, condition{}); err != nil {
			return err
		}
	}
	var got []string
	err := p.b.listBy(ctx, p.dir+"pages/", 2, func(o *Object) error {
		got = append(got, o.Key)
		return nil
	})
	if slices.Sort(got); err == nil && !slices.Equal(got, want) {
		err = unfitError(fmt.Sprintf("it had %d objects, want %d", len(got), len(want)))
	}
	return err
}

func (p *probe) sums(ctx context.Context) error {
	_, err := p.b.put(ctx, p.dir+"sums", bytes.NewReader(one), int64(len(one)), digest.SHA256.Sum(other), condition{}, nil)
	if err := refuses(err, "they were stored", ErrSum); err != nil {
		return err
	}
	return p.gone(ctx, p.dir+"sums", "they were stored all the same")
}

func (p *probe) told(ctx context.Context) error {
	key, name := p.dir+"told", "c++ %2F@v1-\u00fc.zip"
	if _, err := p.b.put(ctx, key, bytes.NewReader(one), int64(len(one)), digest.SHA256.Sum(one), condition{}, nameOf(name)); err != nil {
		return err
	}
	switch o, err := p.b.head(ctx, key); {
	case err != nil:
		return err
	case o.SHA256 != digest.SHA256.Sum(one):
		return unfitError("it says nothing of the SHA-256")
	case o.Name != name:
		return unfitError(fmt.Sprintf("it says that the name is %q", o.Name))
	}
	return nil
}

// upload begins an upload in parts, and writes one that is said to have the SHA-256 sum.
func (p *probe) upload(ctx context.Context, key string, sum digest.Digest) (id *string, part types.CompletedPart, err error) {
	up, err := p.b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &p.b.o.Bucket, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		return nil, part, p.b.fail("begin", key, err)
	}
	part = types.CompletedPart{PartNumber: aws.Int32(1), ChecksumSHA256: aws.String(sum.Base64())}
	out, err := p.b.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &p.b.o.Bucket, Key: &key, UploadId: up.UploadId, PartNumber: part.PartNumber, Body: bytes.NewReader(other), ChecksumSHA256: part.ChecksumSHA256,
	}, signed(sum.Hex()))
	if err != nil {
		return up.UploadId, part, p.b.fail("put a part of", key, err)
	}
	part.ETag = out.ETag
	return up.UploadId, part, nil
}

// abort ends an upload in parts.
func (p *probe) abort(ctx context.Context, key string, id *string) error {
	_, err := p.b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &p.b.o.Bucket, Key: &key, UploadId: id})
	return p.b.fail("abort", key, err)
}

// complete ends an upload of one part where nothing is.
func (p *probe) complete(ctx context.Context, key string, id *string, part types.CompletedPart) error {
	_, err := p.b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &p.b.o.Bucket, Key: &key, UploadId: id, IfNoneMatch: aws.String("*"),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{part}},
	})
	return condition{fresh: true}.refine(p.b.fail("complete", key, err))
}

// parts is asked with one part: the last may be small.
func (p *probe) parts(ctx context.Context) error {
	for _, there := range []bool{false, true} {
		key, want := fmt.Sprint(p.dir, "parts/", there), other
		if there {
			want = one
			if _, err := p.b.putBytes(ctx, key, one, condition{}); err != nil {
				return err
			}
		}
		id, part, err := p.upload(ctx, key, digest.SHA256.Sum(other))
		if err != nil {
			return err
		}
		if err = p.complete(ctx, key, id, part); there {
			err = refuses(err, "it was written over", ErrExists)
			if err == nil {
				err = p.abort(ctx, key, id)
			}
		}
		if err != nil {
			return err
		}
		if err := p.holds(ctx, key, want); err != nil {
			return err
		}
	}
	return nil
}

func (p *probe) partSums(ctx context.Context) error {
	key := p.dir + "part-sums"
	id, _, err := p.upload(ctx, key, digest.SHA256.Sum(one))
	if id == nil {
		return err
	}
	return errors.Join(refuses(err, "it was taken", ErrSum), p.abort(ctx, key, id))
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
	return p.racing(ctx, "race", func(string) (condition, error) { return condition{fresh: true}, nil })
}

func (p *probe) matchRace(ctx context.Context) error {
	return p.racing(ctx, "match-race", func(key string) (condition, error) {
		etag, err := p.b.putBytes(ctx, key, one, condition{})
		return condition{etag: etag}, err
	})
}

// racing lets several write an object at one time on the condition that begin returns.
func (p *probe) racing(ctx context.Context, name string, begin func(key string) (condition, error)) error {
	const writers, rounds = 8, 3
	for round := range rounds {
		key := fmt.Sprint(p.dir, name, "/", round)
		cond, err := begin(key)
		if err != nil {
			return err
		}
		errs := make(chan error, writers)
		for w := range writers {
			go func() {
				_, err := p.b.putBytes(ctx, key, fmt.Append(nil, w), cond)
				errs <- err
			}()
		}
		wins := 0
		var failed error
		for range writers {
			switch err := <-errs; {
			case err == nil:
				wins++
			case !errors.Is(err, ErrExists) && !errors.Is(err, ErrChanged):
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
