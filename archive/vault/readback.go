package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// ErrWrong means that the bytes of a file are not those of its record.
var ErrWrong = errors.New("wrong bytes")

// A Returning is a content in recycle that was read.
type Returning struct {
	*ledger.Recycled
	// Entry is its record, with the digests that the layouts ask for: those may be
	// newer than the record.
	Entry ledger.Distfile
	// File is its file in recycle, when it is right.
	File store.Source
	// Err is why it is not. It wraps ErrWrong when the bytes are not those of the
	// record.
	Err error
}

// Addition is what publishes it again.
func (r *Returning) Addition(now time.Time) Addition {
	a := Addition{Entry: r.Entry, Have: r.File, New: true}
	a.Entry.Origin, a.Entry.Added, a.Entry.Verified = ledger.OriginRecycle, now, now
	return a
}

// Additions are what publishes contents again. The first of a name gets it, unless
// the archive has another content of that name.
func (c *Recycle) Additions(back []*Returning) []*Addition {
	adds := make([]*Addition, len(back))
	taken := make(map[catalog.Name]bool)
	for i, r := range back {
		a := r.Addition(c.v.Now)
		a.Entry.Named = !taken[r.Name] && c.v.Index.Named(r.Name) == nil
		taken[r.Name] = taken[r.Name] || a.Entry.Named
		adds[i] = &a
	}
	return adds
}

// Read reads the file of r in recycle. It may be called concurrently.
func (c *Recycle) Read(ctx context.Context, r *ledger.Recycled) *Returning {
	back := &Returning{Recycled: r, Entry: r.Distfile}
	path := c.Path(r)
	sums, size, file, err := c.v.depot.Read(ctx, &r.Content, c.v.Shelf.Layouts.Algorithms()...)
	wrong := func(format string, args ...any) error { return wrongError{fmt.Sprintf(format, args...)} }
	switch sum := sums.Get(digest.SHA256); {
	case ctx.Err() != nil:
		back.Err = context.Cause(ctx)
	case err != nil:
		back.Err = err
	case size != r.Size:
		back.Err = wrong("%s has %d bytes, want %d", path, size, r.Size)
	case sum != r.SHA256():
		back.Err = wrong("%s has SHA256 %s, want %s", path, sum.Hex(), r.SHA256().Hex())
	default:
		back.Entry.Digests = r.Digests.Union(sums)
		back.File = file
	}
	return back
}

type wrongError struct{ msg string }

func (w wrongError) Error() string   { return w.msg }
func (w wrongError) Is(e error) bool { return e == ErrWrong }

// ReadBack reads contents in recycle, several at once: what has been there for
// weeks is not published unread. Wrong files go to quarantine, and their records
// with them: then Err wraps ErrWrong, or fs.ErrNotExist. With any other Err nothing
// is known.
func (c *Recycle) ReadBack(ctx context.Context, rs []*ledger.Recycled) ([]*Returning, error) {
	if len(rs) == 0 {
		return nil, nil
	}
	var total layout.Count
	for _, r := range rs {
		total.Add(r.Size)
	}
	c.v.Events.Phase("read", total.Files, total.Bytes)
	back := make([]*Returning, len(rs))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, r := range rs {
		g.Go(func() error {
			back[i] = c.Read(ctx, r)
			c.v.Events.Read(int(r.Size))
			return nil
		})
	}
	_ = g.Wait() // errors are noted with the files
	var b ledger.Batch
	for _, r := range back {
		switch {
		case r.Err == nil:
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case store.Broken(r.Err):
			return nil, r.Err
		case errors.Is(r.Err, ErrWrong) || errors.Is(r.Err, fs.ErrNotExist):
			c.v.Warn("%v: it is not published", r.Err)
			if err := c.Drop(&b, r.Recycled, "damaged."); errors.Is(err, store.ErrStuck) {
				c.v.Warn("%v", err)
				r.Err = err
			} else if err != nil {
				return nil, err
			}
		}
	}
	return back, c.v.Commit(&b)
}

// Reread reads the file of d at rel, a path of the published tree, or asks who keeps it.
// Its error wraps store.ErrDamaged when the bytes are not those of d.
func (v *Vault) Reread(ctx context.Context, d *ledger.Distfile, rel string) error {
	if v.Remote != nil {
		wrong, err := v.Remote.Check(ctx, d.SHA256(), d.Size, nil)
		if err == nil && wrong != "" {
			err = fmt.Errorf("%s: %w: %s", v.Remote, store.ErrDamaged, wrong)
		}
		return err
	}
	path := v.Store.Path(rel)
	sums, _, err := v.Store.Hash(ctx, path)
	if err == nil && sums.Get(digest.SHA256) != d.SHA256() {
		err = fmt.Errorf("%s: %w", path, store.ErrDamaged)
	}
	return err
}
