package ledger

import (
	"cmp"
	"slices"
	"testing"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// TestKeyCompare: names decide, then digests, in the order of their spelling in hex,
// which is that of the records on disk.
func TestKeyCompare(t *testing.T) {
	sum := func(first byte) digest.Digest {
		raw := make([]byte, digest.SHA256.Size())
		raw[0], raw[31] = first, ^first
		d, err := digest.New(digest.SHA256, raw)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	var keys []Key
	for _, n := range []catalog.Name{"", "A", "a", "a.tar", "ä", "b"} {
		keys = append(keys, Key{Name: n})
		for _, b := range []byte{0, 0x09, 0x0a, 0x7f, 0x80, 0x9f, 0xa0, 0xff} {
			keys = append(keys, Key{n, sum(b)})
		}
	}
	for _, k := range keys {
		for _, o := range keys {
			want := cmp.Or(cmp.Compare(k.Name, o.Name), cmp.Compare(k.SHA256.Hex(), o.SHA256.Hex()))
			if got := k.Compare(o); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", k, o, got, want)
			}
		}
	}
	if n := testing.AllocsPerRun(10, func() { slices.SortFunc(slices.Clone(keys), Key.Compare) }); n > 1 {
		t.Errorf("sorting makes %v objects", n)
	}
}

func BenchmarkKeyCompare(b *testing.B) {
	x, y, z := content("package00001-part0-1.0.tar.xz", "x"), content("package00002-part0-1.0.tar.xz", "y"), content("package00001-part0-1.0.tar.xz", "z")
	b.ReportAllocs()
	for b.Loop() {
		x.Compare(y)
		x.Compare(z)
	}
}
