package ledger

import (
	"fmt"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// TestIndexManyNames: the records of a content of very many names go in linear
// time, and the others are still found.
func TestIndexManyNames(t *testing.T) {
	t.Parallel()
	const n = 40000
	h := digest.NewHasher(digest.BLAKE2B, digest.SHA512)
	sums := h.Sum()
	s := newState()
	for i := range n {
		d := &Distfile{Content: layout.Content{Name: catalog.Name(fmt.Sprint(i)), Digests: sums}}
		s.Distfiles = append(s.Distfiles, d)
	}
	x := NewIndex(s)
	began := time.Now()
	var b Batch
	for i := range n {
		b.DropDistfile(Key{Name: catalog.Name(fmt.Sprint(i)), SHA256: sums.Get(digest.SHA256)})
		if b.Len() < 100 {
			continue
		}
		x.apply(b.ops)
		b.ops = nil
		if got := len(x.WithSum(sums[0])); got != n-1-i {
			t.Fatalf("%d names, want %d", got, n-1-i)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if len(x.WithSum(sums[0]))+len(x.ByName("1")) > 0 {
		t.Error("records are left")
	}
}
