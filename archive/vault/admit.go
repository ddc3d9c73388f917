package vault

import (
	"context"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A Found file was deleted from the archive by another program, which has kept it
// since then.
type Found struct {
	Path  string
	Name  catalog.Name
	Owner string
	Since time.Time
}

// Admit records a content in recycle of which somebody else has the file, and puts
// it there before. It is read with the digests algs, and stays where it is. news
// is false for what is in the archive or in recycle: of the latter the earlier day
// counts. An error is about that one file, unless Broken knows it.
func (c *Recycle) Admit(ctx context.Context, f Found, algs ...digest.Algorithm) (size int64, news bool, err error) {
	sums, fi, err := c.v.Store.Hash(ctx, f.Path, algs...)
	if err != nil {
		return 0, false, err
	}
	if f.Since.After(c.v.Now) {
		f.Since = c.v.Now
	}
	r := &ledger.Recycled{Since: f.Since, Distfile: ledger.Distfile{
		Content: layout.Content{Name: f.Name, Digests: sums, Size: fi.Size(), ModTime: fi.ModTime().UTC(), Named: true},
		Owner:   f.Owner, Origin: ledger.OriginAdopted, Added: c.v.Now, Verified: c.v.Now,
	}}
	if c.v.Index.Distfiles.Get(r.Key()) != nil {
		return r.Size, false, nil
	}
	var b ledger.Batch
	if old := c.v.Index.Recycled[r.Key()]; old != nil {
		if f.Since.Before(old.Since) {
			earlier := *old
			earlier.Since = f.Since
			b.PutRecycled(&earlier)
		}
		return r.Size, false, c.v.Commit(&b)
	}
	if err := c.v.Store.Recycle.Admit(&r.Content, f.Path, fi); err != nil {
		if store.Broken(err) {
			err = Damage(err)
		}
		return 0, false, err
	}
	b.PutRecycled(r)
	return r.Size, true, c.v.Commit(&b)
}
