package report_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/catalog/regular"
	"distkeep/fetch/failure"
)

// TestRuns: the log of runs grows by one a run, loses what is old, and lives with a
// line that somebody has broken.
func TestRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if runs, err := report.LoadRuns(dir); err != nil || len(runs) != 0 {
		t.Fatalf("without a log: %v, %v", runs, err)
	}
	start := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	add := func(days int) {
		t.Helper()
		s := &report.Summary{Start: start.AddDate(0, 0, days), Archive: layout.Count{Files: days}, Failures: map[failure.Class]report.FailureCount{failure.Gone: {New: 1, Known: 2}}}
		if err := report.AddRun(dir, report.RunOf(s), regular.Replace); err != nil {
			t.Fatal(err)
		}
	}
	days := func() (got []int) {
		t.Helper()
		runs, err := report.LoadRuns(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range runs {
			got = append(got, r.Archive.Files)
			if r.Failures["gone"] != 3 || r.New != 1 {
				t.Errorf("a run has %+v", r)
			}
		}
		return got
	}
	for _, d := range []int{0, 1, 2, 91} {
		add(d)
	}
	if got := days(); len(got) != 3 || got[0] != 1 || got[2] != 91 {
		t.Errorf("runs of the days %v, want 1, 2 and 91", got)
	}
	path := filepath.Join(dir, "runs.jsonl")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte("{\"start\": 7\n"), text...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	add(92)
	if got := days(); len(got) != 3 || got[0] != 2 || got[2] != 92 {
		t.Errorf("after a broken line: %v", got)
	}
}
