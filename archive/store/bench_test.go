package store

import (
	"fmt"
	"os"
	"testing"

	"distkeep/catalog"
)

// BenchmarkCommit publishes batches of 512 new files of 4 KiB under a flat name
// and below by_cipher, that is 512 files, 1,024 links and 1,024 directories.
// Writing the parts is not measured, making their bytes durable is.
//
// Files a second on ext4, kernel 6.18, two virtual cores, medians of five; each
// run on a file system made for it, because ext4 passes over every inode that
// was deleted within the last minutes one by one:
//
//	        a disk   memory (no device to wait for)
//	syncfs  10,200   14,300
//	fsync    2,030    3,790
//	none         -   27,800
//
// One syncfs for the data and one for the links halve the speed of no
// synchronisation at all; an fsync for each file and directory leaves a seventh.
func BenchmarkCommit(b *testing.B) {
	const batch = 512
	for _, mode := range []struct {
		name        string
		each, never bool
	}{{name: "syncfs"}, {name: "fsync", each: true}, {name: "none", never: true}} {
		b.Run(mode.name, func(b *testing.B) {
			s := open(b)
			if !s.shared.sync.Whole && !mode.each {
				b.Skip("syncfs is not known to work here")
			}
			s.shared.sync.Whole = !mode.each
			data := make([]byte, 4<<10)
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				items := make([]*Item, batch)
				for i := range items {
					name := catalog.Name(fmt.Sprintf("distfile-%d-%d.tar.xz", n, i))
					copy(data, name)
					items[i] = part(b, s, name, string(data))
				}
				b.StartTimer()
				if mode.never {
					if _, err := s.Tree.publishAll(items); err != nil {
						b.Fatal(err)
					}
				} else {
					commit(b, s, items...)
				}
				b.StopTimer()
				if err := s.Parts.Release(items); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "files/s")
			b.StopTimer()
			if err := os.RemoveAll(s.Published()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
