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

// Recycle moves contents out of the published tree: first a durable link in
// recycle, then the record, then the published links go. It returns the records
// that are gone, and those that stay because of trouble with their files: the next
// run tries again.
func (v *Vault) Recycle(ds []*ledger.Distfile) (gone []*ledger.Distfile, stay []*FileError, err error) {
	cs := contents(ds)
	missing, stuck, err := v.Store.Recycle.Keep(cs)
	if err != nil {
		return nil, nil, err
	}
	v.Changed = true
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
		b.PutSuccess(&ledger.Success{Key: d.Key(), Time: v.Now, Bytes: d.Size, Origin: d.Origin, Removed: true})
		if !slices.Contains(missing, cs[i]) {
			r := &ledger.Recycled{Distfile: *d, Since: v.Now, Pending: true}
			b.PutRecycled(r)
			moved = append(moved, r)
		}
	}
	if err := v.Commit(&b); err != nil {
		return nil, stay, err
	}
	for _, d := range gone {
		v.Events.Removed(OwnerPackage(d.Owner), string(d.Name))
	}
	pending, err := v.unpublish(moved)
	return gone, append(stay, pending...), err
}

// unpublish removes the published links of contents that are in recycle and
// notes that it is done. Those that it returns stay pending.
func (v *Vault) unpublish(rs []*ledger.Recycled) (pending []*FileError, err error) {
	var b ledger.Batch
	claims := v.Claims()
	for _, r := range rs {
		if err := v.Store.Recycle.Unpublish(&r.Content, claims.Keeper(&r.Distfile)); store.Broken(err) {
			return pending, err
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			pending = append(pending, &FileError{&r.Distfile, err})
			continue
		}
		done := *r
		done.Pending = false
		b.PutRecycled(&done)
		if paths, err := v.Shelf.Layouts.Paths(&r.Content); err == nil {
			for _, rel := range paths {
				v.Disk.Look(rel)
			}
		}
	}
	return pending, v.Commit(&b)
}

// Mend ends the moves to recycle and out of it that a process did not end because
// it was killed. What it returns is not ended yet.
func (v *Vault) Mend() (pending []*FileError, err error) {
	var rs []*ledger.Recycled
	for k, r := range v.Index.Recycled {
		if r.Pending && v.Index.Distfiles[k] == nil {
			rs = append(rs, r)
		}
	}
	if pending, err = v.unpublish(rs); err != nil {
		return pending, err
	}
	// Since then some may have come to recycle again.
	keys := slices.DeleteFunc(slices.Clone(v.Index.Notes.Purging), func(k ledger.Key) bool { return v.Index.Recycled[k] != nil })
	if len(keys) > 0 {
		return pending, v.endPurge(keys)
	}
	return pending, v.purged()
}

// EndRecycling removes what is still published of a content in recycle.
func (v *Vault) EndRecycling(r *ledger.Recycled) error {
	pending, err := v.unpublish([]*ledger.Recycled{r})
	if err == nil && len(pending) > 0 {
		err = pending[0]
	}
	return err
}

// Purge removes contents from recycle for good: the record first, so that no
// record promises bytes that are gone.
func (v *Vault) Purge(rs []*ledger.Recycled) error {
	for chunk := range slices.Chunk(rs, BatchFiles) {
		keys := make([]ledger.Key, len(chunk))
		for i, r := range chunk {
			keys[i] = r.Key()
		}
		var b ledger.Batch
		v.beginPurge(&b, keys)
		if err := v.Commit(&b); err != nil {
			return err
		}
		if err := v.endPurge(keys); err != nil {
			return err
		}
	}
	return nil
}

// beginPurge makes b drop the records of keys from recycle and note that their
// files are to go.
func (v *Vault) beginPurge(b *ledger.Batch, keys []ledger.Key) {
	if len(keys) == 0 {
		return
	}
	for _, k := range keys {
		b.DropRecycled(k)
	}
	v.Note(b, func(n *ledger.Notes) { n.Purging = keys })
}

// endPurge removes from recycle the files that beginPurge has noted.
func (v *Vault) endPurge(keys []ledger.Key) error {
	if len(keys) == 0 {
		return nil
	}
	for _, k := range keys {
		if err := v.purge(k); err != nil {
			return err
		}
	}
	return v.purged()
}

// purged notes that nothing is left to purge.
func (v *Vault) purged() error {
	var b ledger.Batch
	v.Note(&b, func(n *ledger.Notes) { n.Purging = nil })
	return v.Commit(&b)
}

// purge removes the file of a content from recycle unless another record needs it.
func (v *Vault) purge(k ledger.Key) error {
	c := &layout.Content{Name: k.Name, Digests: digest.Set{k.SHA256}}
	for _, r := range v.Index.RecycledWith(k.SHA256) {
		if v.Store.RecyclePath(&r.Content) == v.Store.RecyclePath(c) {
			return nil
		}
	}
	return v.Store.Recycle.Purge(c)
}
