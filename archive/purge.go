package archive

import (
	"encoding/json"
	"fmt"
	"slices"

	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// metaPurging is the key of the contents whose records have left recycle and
// whose files there may not have: a run that was killed between leaves it to
// the next.
const metaPurging = "purging"

// A purging is one of them.
type purging struct {
	Name   catalog.Name `json:"name"`
	SHA256 string       `json:"sha256"`
}

// purgeAll removes contents from recycle for good: the record first, so that no
// record promises bytes that are gone.
func (m *mirror) purgeAll(rs []*ledger.Recycled) error {
	for chunk := range slices.Chunk(rs, batchFiles) {
		keys := make([]ledger.Key, len(chunk))
		for i, r := range chunk {
			keys[i] = r.Key
			m.sum.Purged.add(r.Size)
		}
		var b ledger.Batch
		if err := m.beginPurge(&b, keys); err != nil {
			return err
		}
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
func (m *mirror) beginPurge(b *ledger.Batch, keys []ledger.Key) error {
	if len(keys) == 0 {
		return nil
	}
	ps := make([]purging, len(keys))
	for i, k := range keys {
		b.DropRecycled(k)
		ps[i] = purging{k.Name, k.SHA256.Hex()}
	}
	text, err := json.Marshal(ps)
	if err != nil {
		return err
	}
	b.PutMeta(metaPurging, string(text))
	return nil
}

// endPurge removes from recycle the files that beginPurge has noted.
func (m *mirror) endPurge(keys []ledger.Key) error {
	if len(keys) == 0 {
		return nil
	}
	for _, k := range keys {
		m.view.index.dropRecycled(k)
	}
	for _, k := range keys {
		sums, _ := digest.NewSet(k.SHA256)
		if err := m.purge(&store.Content{Name: k.Name, Digests: sums}); err != nil {
			return brokenIf(err)
		}
	}
	var b ledger.Batch
	b.DropMeta(metaPurging)
	return m.commit(&b)
}

// resumePurge ends what a killed run has begun.
func (m *mirror) resumePurge() error {
	text := m.view.index.Meta[metaPurging]
	if text == "" {
		return nil
	}
	var ps []purging
	if err := json.Unmarshal([]byte(text), &ps); err != nil {
		return mark(ErrBroken, fmt.Errorf("ledger: purging: %w", err))
	}
	var keys []ledger.Key
	for _, p := range ps {
		sum, err := digest.Parse(digest.SHA256, p.SHA256)
		if err != nil {
			return mark(ErrBroken, fmt.Errorf("ledger: purging %s: %w", p.Name, err))
		}
		// Since then it may have come to recycle again.
		if k := (ledger.Key{Name: p.Name, SHA256: sum}); m.view.index.Recycled[k] == nil {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		var b ledger.Batch
		b.DropMeta(metaPurging)
		return m.commit(&b)
	}
	return m.endPurge(keys)
}

// purge removes a content from recycle unless another record needs that file.
func (m *mirror) purge(c *store.Content) error {
	for _, r := range m.view.index.recycledWith(c.SHA256()) {
		o := content(&r.Distfile)
		if m.store.RecyclePath(&o) == m.store.RecyclePath(c) {
			return nil
		}
	}
	return m.store.Purge(c)
}
