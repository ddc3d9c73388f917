package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// ErrWrong means that the bytes of a file are not those of its record.
var ErrWrong = errors.New("wrong bytes")

// A Returning content is in recycle and was read.
type Returning struct {
	*ledger.Recycled
	// File is its file in recycle, when it is right.
	File store.Source
	// Err is why it is not. When it wraps ErrWrong or fs.ErrNotExist, the
	// record is gone; otherwise nothing is known.
	Err error
}

// ReadRecycled reads the file of r in recycle, and adds to r the digests that the
// layouts ask for: they may be newer than the record. Its error wraps ErrWrong
// when the bytes are not those of r. It may be called concurrently for several.
func (v *Vault) ReadRecycled(ctx context.Context, r *ledger.Recycled) (store.Source, error) {
	path := v.RecyclePath(r)
	sums, fi, err := store.Hash(ctx, path, v.Shelf.Layouts.Algorithms()...)
	wrong := func(format string, args ...any) error { return wrongError{fmt.Sprintf(format, args...)} }
	switch {
	case ctx.Err() != nil:
		return store.Source{}, context.Cause(ctx)
	case err != nil:
		return store.Source{}, err
	case fi.Size() != r.Size:
		return store.Source{}, wrong("%s has %d bytes, want %d", path, fi.Size(), r.Size)
	}
	if sum := sums.Get(digest.SHA256); sum != r.SHA256() {
		return store.Source{}, wrong("%s has SHA256 %s, want %s", path, sum.Hex(), r.SHA256().Hex())
	}
	r.Digests = r.Digests.Union(sums)
	return store.Source{Path: path, Was: fi, Read: true}, nil
}

type wrongError struct{ msg string }

func (w wrongError) Error() string   { return w.msg }
func (w wrongError) Is(e error) bool { return e == ErrWrong }

// ReadBack reads contents in recycle, several at once: what has been there for
// weeks is not published unread. Wrong files go to quarantine, and their records
// with them.
func (v *Vault) ReadBack(ctx context.Context, rs []*ledger.Recycled) ([]Returning, error) {
	if len(rs) == 0 {
		return nil, nil
	}
	var total layout.Count
	for _, r := range rs {
		total.Add(r.Size)
	}
	v.Events.Phase("read", total.Files, total.Bytes)
	back := make([]Returning, len(rs))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, r := range rs {
		g.Go(func() error {
			file, err := v.ReadRecycled(ctx, r)
			back[i] = Returning{r, file, err}
			v.Events.Read(int(r.Size))
			return nil
		})
	}
	_ = g.Wait() // errors are noted with the files
	var b ledger.Batch
	for i, r := range back {
		switch {
		case r.Err == nil:
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case store.Broken(r.Err):
			return nil, r.Err
		case errors.Is(r.Err, ErrWrong) || errors.Is(r.Err, fs.ErrNotExist):
			v.Warn("%v: it is not published", r.Err)
			if err := v.DropRecycled(&b, r.Recycled, "damaged."); errors.Is(err, store.ErrStuck) {
				v.Warn("%v", err)
				back[i].Err = err
			} else if err != nil {
				return nil, err
			}
		}
	}
	return back, v.Commit(&b)
}
