package generations

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"distkeep/archive/archivetest"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/feed"
)

// TestTold makes random changes: each generation holds what the index does, whether
// what the one before held is had in short, or that is damaged, gone or of another one.
func TestTold(t *testing.T) {
	t.Parallel()
	box := archivetest.New(t)
	r := rand.New(rand.NewPCG(1, 2))
	var older []byte
	box.Do(func(v *vault.Vault) {
		if err := v.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		file := store.ToldFile(v.State)
		for step := range 60 {
			good, err := os.ReadFile(file)
			if err != nil && step > 0 {
				t.Fatal(err)
			}
			if step%7 == 3 {
				older = bytes.Clone(good)
			}
			bad := good
			switch step % 7 {
			case 2:
				bad = bytes.Clone(good)
				bad[r.IntN(len(bad))] ^= 1
			case 4:
				bad = good[:r.IntN(len(good))]
			case 6:
				bad = older
			}
			if err := os.WriteFile(file, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			if step > 0 {
				f, err := load(v)
				if err != nil {
					t.Fatal(err)
				}
				if short := f.List == nil; short != bytes.Equal(good, bad) {
					t.Errorf("step %d: the short form is used: %v", step, short)
				}
			}
			change(t, v, func(b *ledger.Batch) {
				for range 1 + r.IntN(4) {
					d := numbered(r.IntN(12))
					switch have := held(v.Index, d.Key()); {
					case have == nil:
						b.PutDistfile(d)
					case r.IntN(2) == 0:
						b.DropDistfile(d.Key())
					default:
						*d = *have
						if d.Named = !d.Named; r.IntN(2) == 0 {
							d.Named, d.Owner = have.Named, d.Owner+"x"
						}
						b.PutDistfile(d)
					}
				}
			})
			if got, want := newest(t, v, nil).List, holds(v.Index); !reflect.DeepEqual(got, want) {
				t.Fatalf("step %d: it holds %v, want %v", step, got.Sorted(), want.Sorted())
			}
		}
	})
}

// TestDiffering: what differs is told, and nothing else.
func TestDiffering(t *testing.T) {
	t.Parallel()
	box := archivetest.New(t)
	other := *numbered(3)
	other.Owner += "x"
	box.Do(func(v *vault.Vault) {
		saveTold(v, "sum", []*ledger.Distfile{numbered(1), numbered(2), numbered(3), numbered(4), numbered(5)})
		old, now, ok := differingTold(v, "sum", []*ledger.Distfile{numbered(2), &other, numbered(4), numbered(6)})
		var names []string
		for _, l := range []feed.List{old, now} {
			for _, e := range l.Sorted() {
				names = append(names, string(e.Name))
			}
		}
		if want := []string{"f1", "f3", "f5", "f3", "f6"}; !ok || !slices.Equal(names, want) {
			t.Errorf("%v, want %v", names, want)
		}
	})
}

// FuzzDiffering: what is wrong in the short form does no harm but that of wrong changes.
func FuzzDiffering(f *testing.F) {
	ds := []*ledger.Distfile{numbered(1), numbered(2)}
	f.Add("\x02f1" + string(bytes.Repeat([]byte{1}, 64)))
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
	f.Fuzz(func(t *testing.T, entries string) {
		old, now := differing(bufio.NewReader(strings.NewReader(entries)), ds)
		if len(now) > len(ds) || len(old) > len(entries) {
			t.Errorf("%d and %d", len(old), len(now))
		}
		feed.Diff(old, now)
	})
}

// held is the record of a key, or nil.
func held(x *ledger.Index, k ledger.Key) *ledger.Distfile {
	for _, d := range x.ByName(k.Name) {
		if d.Key() == k {
			return d
		}
	}
	return nil
}
