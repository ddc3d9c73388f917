package certificate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"distkeep/catalog"
)

// BenchmarkSum looks at the published tree of an archive in layout flat, with
// DISTKEEP_BENCH_FILES distfiles, 10000 if unset: two links in two directories each.
func BenchmarkSum(b *testing.B) {
	n := 10000
	if s := os.Getenv("DISTKEEP_BENCH_FILES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	for i := range n {
		name := fmt.Sprintf("package-%06d.tar.gz", i)
		sum := fmt.Sprintf("%064x", uint64(i)*0x9e3779b97f4a7c15)[48:] + "00000000000000000000000000000000000000000000000000"
		below := filepath.Join(dir, "by_cipher/sha256", sum[:2], sum)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), nil, 0o644), os.MkdirAll(below, 0o755), os.Link(filepath.Join(dir, name), filepath.Join(below, name))); err != nil {
			b.Fatal(err)
		}
	}
	h := &Hasher{Key: NewKey()}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Sum(b.Context(), Place{Place: catalog.Place{Path: dir}}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/file")
}
