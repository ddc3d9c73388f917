package report

import (
	"strings"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/fetch/failure"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		what   string
		change func(*Condition)
		level  Level
		want   string // the line up to the figures
	}{
		{"well", func(*Condition) {}, OK, "last complete run 30m0s ago, 7 files"},
		{"known failures are no alarm", func(c *Condition) { c.Failures = map[failure.Class]FailureCount{"gone": {Known: 2000}} }, OK, "last complete run 30m0s ago, 7 files"},
		{"few new ones", func(c *Condition) { c.Failures = map[failure.Class]FailureCount{"gone": {New: 5}} }, OK, "last complete run 30m0s ago, 7 files"},
		{"many new ones", func(c *Condition) {
			c.Failures, c.Since = map[failure.Class]FailureCount{"gone": {New: 5}}, 1
		}, Warning, "6 new failures"},
		{"just young enough", func(c *Condition) { c.LastComplete = now.Add(-3 * time.Hour) }, OK, "last complete run 3h0m0s ago, 7 files"},
		{"stopped", func(c *Condition) { c.LastComplete = now.Add(-3*time.Hour - time.Second) }, Critical, "the last complete run was 3h0m1s ago"},
		{"slow", func(c *Condition) { c.LastComplete, c.Running = now.Add(-4*time.Hour), "x" }, Warning, "the last complete run was 4h0m0s ago, one is going on"},
		{"never complete", func(c *Condition) { c.LastComplete = time.Time{} }, Critical, "no run has been complete yet"},
		{"killed", func(c *Condition) { c.Killed = "distkeep mirror, pid 1" }, Warning, "the last run was broken off: distkeep mirror, pid 1"},
		{"incomplete", func(c *Condition) { c.Complete, c.Problems = false, []string{"a|b\nc", "d"} }, Warning, "the scan was not complete: a/b c"},
		{"guard", func(c *Condition) { c.Guard = "too many" }, Warning, "nothing was deleted: too many"},
		{"outage", func(c *Condition) { c.Outage = new(Outage) }, Warning, "no host answers"},
		{"broken before all else", func(c *Condition) { c.Guard, c.Broken = "g", "ledger" }, Critical, "the archive is broken: ledger; nothing was deleted: g"},
		{"gone", func(c *Condition) { c.Gone = 1 }, Critical, "1 contents are lost that nothing can fetch again"},
		{"damaged", func(c *Condition) { c.Damaged = 2 }, Critical, "2 files of the archive are damaged or cannot be read"},
		{"full", func(c *Condition) { c.Rooms.Free = 1<<30 - 1 }, Critical, "the disk is full: 1023 MiB are free"},
		{"nearly full", func(c *Condition) { c.Rooms.Free = 2 << 30 }, Warning, "the disk is nearly full: 2048 MiB are free"},
		{"stale tree", func(c *Condition) {
			c.Repositories = []catalog.RepoStats{{Name: "a"}, {Name: "b", Timestamp: now.Add(-25 * time.Hour)}, {Name: "c", Commit: time.Unix(1, 0)}}
		}, Warning, "the tree b is of 2026-11-27T11:00:00Z"},
		{"first run", func(c *Condition) { c.Summary, c.Running = nil, "distkeep mirror" }, Unclear, "no run has finished yet; the first: distkeep mirror"},
		{"none", func(c *Condition) { c.Summary = nil }, Unclear, "no run has finished yet"},
	} {
		cond := Condition{Summary: &Summary{Complete: true, LastComplete: now.Add(-30 * time.Minute), Archive: layout.Count{Files: 7, Bytes: 9}, Rooms: Rooms{Free: 1 << 40, MinFree: 1 << 30}}}
		c.change(&cond)
		level, line := cond.Check(now, Limits{MaxAge: 3 * time.Hour, MaxNew: 5})
		text, figures, _ := strings.Cut(line, " | ")
		if want := "DISTKEEP " + c.level.String() + " - " + c.want; level != c.level || text != want {
			t.Errorf("%s: %d, %q; want %d, %q", c.what, level, text, c.level, want)
		}
		if cond.Summary != nil && !strings.HasPrefix(figures, "age=") || strings.ContainsAny(line, "\n") {
			t.Errorf("%s: figures %q", c.what, figures)
		}
	}
}
