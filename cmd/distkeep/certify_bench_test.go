package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// BenchmarkCertified runs the hourly job on an archive that has not changed since the
// last run, in this process.
func BenchmarkCertified(b *testing.B) {
	w := newWorld(b, benchPackages(b))
	dir := filepath.Join(b.TempDir(), "archive")
	// Ahead of the change times of files, so that none is young.
	now := time.Now().AddDate(1, 0, 0)
	program := func(args ...string) string {
		var out, errs strings.Builder
		now = now.Add(time.Minute)
		e := &env{args: append([]string{"distkeep"}, args...), stdin: strings.NewReader(""), stdout: &out, stderr: &errs, now: func() time.Time { return now }}
		if status := e.run(); status != 0 {
			b.Fatalf("%v: status %d\n%s%s", args, status, out.String(), errs.String())
		}
		return out.String()
	}
	program("init", "--archive", dir)
	for range 3 {
		program(w.mirror(dir)...)
	}
	b.ReportAllocs()
	for b.Loop() {
		if out := program(w.mirror(dir)...); !strings.Contains(out, "\nunchanged ") {
			b.Fatalf("not certified:\n%s", out)
		}
	}
}
