package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// Publish implements vault.Depot: it writes the bytes of items, several at once. What
// has neither a part nor another file must be there. Its error means that the bucket
// cannot be written to, or that nobody knows whether it can.
func (b *Bucket) Publish(items, _ []*store.Item) error {
	bySum := make(map[digest.Digest][]*store.Item, len(items))
	for _, it := range items {
		bySum[it.SHA256()] = append(bySum[it.SHA256()], it)
	}
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(b.o.Jobs)
	if err := b.sweep(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for sum, its := range bySum {
		g.Go(func() error { return b.publish(ctx, sum, its) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// publish writes one content, of which its are the names.
func (b *Bucket) publish(ctx context.Context, sum digest.Digest, its []*store.Item) error {
	first := its[0]
	path := ""
	for _, it := range its {
		if it.Have.Path != "" {
			path = it.Have.Path
		} else if it.Part != "" {
			path = it.Part
		}
	}
	err := b.keep(ctx, sum, first, path)
	if refused := (*Error)(nil); errors.As(err, &refused) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrSum) {
		return err // it is no better with the others
	}
	for _, it := range its {
		if it.Err = err; err == nil && it.ModTime.IsZero() {
			it.ModTime = first.ModTime
		}
	}
	return nil
}

// keep makes the bucket have a content. path is a file that has it, or empty where the
// bucket is to have it already. The time of the file is noted in it.
func (b *Bucket) keep(ctx context.Context, sum digest.Digest, it *store.Item, path string) error {
	if path == "" {
		it.ModTime = it.Content.ModTime
		wrong, err := b.Check(ctx, sum, it.Size, nil)
		if err == nil && wrong != "" {
			err = fmt.Errorf("%s: %w: %s", b.url(sum), layout.ErrDamaged, wrong)
		}
		if err == nil {
			err = b.secure(ctx, sum)
		}
		return err
	}
	f, err := regular.OpenItself(path)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if fi.Size() != it.Size {
		return fmt.Errorf("%s: it has %d bytes, want %d", path, fi.Size(), it.Size)
	}
	it.ModTime = fi.ModTime()
	// A wrong object in its place is set aside once, and so may be what comes meanwhile.
	for range 3 {
		err = b.write(ctx, sum, it, f)
		if !errors.Is(err, ErrExists) {
			return err
		}
		wrong, cerr := b.Check(ctx, sum, it.Size, nil)
		switch {
		case errors.Is(cerr, fs.ErrNotExist):
			continue // it was removed meanwhile
		case cerr != nil:
			return cerr
		case wrong == "":
			return b.secure(ctx, sum)
		}
		if _, err := b.Aside(ctx, sum); err != nil {
			return err
		}
	}
	return err
}

// write writes the file f unless something is there.
func (b *Bucket) write(ctx context.Context, sum digest.Digest, it *store.Item, f *os.File) error {
	meta := nameOf(string(it.Name))
	fresh := condition{fresh: true}
	var err error
	if it.Size > b.o.Single {
		_, err = b.putParts(ctx, b.blob(sum), f, it.Size, sum, fresh, meta)
	} else {
		_, err = b.put(ctx, b.blob(sum), io.NewSectionReader(f, 0, it.Size), it.Size, sum, fresh, meta)
	}
	return err
}

// Keep implements vault.Depot. A content in recycle is one that no name leads to: its
// object stays where it is.
func (b *Bucket) Keep([]*layout.Content) (missing []*layout.Content, stuck map[*layout.Content]error, err error) {
	return nil, nil, nil
}

// Unpublish implements vault.Depot.
func (b *Bucket) Unpublish(*layout.Content, func(string) bool) error { return nil }

// Purge implements vault.Depot: it removes the objects of cs, several at once, unless
// others have the same bytes.
func (b *Bucket) Purge(cs []*layout.Content, others func(*layout.Content) (published, recycled []*layout.Content)) error {
	sums := make(map[digest.Digest]*layout.Content) // names may share an object
	for _, c := range cs {
		if published, recycled := others(c); len(published)+len(recycled) == 0 {
			sums[c.SHA256()] = c
		}
	}
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(b.o.Jobs)
	for sum, c := range sums {
		g.Go(func() error {
			if err := b.Remove(ctx, sum); err != nil {
				return fmt.Errorf("purge %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Remove removes a content, unless a snapshot has it, and if nobody writes it at the same
// time.
func (b *Bucket) Remove(ctx context.Context, sum digest.Digest) error {
	o, err := b.head(ctx, b.blob(sum))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if spared, err := b.spares(ctx, sum); spared || err != nil {
		return err
	}
	return b.remove(ctx, o.Key, o.ETag)
}

// Recycled implements vault.Depot: no record of a content is without its object, as
// far as is known without asking.
func (b *Bucket) Recycled(c *layout.Content) layout.File {
	return layout.File{Size: c.Size, ModTime: c.ModTime}
}

// Read implements vault.Depot. It asks the server for its SHA-256 where nothing else
// is wanted, and reads the bytes otherwise.
func (b *Bucket) Read(ctx context.Context, c *layout.Content, algs ...digest.Algorithm) (digest.Set, int64, store.Source, error) {
	lacks := false
	for _, a := range algs {
		lacks = lacks || a.Computable() && c.Digests.Get(a).IsZero()
	}
	if !lacks {
		o, err := b.head(ctx, b.blob(c.SHA256()))
		if err != nil {
			return nil, 0, store.Source{}, err
		}
		if o.Size == c.Size && o.SHA256 == c.SHA256() {
			return c.Digests, o.Size, store.Source{}, nil
		}
	}
	sums, size, err := b.hash(ctx, c.SHA256(), nil, algs...)
	return sums, size, store.Source{}, err
}

// hash reads a content and computes its digests. wait, if not nil, is called before
// every n bytes.
func (b *Bucket) hash(ctx context.Context, sum digest.Digest, wait func(ctx context.Context, n int) error, algs ...digest.Algorithm) (digest.Set, int64, error) {
	h := digest.NewHasher(algs...)
	buf := make([]byte, store.RereadBuffer)
	var etag string
	for fails := 0; ; {
		done, err := b.hashFrom(ctx, sum, h, buf, &etag, wait)
		if err == nil && done {
			return h.Sum(), h.Size(), nil
		}
		// A connection that breaks on the way is no reason to begin anew.
		if refused := (*Error)(nil); ctx.Err() != nil || errors.As(err, &refused) || fails == 5 {
			return nil, 0, err
		}
		fails++
	}
}

// hashFrom goes on with a content where h is.
func (b *Bucket) hashFrom(ctx context.Context, sum digest.Digest, h *digest.Hasher, buf []byte, etag *string, wait func(ctx context.Context, n int) error) (done bool, err error) {
	r, o, err := b.get(ctx, b.blob(sum), h.Size(), -1)
	if err != nil {
		return false, err
	}
	defer r.Close()
	if *etag == "" {
		*etag = o.ETag
	} else if *etag != o.ETag {
		return false, &Error{Op: "get", URL: b.url(sum), Err: ErrChanged}
	}
	for {
		n, err := r.Read(buf)
		if n > 0 && wait != nil {
			if werr := wait(ctx, n); werr != nil {
				return false, werr
			}
		}
		h.Write(buf[:n])
		if err == io.EOF {
			return true, nil
		} else if err != nil {
			return false, fmt.Errorf("get %s: %w", b.url(sum), err)
		}
	}
}

// Check compares what is at the key of a content with its digest and size, by what the
// server has computed where it has, and by reading it otherwise. It says what is wrong,
// or "". Its error wraps fs.ErrNotExist where nothing is there. read, if not nil, is
// called before every n bytes that are read.
func (b *Bucket) Check(ctx context.Context, sum digest.Digest, size int64, read func(ctx context.Context, n int) error) (wrong string, err error) {
	o, err := b.head(ctx, b.blob(sum))
	switch {
	case err != nil:
		return "", err
	case o.Size != size:
		return fmt.Sprintf("it has %d bytes, want %d", o.Size, size), nil
	case o.SHA256 == sum:
		return "", nil
	}
	sums, _, err := b.hash(ctx, sum, read)
	if err != nil {
		return "", err
	}
	if got := sums.Get(digest.SHA256); got != sum {
		return "its SHA256 is " + got.Hex(), nil
	}
	return "", nil
}

// SetAside implements vault.Depot.
func (b *Bucket) SetAside(c *layout.Content, _ string) error {
	_, err := b.Aside(context.Background(), c.SHA256())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Aside moves what is at the key of a content, which is not that, out of its place and
// returns where it is now.
func (b *Bucket) Aside(ctx context.Context, sum digest.Digest) (kept string, err error) {
	o, err := b.head(ctx, b.blob(sum))
	if err != nil {
		return "", err
	}
	key := b.prefix + asides + sum.Hex() + "/" + stamp(o)
	if _, err := b.copy(ctx, o, key); err != nil {
		return "", err
	}
	return Scheme + b.o.Bucket + "/" + key, b.remove(ctx, o.Key, o.ETag)
}

// stamp is when o was written, as it is in a key.
func stamp(o *Object) string { return o.Modified.UTC().Format("20060102T150405Z") }

// Open reads a content, for who serves it.
func (b *Bucket) Open(ctx context.Context, sum digest.Digest, off, n int64) (io.ReadCloser, error) {
	r, _, err := b.get(ctx, b.blob(sum), off, n)
	return r, err
}

// All calls f with every content that the bucket has, those with equal beginnings of
// their digests together, and odd with the keys below blob/ that are no content's.
func (b *Bucket) All(ctx context.Context, f func(sum digest.Digest, size int64, at time.Time) error, odd func(url string)) error {
	return b.list(ctx, b.prefix+blobs, func(o *Object) error {
		sum, ok := b.sumOf(o.Key)
		if !ok {
			odd(Scheme + b.o.Bucket + "/" + o.Key)
			return nil
		}
		return f(sum, o.Size, o.Modified)
	})
}

// NameOf returns the name that a content was written under, or "".
func (b *Bucket) NameOf(ctx context.Context, sum digest.Digest) (string, error) {
	o, err := b.head(ctx, b.blob(sum))
	if err != nil {
		return "", err
	}
	return o.Name, nil
}

// url is where a content is, for people.
func (b *Bucket) url(sum digest.Digest) string { return Scheme + b.o.Bucket + "/" + b.blob(sum) }
