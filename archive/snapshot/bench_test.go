package snapshot

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

const benchNames = 100_000

// benchTree makes a flat tree of empty files with by_cipher.
func benchTree(b *testing.B) string {
	dir := filepath.Join(b.TempDir(), "distfiles")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	for i := range benchNames {
		name := fmt.Sprintf("some-package-name-%07d.tar.xz", i)
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o444); err != nil {
			b.Fatal(err)
		}
		h := sha256.Sum256([]byte(name))
		sum, err := digest.New(digest.SHA256, h[:])
		if err != nil {
			b.Fatal(err)
		}
		cipher := filepath.Join(dir, layout.ByCipher(sum, name))
		if err := os.MkdirAll(filepath.Dir(cipher), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.Link(path, cipher); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkSnapshot walks 100,000 names. In seconds, on two cores that were busy
// with other work (load 9), so that only the ratios mean much; the snapshots of
// 300,000 names need 22 MiB of memory:
//
//	                      tmpfs   ext4   cp -al and rm -rf on ext4
//	create, named           1.2    2.1
//	create, by_cipher       4.3   13.4   30.1   (another time 23.1 and 50.6)
//	remove, named           1.0    0.9
//	remove, by_cipher       3.0   25.6   46.5
//	diff of equal snapshots     0.8    0.7
func BenchmarkSnapshot(b *testing.B) {
	tree := benchTree(b)
	now := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	for _, o := range []CreateOptions{{NoByCipher: true}, {}} {
		d, err := Make(filepath.Join(filepath.Dir(tree), "snapshots"), tree, func() time.Time { return now })
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		what := "named"
		if !o.NoByCipher {
			what = "with-by-cipher"
		}
		var names []string
		create := func(b *testing.B) {
			now = now.Add(time.Hour)
			s, err := d.Create(b.Context(), tree, o)
			if err != nil || s.Files != benchNames {
				b.Fatalf("%d files: %v", s.Files, err)
			}
			names = append(names, s.Name)
		}
		b.Run("create/"+what, func(b *testing.B) {
			for b.Loop() {
				create(b)
			}
			b.ReportMetric(benchNames*float64(b.N)/b.Elapsed().Seconds(), "names/s")
		})
		b.Run("diff/"+what, func(b *testing.B) {
			create(b)
			create(b)
			for b.Loop() {
				one, err := d.OpenSnapshot(names[len(names)-1])
				if err != nil {
					b.Fatal(err)
				}
				other, err := d.OpenSnapshot(names[len(names)-2])
				if err != nil {
					b.Fatal(err)
				}
				if err := Diff(b.Context(), one, other, func(c Change) error { return fmt.Errorf("%v", c) }); err != nil {
					b.Fatal(err)
				}
				one.Close()
				other.Close()
			}
		})
		b.Run("remove/"+what, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				create(b)
				b.StartTimer()
				if _, err := d.Remove(b.Context(), names[len(names)-1]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
