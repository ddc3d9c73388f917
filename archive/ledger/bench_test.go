package ledger

import (
	"errors"
	"fmt"
	"testing"
)

// BenchmarkLoad measures what a run with nothing to do waits for: open and load of
// 60,000 records, of a former program and of this one.
func BenchmarkLoad(b *testing.B) {
	const records = 60000
	for _, c := range []struct {
		name string
		make func(testing.TB, *Ledger)
	}{
		{"JSON", formerly},
		{"binary", func(testing.TB, *Ledger) {}},
	} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir() + "/l"
			l := open(b, dir)
			var batch Batch
			for i := range records {
				batch.PutDistfile(sample(fmt.Sprintf("some-package-name-%07d.tar.xz", i), fmt.Sprint(i)))
			}
			if err := l.Commit(&batch, nil); err != nil {
				b.Fatal(err)
			}
			c.make(b, l)
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				l := open(b, dir)
				s, err := l.Load()
				if err := errors.Join(err, l.Close()); err != nil || len(s.Distfiles) != records {
					b.Fatal(len(s.Distfiles), err)
				}
			}
		})
	}
}
