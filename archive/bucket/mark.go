package bucket

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
)

// A Mark says which archive is in a bucket.
type Mark struct {
	// ID is of this archive alone.
	ID string `json:"mark"`
	// Shards is how many archives below this one have its contents among them, or zero
	// where it has them itself. Shard is which one of those this is, as K/N.
	Shards int    `json:"shards,omitempty"`
	Shard  string `json:"shard,omitempty"`
}

// Mark returns what Begin has written. Its error wraps fs.ErrNotExist where it has not.
func (b *Bucket) Mark(ctx context.Context) (Mark, error) {
	data, _, err := b.getBytes(ctx, b.prefix+markName, 1<<10)
	if err != nil {
		return Mark{}, err
	}
	var m Mark
	if json.Unmarshal(data, &m) != nil || m.ID == "" {
		m = Mark{ID: string(data)} // of an archive that knows nothing of shards
	}
	return m, nil
}

// Begin marks the bucket as that of an archive such as want. It returns the mark that is
// there, and whether it was before.
func (b *Bucket) Begin(ctx context.Context, want Mark) (is Mark, again bool, err error) {
	want.ID = rand.Text()
	text := []byte(want.ID)
	if want != (Mark{ID: want.ID}) {
		if text, err = json.Marshal(want); err != nil {
			return is, false, err
		}
	}
	_, err = b.putBytes(ctx, b.prefix+markName, text, condition{fresh: true})
	if errors.Is(err, ErrExists) {
		is, err := b.Mark(ctx) // which may be ours: an answer was lost
		return is, is != want, err
	}
	return want, false, err
}

// Shard returns the part of the bucket that the k-th of n shards of its archive has for
// itself.
func (b *Bucket) Shard(k, n int) *Bucket {
	o := b.o
	o.Prefix = fmt.Sprintf("%s%d-of-%d", b.prefix, k, n)
	s := &Bucket{o: o, line: b.line, prefix: o.Prefix + "/"}
	s.connect()
	return s
}
