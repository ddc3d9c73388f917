package ledger

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// What Commit makes of an index is what the next process loads.
func TestIndexFollowsLedger(t *testing.T) {
	t.Parallel()
	l := open(t, filepath.Join(t.TempDir(), "ledger"))
	defer l.Close()
	x := NewIndex(newState())
	r := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		var b Batch
		for range 20 {
			change(&b, x, r)
		}
		if err := l.Commit(&b, x); err != nil {
			t.Fatal(err)
		}
		loaded, err := l.Load()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(loaded, x.State, compare); d != "" {
			t.Fatalf("-ledger +index:\n%s", d)
		}
		checkFound(t, x)
	}
}

// change puts one change of any kind into b.
func change(b *Batch, x *Index, r *rand.Rand) {
	name, text := string(rune('a'+r.IntN(4))), string(rune('0'+r.IntN(3)))
	d := sample(name, text)
	d.Named = r.IntN(2) == 0
	now := t0.Add(time.Duration(r.IntN(100)) * time.Hour)
	f := &Failure{Name: d.Name, Want: "0123456789abcdef", Class: "gone", First: t0, Last: now, Count: 1}
	switch r.IntN(11) {
	case 0, 1:
		b.PutDistfile(d)
	case 2:
		b.DropDistfile(d.Key())
	case 3:
		b.PutRecycled(&Recycled{Distfile: *d, Since: now, Pending: r.IntN(2) == 0})
	case 4:
		b.DropRecycled(d.Key())
	case 5:
		b.PutDeletion(&Deletion{Key: d.Key(), Since: now, Size: d.Size})
	case 6:
		b.DropDeletion(d.Key())
	case 7:
		b.PutFailure(f)
	case 8:
		b.DropFailure(f.Key())
	case 9:
		if b.PutDropped(&Dropped{Name: d.Name, SHA256: d.SHA256(), Since: now}); r.IntN(2) == 0 {
			b.DropDropped(d.Name)
		}
	case 10:
		n := x.Notes
		switch r.IntN(4) {
		case 0:
			n.Clock, n.Hold = now, time.Time{}
		case 1:
			n.Changed = !n.Changed
		case 2:
			n.Purging = []Key{d.Key()}
		case 3:
			n.Layouts = []layout.Layout{layout.Flat()}
		}
		b.PutNotes(&x.Notes, &n)
	}
}

// checkFound compares what is found by name and by digest with all records.
func checkFound(t *testing.T, x *Index) {
	t.Helper()
	byName, bySum := make(map[catalog.Name]int), make(map[digest.Digest]int)
	for _, d := range x.Distfiles {
		byName[d.Name]++
		if !slices.Contains(x.ByName(d.Name), d) {
			t.Errorf("%s %s is not found by name", d.Name, d.SHA256().Hex())
		}
		for _, s := range d.Digests {
			bySum[s]++
			if !slices.Contains(x.WithSum(s), d) {
				t.Errorf("%s is not found by %s", d.Name, s)
			}
		}
	}
	for n, want := range byName {
		if got := len(x.ByName(n)); got != want {
			t.Errorf("%d records by the name %s, want %d", got, n, want)
		}
	}
	for s, want := range bySum {
		if got := len(x.WithSum(s)); got != want {
			t.Errorf("%d records by %s, want %d", got, s, want)
		}
	}
	for r := range maps.Values(x.Recycled) {
		if !slices.Contains(x.RecycledWith(r.SHA256()), r) {
			t.Errorf("%s in recycle is not found by digest", r.Name)
		}
	}
}

// TestWithSum: the same records are found by a digest the first time and when there is a
// map of them, none by a weak one.
func TestWithSum(t *testing.T) {
	t.Parallel()
	s := newState()
	sums := []digest.Digest{digest.MD5.Sum([]byte("0")), digest.SHA256.Sum([]byte("unknown"))}
	for i := range 40 {
		d := sample(fmt.Sprint(i), fmt.Sprint(i/2))
		d.Digests = append(d.Digests, digest.MD5.Sum([]byte("0")))
		sums = append(sums, d.Digests...)
		s.Distfiles = append(s.Distfiles, d)
	}
	often := NewIndex(s)
	for range fewAsked {
		for _, sum := range s.Distfiles[0].Digests {
			often.WithSum(sum)
		}
	}
	for _, sum := range sums {
		x := NewIndex(often.State)
		first := x.WithSum(sum)
		if x.bySHA256.one != nil || x.byOther.one != nil {
			t.Fatal("a map was made for one question")
		}
		if got := often.WithSum(sum); !slices.Equal(got, first) {
			t.Errorf("%s: %d records at first, %d by the map", sum, len(first), len(got))
		}
		if want := sum.Alg.Strong() && sum != sums[1]; want != (len(first) > 0) {
			t.Errorf("%s: %d records", sum, len(first))
		}
	}
}

// TestWithSumOfFirst: what is asked while there is no record costs a first run no map of
// all that comes after.
func TestWithSumOfFirst(t *testing.T) {
	t.Parallel()
	x := NewIndex(newState())
	d := sample("a", "a")
	for range 2 * fewAsked {
		for _, s := range d.Digests {
			x.WithSum(s)
		}
	}
	var b Batch
	b.PutDistfile(d)
	x.apply(b.ops)
	if x.bySHA256.one != nil || x.byOther.one != nil {
		t.Error("a map was made for nothing")
	}
	checkFound(t, x)
}

// TestByName: the records of a name are found whatever was asked before.
func TestByName(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	s := newState()
	want := make(map[catalog.Name]int)
	for i := range 300 {
		d := sample(fmt.Sprintf("%03d", r.IntN(200)), fmt.Sprint(i))
		s.Distfiles = append(s.Distfiles, d)
		want[d.Name]++
	}
	x := NewIndex(s)
	if !slices.IsSortedFunc(x.Distfiles, byKey) {
		t.Error("the records are not sorted")
	}
	check := func(i int) {
		name := catalog.Name(fmt.Sprintf("%03d", i))
		ds := x.ByName(name)
		if len(ds) != want[name] || slices.ContainsFunc(ds, func(d *Distfile) bool { return d.Name != name }) {
			t.Errorf("%s has %d records, want %d", name, len(ds), want[name])
		}
	}
	for i := range 201 {
		check(i)
		check(i)
	}
	for i := range 201 {
		check(200 - i)
	}
	for range 2000 {
		check(r.IntN(201))
	}
}

// TestIndexOwnsItsRecords: what a record was put from may go, or change.
func TestIndexOwnsItsRecords(t *testing.T) {
	t.Parallel()
	l := open(t, filepath.Join(t.TempDir(), "ledger"))
	defer l.Close()
	x := NewIndex(newState())
	d := sample("a", "text")
	var b Batch
	b.PutDistfile(d)
	if err := l.Commit(&b, x); err != nil {
		t.Fatal(err)
	}
	d.Owner = "changed"
	if got := x.Distfiles.Get(d.Key()); got == d || got.Owner == d.Owner {
		t.Errorf("the index has the record that it was given: %+v", got)
	}
}
