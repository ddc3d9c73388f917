package feed

import (
	"fmt"
	"testing"
)

// BenchmarkGeneration makes one change in an archive of 60,000 contents, and reads
// everything again: what a run that changes something does.
func BenchmarkGeneration(b *testing.B) {
	l := make(List)
	for i := range 60_000 {
		e := entry(fmt.Sprintf("package-%d.tar.gz", i), fmt.Sprint(i))
		l[e.Key()] = e
	}
	full, err := Full(FullEvery, day, nil, l).Encode()
	if err != nil {
		b.Fatal(err)
	}
	next := copyOf(l)
	e := entry("new", "new")
	next[e.Key()] = e
	for b.Loop() {
		g, err := Decode(full)
		if err != nil {
			b.Fatal(err)
		}
		old, err := g.List()
		if err != nil {
			b.Fatal(err)
		}
		if n := len(Diff(old, next)); n != 1 {
			b.Fatalf("%d changes", n)
		}
	}
	b.ReportMetric(float64(len(full)), "full-list-bytes")
}
