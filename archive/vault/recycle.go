package vault

import (
	"errors"
	"io/fs"
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// A Recycle holds what was deleted, until it is purged or wanted again.
type Recycle struct{ v *Vault }

// Put moves contents out of the published tree: first a durable link in
// recycle, then the record, then the published links go. It returns the records
// that are gone, and those that stay because of trouble with their files: the next
// run tries again.
func (c *Recycle) Put(ds []*ledger.Distfile) (gone []*ledger.Distfile, stay []*FileError, err error) {
	cs := contents(ds)
	missing, stuck, err := c.v.depot.Keep(cs)
	if err != nil {
		return nil, nil, err
	}
	c.v.Changed = true
	var b ledger.Batch
	var moved []*ledger.Recycled
	for i, d := range ds {
		if err := stuck[cs[i]]; err != nil {
			stay = append(stay, &FileError{d, err})
			continue
		}
		gone = append(gone, d)
		b.DropDistfile(d.Key())
		b.DropDeletion(d.Key())
		what := ledger.Gone
		if !slices.Contains(missing, cs[i]) {
			what = ledger.Deleted
			r := &ledger.Recycled{Distfile: *d, Since: c.v.Now, Pending: true}
			b.PutRecycled(r)
			moved = append(moved, r)
		}
		b.PutSuccess(ledger.NewSuccess(&d.Content, d.Origin, what, c.v.Now))
	}
	if err := c.v.Commit(&b); err != nil {
		return nil, stay, err
	}
	for _, d := range gone {
		c.v.Events.Removed(OwnerPackage(d.Owner), string(d.Name))
	}
	pending, err := c.unpublish(moved)
	return gone, append(stay, pending...), err
}

// unpublish removes the published links of contents that are in recycle and
// notes that it is done. Those that it returns stay pending.
func (c *Recycle) unpublish(rs []*ledger.Recycled) (pending []*FileError, err error) {
	var b ledger.Batch
	claims := c.v.Claims()
	for _, r := range rs {
		if err := c.v.depot.Unpublish(&r.Content, claims.Keeper(&r.Distfile)); store.Broken(err) {
			return pending, err
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			pending = append(pending, &FileError{&r.Distfile, err})
			continue
		}
		done := *r
		done.Pending = false
		b.PutRecycled(&done)
		if paths, err := c.v.Shelf.Layouts.Paths(&r.Content); err == nil {
			for _, rel := range paths {
				c.v.Disk.Look(rel)
			}
		}
	}
	return pending, c.v.Commit(&b)
}

// Mend ends the moves to recycle and out of it that a process did not end because
// it was killed. What it returns is not ended yet.
func (c *Recycle) Mend() (pending []*FileError, err error) {
	var rs []*ledger.Recycled
	for k, r := range c.v.Index.Recycled {
		if r.Pending && c.v.Index.Distfiles.Get(k) == nil {
			rs = append(rs, r)
		}
	}
	if pending, err = c.unpublish(rs); err != nil {
		return pending, err
	}
	// Since then some may have come to recycle again.
	keys := slices.DeleteFunc(slices.Clone(c.v.Index.Notes.Purging), func(k ledger.Key) bool { return c.v.Index.Recycled[k] != nil })
	if len(keys) > 0 {
		return pending, c.endPurge(keys)
	}
	return pending, c.purged()
}

// End removes what is still published of a content in recycle.
func (c *Recycle) End(r *ledger.Recycled) error {
	pending, err := c.unpublish([]*ledger.Recycled{r})
	if err == nil && len(pending) > 0 {
		err = pending[0]
	}
	return err
}

// Purge removes contents from recycle for good: the record first, so that no
// record promises bytes that are gone.
func (c *Recycle) Purge(rs []*ledger.Recycled) error {
	for chunk := range slices.Chunk(rs, BatchFiles) {
		keys := make([]ledger.Key, len(chunk))
		for i, r := range chunk {
			keys[i] = r.Key()
		}
		var b ledger.Batch
		for _, r := range chunk {
			b.PutSuccess(ledger.NewSuccess(&r.Content, r.Origin, ledger.Purged, c.v.Now))
		}
		c.beginPurge(&b, keys)
		if err := c.v.Commit(&b); err != nil {
			return err
		}
		if err := c.endPurge(keys); err != nil {
			return err
		}
	}
	return nil
}

// beginPurge makes b drop the records of keys from recycle and note that their
// files are to go.
func (c *Recycle) beginPurge(b *ledger.Batch, keys []ledger.Key) {
	if len(keys) == 0 {
		return
	}
	for _, k := range keys {
		b.DropRecycled(k)
	}
	c.v.Note(b, func(n *ledger.Notes) { n.Purging = keys })
}

// endPurge removes from recycle the files that beginPurge has noted, unless other records
// need them.
func (c *Recycle) endPurge(keys []ledger.Key) error {
	if len(keys) == 0 {
		return nil
	}
	going := make([]*layout.Content, len(keys))
	for i, k := range keys {
		going[i] = &layout.Content{Name: k.Name, Digests: digest.Set{k.SHA256}}
	}
	err := c.v.depot.Purge(going, func(is *layout.Content) (published, recycled []*layout.Content) {
		for _, r := range c.v.Index.RecycledWith(is.SHA256()) {
			recycled = append(recycled, &r.Content)
		}
		return contents(c.v.Index.WithSum(is.SHA256())), recycled
	})
	if err != nil {
		return err
	}
	return c.purged()
}

// purged notes that nothing is left to purge.
func (c *Recycle) purged() error {
	var b ledger.Batch
	c.v.Note(&b, func(n *ledger.Notes) { n.Purging = nil })
	return c.v.Commit(&b)
}

// PurgeAfter purges contents without records that something else has kept, when end has
// made an end of that. When a process is killed between, Mend does. What is published, in recycle or
// kept by another then stays.
func (c *Recycle) PurgeAfter(keys []ledger.Key, end func() error) error {
	if _, err := c.Mend(); err != nil {
		return err
	}
	var b ledger.Batch
	c.v.Note(&b, func(n *ledger.Notes) { n.Purging = keys })
	if err := c.v.Commit(&b); err != nil {
		return err
	}
	if err := end(); err != nil {
		return err
	}
	return c.endPurge(keys)
}

// Path is the absolute path of the file of r in recycle.
func (c *Recycle) Path(r *ledger.Recycled) string { return c.v.Store.RecyclePath(&r.Content) }

// Look returns what is in recycle in the place of r now.
func (c *Recycle) Look(r *ledger.Recycled) layout.File { return c.v.depot.Recycled(&r.Content) }

// File reports whether recycle has a file of the size of r, and whether
// that has the time of the verified one as well. The error is why neither is known.
func (c *Recycle) File(r *ledger.Recycled) (sized, timed bool, err error) {
	f := c.Look(r)
	sized = f.Err == nil && f.Size == r.Size
	return sized, sized && f.ModTime.Equal(r.ModTime), f.Err
}

// Drop moves the file of r in recycle, which is not what was put there,
// to quarantine, and puts into b that r is lost.
func (c *Recycle) Drop(b *ledger.Batch, r *ledger.Recycled, label string) error {
	if err := c.v.depot.SetAside(&r.Content, label+r.SHA256().Hex()); err != nil {
		return err
	}
	c.Lose(b, r, "damaged in recycle, and moved to quarantine")
	return nil
}

// Lose puts into b that the content of r, in recycle, is lost, and why.
func (c *Recycle) Lose(b *ledger.Batch, r *ledger.Recycled, why string) {
	c.v.Changed = true
	b.DropRecycled(r.Key())
	c.v.forget(b, &r.Distfile, why)
}
