package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"distkeep/archive/ledger"
	"distkeep/catalog"
)

// TestExpire: what is deleted, and what comes back. In each case the archive has
// a, which a package wants, and u, which nobody wants.
func TestExpire(t *testing.T) {
	t.Parallel()
	due := func(w *world, u *ledger.Distfile) { w.scheduled(u, long) }
	repo := func(n int) catalog.RepoStats { return catalog.RepoStats{Name: "r", Distfiles: n} }
	for name, c := range map[string]struct {
		set  func(w *world, u *ledger.Distfile)
		want string
	}{
		"unwanted":             {func(*world, *ledger.Distfile) {}, "schedule u"},
		"without --delete":     {func(w *world, _ *ledger.Distfile) { w.Delete = false }, ""},
		"scheduled a day ago":  {func(w *world, u *ledger.Distfile) { w.scheduled(u, t0.Add(-day)) }, ""},
		"scheduled long ago":   {due, "delete u"},
		"scheduled in future":  {func(w *world, u *ledger.Distfile) { w.scheduled(u, later) }, ""},
		"due without --delete": {func(w *world, u *ledger.Distfile) { due(w, u); w.Delete = false }, ""},
		"no delay":             {func(w *world, _ *ledger.Distfile) { w.DeletionDelay = 0 }, "delete u"},
		"wanted again": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.wants("u", "unwanted")
		}, "take back u"},
		"wanted again, without --delete": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.wants("u", "unwanted")
			w.Delete = false
		}, "take back u"},
		"gone from the ledger": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Distfiles = slices.DeleteFunc(w.Index.Distfiles, func(d *ledger.Distfile) bool { return d == u })
		}, "take back u"},
		"its successor has not come": {func(w *world, u *ledger.Distfile) { w.wants("u", "re-rolled") }, ""},
		"its successor has come": {func(w *world, u *ledger.Distfile) {
			w.wants("u", "re-rolled")
			u.Named = false
		}, "schedule u"},
		"wanted with another digest": {func(w *world, u *ledger.Distfile) {
			w.wants("u", "re-rolled").Digests = nil
			u.Named = false
		}, ""},
		"on the whitelist":                 {func(w *world, _ *ledger.Distfile) { w.white = []catalog.Name{"u"} }, ""},
		"on the whitelist, when it is due": {func(w *world, u *ledger.Distfile) { due(w, u); w.white = []catalog.Name{"u"} }, "take back u"},
		"in the drop box":                  {func(w *world, _ *ledger.Distfile) { w.drops("u", 8, "unwanted") }, ""},
		"in the drop box, not examined":    {func(w *world, _ *ledger.Distfile) { w.drops("u", 8, "") }, ""},
		"in the drop box, and must not be mirrored": {func(w *world, _ *ledger.Distfile) {
			w.drops("u", 8, "unwanted")
			w.wants("u", "unwanted").Restrict = catalog.RestrictMirror
		}, "schedule u"},
		"another is in the drop box": {func(w *world, _ *ledger.Distfile) { w.drops("u", 7, "another") }, "schedule u"},
		"a package that may want it": {func(w *world, _ *ledger.Distfile) { w.unknown(catalog.OnePackage, "u") }, "protected 1"},
		"a package that may want another": {func(w *world, u *ledger.Distfile) {
			u.Owner = "z::r"
			w.unknown(catalog.OnePackage, "v")
		}, "schedule u"},
		"taken off the schedule": {func(w *world, u *ledger.Distfile) { w.scheduled(u, t0.Add(-day)).Undone = true }, ""},
		"taken off the schedule, and no delay": {func(w *world, u *ledger.Distfile) {
			w.scheduled(u, t0.Add(-time.Hour)).Undone = true
			w.DeletionDelay = 0
		}, ""},
		"taken off the schedule long ago": {func(w *world, u *ledger.Distfile) { w.scheduled(u, long).Undone = true }, "schedule u"},
		"a published index names it":      {func(w *world, u *ledger.Distfile) { w.Viewed = map[*ledger.Distfile]bool{u: true} }, ""},
		"an index cannot be read": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.ViewsUnknown = "the index cannot be read"
		}, "guard: the index cannot be read"},
		"an unknown tree": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.recycled("o", "old", long)
			w.held("v", "nobody's")
			w.unknown(catalog.WholeTree)
		}, ""},
		"a part of the catalog": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.recycled("o", "old", long)
			w.Partial = true
		}, ""},
		"a repository is missing": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.recycled("o", "old", long)
			w.Index.Notes.Repositories = []catalog.RepoStats{repo(1), {Name: "s"}}
		}, "guard: repository s, which the last complete run had, is missing"},
		"a repository is retired": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Notes.Repositories = []catalog.RepoStats{{Name: "s"}}
			w.Retired = []string{"s"}
		}, "delete u"},
		"a repository shrank": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Notes.Repositories = []catalog.RepoStats{repo(3)}
		}, "guard: repository r has 1 distfiles and had 3"},
		"a repository halved": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Notes.Repositories = []catalog.RepoStats{repo(2)}
		}, "delete u"},
		"too many files": {func(w *world, u *ledger.Distfile) { due(w, u); w.MaxDelete = 0.4 }, "guard: 1 of 2 files are due for deletion, 50.0 %"},
		"too many bytes": {func(w *world, u *ledger.Distfile) { due(w, u); w.MaxDelete = 0.6 }, "guard: 8 of 9 bytes are due for deletion, 88.9 %"},
		"just enough":    {func(w *world, u *ledger.Distfile) { due(w, u); w.MaxDelete = 0.9 }, "delete u"},
		"the clock of a machine without one": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Now = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
		}, "guard: the clock is wrong, it says 1970-01-01T00"},
		"the clock was put back": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Notes.Clock = t0.Add(time.Hour)
		}, "guard: the clock was put back"},
		"the clock was put ahead": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Notes.Clock = t0.AddDate(-1, 0, 0)
		}, "guard: the clock was put ahead, or there was no run for a long time"},
		"the clock was put ahead two days ago": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Notes.Hold = t0.Add(5 * day)
		}, "guard: the clock was put ahead, or there was no run for a long time"},
		"the clock was right after all": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Notes.Hold = t0
		}, "delete u"},
		"the hold of a wrong clock": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.Index.Notes.Hold = t0.Add(8 * day)
		}, "delete u"},
		"long in recycle":      {func(w *world, _ *ledger.Distfile) { w.recycled("o", "old", long) }, "schedule u, purge o"},
		"in recycle for a day": {func(w *world, _ *ledger.Distfile) { w.recycled("o", "old", t0.Add(-day)) }, "schedule u"},
		"in recycle in future": {func(w *world, _ *ledger.Distfile) { w.recycled("o", "old", later) }, "schedule u"},
		"long in recycle, without --delete": {func(w *world, _ *ledger.Distfile) {
			w.recycled("o", "old", long)
			w.Delete = false
		}, ""},
		"long in recycle, and wanted": {func(w *world, _ *ledger.Distfile) {
			w.recycled("o", "old", long)
			w.wants("o", "old")
		}, "schedule u"},
		"in recycle, on the whitelist": {func(w *world, _ *ledger.Distfile) {
			w.recycled("o", "old", long)
			w.white = []catalog.Name{"o"}
		}, "restore o, schedule u"},
		"not readable in recycle, on the whitelist": {func(w *world, _ *ledger.Distfile) {
			w.Unread[w.recycled("o", "old", long).Key()] = true
			w.white = []catalog.Name{"o"}
		}, "schedule u"},
		"a guard, and what comes back": {func(w *world, u *ledger.Distfile) {
			due(w, u)
			w.recycled("o", "old", long)
			w.white = []catalog.Name{"o", "u"}
			w.Index.Notes.Clock = later
		}, "take back u, restore o, guard: the clock was put back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.wants("a", "w")
			w.held("a", "w")
			u := w.held("u", "unwanted")
			c.set(w, u)
			f := w.facts()
			for range 2 { // planning changes nothing
				if got := expiry(f, nil); got != c.want {
					t.Errorf("planned %q, want %q", got, c.want)
				}
			}
		})
	}
}

