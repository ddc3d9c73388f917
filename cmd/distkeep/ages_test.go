package main

import (
	"fmt"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/report"
)

// TestPrintAges: what was counted in an earlier run is not told as if it were of this
// one.
func TestPrintAges(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	ages := report.Ages{Oldest: now.Add(-43 * time.Hour), Within: []report.Age{{Days: 1, Count: layout.Count{Files: 3}}}}
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{now, "every byte within the last 2 days (3 files within 1 day)"},
		{now.Add(-23 * time.Hour), "every byte within the last 2 days (as of 2026-11-27T13:00:00Z: 3 files within 1 day)"},
		{time.Time{}, "every byte within the last 2 days (3 files within 1 day)"},
	} {
		ages.At = c.at
		got := ""
		printAges(func(_, format string, args ...any) { got = fmt.Sprintf(format, args...) }, ages, now)
		if got != c.want {
			t.Errorf("counted at %v: %q, want %q", c.at, got, c.want)
		}
	}
}
