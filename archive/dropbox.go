package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/survey"
	"distkeep/catalog/regular"
)

// A dropBox is distfiles-local, whose files go once the archive has them.
type dropBox struct {
	*run
	expiry time.Duration
}

// expire removes from the drop box what has been in the archive for the
// expiry. The bytes are durable there: they have a record. Only the file that was
// read is removed, by its inode and as it was then, and only once the archive's
// copy was read again: neither its size nor its time tell that it is still right.
func (b *dropBox) expire(ctx context.Context) error {
	for _, f := range plan.SortedDrops(b.facts.Drops) {
		r := f.Seen(b.v.Index)
		if r == nil || r.Refused != "" || b.v.Now.Sub(r.Since) < b.expiry {
			continue
		}
		d := b.v.Index.Distfiles.Get(ledger.Key{Name: f.Name, SHA256: r.SHA256})
		if d == nil {
			continue
		}
		rel := b.v.Shelf.Sound(&d.Content)
		if rel == "" {
			continue
		}
		err := b.v.Reread(ctx, d, rel)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		} else if err != nil && store.Broken(err) {
			return err
		}
		if err != nil {
			b.fails.File(d, fmt.Errorf("%w: %s stays in distfiles-local: run distkeep verify %s", err, f.Name, f.Name))
			continue
		}
		tree, drop := survey.TreeOf(f)
		if err := b.v.Store.Take(tree, drop, r.File); errors.Is(err, regular.ErrChanged) || errors.Is(err, fs.ErrNotExist) {
			continue // it is no longer the file that was taken
		} else if err != nil {
			b.v.Warn("distfiles-local: %v", err)
			continue
		}
		b.sum.LocalExpired.Add(f.Size)
		delete(b.facts.Drops, f.Name)
	}
	return b.forget()
}

// forget drops the records of files that are no longer in the drop box.
func (b *dropBox) forget() error {
	var batch ledger.Batch
	for name := range b.v.Index.Dropped {
		if b.facts.Drops[name] == nil {
			batch.DropDropped(name)
		}
	}
	return b.v.Commit(&batch)
}
