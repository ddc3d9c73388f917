package archive

import (
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog/digest"
)

// purgeAll removes contents from recycle for good: the record first, so that no
// record promises bytes that are gone.
func (m *mirror) purgeAll(rs []*ledger.Recycled) error {
	for chunk := range slices.Chunk(rs, batchFiles) {
		keys := make([]ledger.Key, len(chunk))
		for i, r := range chunk {
			keys[i] = r.Key()
			m.sum.Purged.add(r.Size)
		}
		var b ledger.Batch
		m.beginPurge(&b, keys)
		if err := m.commit(&b); err != nil {
			return err
		}
		if err := m.endPurge(keys); err != nil {
			return err
		}
	}
	return nil
}

// beginPurge makes b drop the records of keys from recycle and note that their
// files are to go.
func (m *mirror) beginPurge(b *ledger.Batch, keys []ledger.Key) {
	if len(keys) == 0 {
		return
	}
	for _, k := range keys {
		b.DropRecycled(k)
	}
	m.note(b, func(n *ledger.Notes) { n.Purging = keys })
}

// endPurge removes from recycle the files that beginPurge has noted.
func (m *mirror) endPurge(keys []ledger.Key) error {
	if len(keys) == 0 {
		return nil
	}
	for _, k := range keys {
		sums, _ := digest.NewSet(k.SHA256)
		if err := m.purge(&layout.Content{Name: k.Name, Digests: sums}); err != nil {
			return brokenIf(err)
		}
	}
	return m.purged()
}

// purged notes that nothing is left to purge.
func (m *mirror) purged() error {
	var b ledger.Batch
	m.note(&b, func(n *ledger.Notes) { n.Purging = nil })
	return m.commit(&b)
}

// resumePurge ends what a killed run has begun.
func (m *mirror) resumePurge() error {
	// Since then some may have come to recycle again.
	keys := slices.DeleteFunc(slices.Clone(m.view.index.Notes.Purging), func(k ledger.Key) bool { return m.view.index.Recycled[k] != nil })
	if len(keys) == 0 {
		return m.purged()
	}
	return m.endPurge(keys)
}

// purge removes a content from recycle unless another record needs that file.
func (m *mirror) purge(c *layout.Content) error {
	for _, r := range m.view.index.RecycledWith(c.SHA256()) {
		o := &r.Content
		if m.store.RecyclePath(o) == m.store.RecyclePath(c) {
			return nil
		}
	}
	return m.store.Purge(c)
}
