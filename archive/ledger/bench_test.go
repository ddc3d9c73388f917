package ledger

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
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
