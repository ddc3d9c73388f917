package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"distkeep/catalog"
)

// BenchmarkLoad measures what a run with nothing to do waits for: open and load of
// 60,000 records, from badger as a former program and as this one has written them, and
// from the flat files.
func BenchmarkLoad(b *testing.B) {
	const records = 60000
	for _, c := range []struct {
		name    string
		prepare func(testing.TB, *Ledger)
		flat    bool
	}{
		{"JSON", formerly, false},
		{"binary", func(testing.TB, *Ledger) {}, false},
		{"flat", func(testing.TB, *Ledger) {}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir() + "/l"
			full := !c.flat // badger alone fits
			o := Options{Spare: func(int64) error {
				if full {
					return syscall.ENOSPC
				}
				return nil
			}}
			l, err := Open(dir, o)
			if err != nil {
				b.Fatal(err)
			}
			var batch Batch
			for i := range records {
				batch.PutDistfile(sample(fmt.Sprintf("some-package-name-%07d.tar.xz", i), fmt.Sprint(i)))
			}
			if err := l.Commit(&batch, nil); err != nil {
				b.Fatal(err)
			}
			c.prepare(b, l)
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				l, err := Open(dir, o)
				if err != nil {
					b.Fatal(err)
				}
				s, err := l.Load()
				if err := errors.Join(err, l.Close()); err != nil || len(s.Distfiles) != records {
					b.Fatal(len(s.Distfiles), err)
				}
			}
		})
	}
}

// BenchmarkClose measures what a run that has added one file among 60,000 waits for at
// its end.
func BenchmarkClose(b *testing.B) {
	const records = 60000
	dir := b.TempDir() + "/l"
	l := open(b, dir)
	var batch Batch
	for i := range records {
		batch.PutDistfile(sample(fmt.Sprintf("some-package-name-%07d.tar.xz", i), fmt.Sprint(i)))
	}
	if err := errors.Join(l.Commit(&batch, nil), l.Close()); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		l := open(b, dir)
		batch.PutDistfile(sample(fmt.Sprintf("another-%07d.tar.xz", i), fmt.Sprint(i)))
		if err := errors.Join(l.Commit(&batch, nil), l.Close()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSettle fills an index as a first mirror does, whose files come in any order,
// in batches. That the records behind a new one are moved is quadratic: of 2,000,000 it
// takes 3 s in all, of some 300 s that their first mirror does.
func BenchmarkSettle(b *testing.B) {
	for _, n := range []int{60000, 500000, 2000000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			sums := sample("a", "a").Digests
			ds := make([]Distfile, n)
			for i := range ds {
				ds[i].Name, ds[i].Digests = catalog.Name(fmt.Sprintf("package-%d.tar.xz", i)), sums
			}
			rand.New(rand.NewPCG(1, 1)).Shuffle(n, func(i, j int) { ds[i], ds[j] = ds[j], ds[i] })
			for b.Loop() {
				x := NewIndex(newState())
				for batch := range slices.Chunk(ds, 256) {
					for i := range batch {
						x.put(&batch[i])
					}
					x.settle()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/file")
		})
	}
}