// TestUnsureStays: what cannot be read is not deleted.
func TestUnsureStays(t *testing.T) {
	t.Parallel()
	w := newWorld()
	u := w.held("u", "unwanted")
	w.scheduled(u, long)
	if got := expiry(w.facts(), map[ledger.Key]error{u.Key(): errors.New("it cannot be read")}); got != "" {
		t.Errorf("planned %q", got)
	}
}

// expiry is what Expire plans, a word each.
func expiry(f *Facts, unsure map[ledger.Key]error) string {
	e := Expire(f, unsure)
	var out []string
	for _, a := range e.Actions(f) {
		out = append(out, a.Do+" "+a.Name)
	}
	if n := len(e.Protected); n > 0 {
		out = append(out, fmt.Sprint("protected ", n))
	}
	if e.Guard != "" {
		guard, _, _ := strings.Cut(e.Guard, ":")
		guard, _, _ = strings.Cut(guard, " in the last")
		out = append(out, "guard: "+guard)
	}
	return strings.Join(out, ", ")
}

// TestSpare: people put names on the whitelist and files into the drop box while
// a run deletes.
func TestSpare(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ds := []*ledger.Distfile{w.held("listed", "x"), w.held("dropped", "x"), w.held("nobodys", "x")}
	w.white = []catalog.Name{"listed"}
	w.drops("dropped", 1, "")
	if got := w.facts().Spare(ds); len(got) != 1 || got[0].Name != "nobodys" || len(ds) != 3 {
		t.Errorf("%d of %d are deleted", len(got), len(ds))
	}
}

// TestNoteClock: what a run leaves for the clock guard of the next.
func TestNoteClock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		now, clock, hold    time.Time
		wantClock, wantHold time.Time
	}{
		"first":          {now: t0, wantClock: t0},
		"next":           {now: t0, clock: t0.Add(-day), wantClock: t0},
		"back":           {now: t0, clock: later, wantClock: t0},
		"ahead":          {now: t0, clock: t0.AddDate(-1, 0, 0), wantClock: t0, wantHold: t0.Add(7 * day)},
		"on hold":        {now: t0, clock: t0.Add(-day), hold: t0.Add(day), wantClock: t0, wantHold: t0.Add(day)},
		"hold is over":   {now: t0, clock: t0.Add(-day), hold: t0, wantClock: t0},
		"no clock":       {now: time.Unix(0, 0), clock: t0, hold: later, wantClock: t0, wantHold: later},
		"a hold too far": {now: t0, clock: t0.Add(-day), hold: t0.Add(8 * day), wantClock: t0},
	} {
		n := ledger.Notes{Clock: c.clock, Hold: c.hold}
		if NoteClock(&n, c.now); !n.Clock.Equal(c.wantClock) || !n.Hold.Equal(c.wantHold) {
			t.Errorf("%s: clock %v, hold %v", name, n.Clock, n.Hold)
		}
	}
}
