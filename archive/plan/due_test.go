package plan

import (
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/fetch/failure"
)

// TestDue: a day with nothing to do ends with the first thing that becomes due.
func TestDue(t *testing.T) {
	t.Parallel()
	const expiry = 3 * day
	fails := func(c failure.Class, next time.Time) func(w *world) {
		return func(w *world) {
			k := ledger.FailureKey{Name: "a", Want: "x"}
			w.Index.Failures[k] = &ledger.Failure{Name: k.Name, Want: k.Want, Class: string(c), Next: next}
		}
	}
	scheduled := func(since time.Time, undone bool) func(w *world) {
		return func(w *world) {
			k := ledger.Key{Name: "a", SHA256: sums("a")[0]}
			w.Index.Deletions[k] = &ledger.Deletion{Key: k, Since: since, Undone: undone}
		}
	}
	recycled := func(since time.Time) func(w *world) {
		return func(w *world) {
			r := &ledger.Recycled{Distfile: record("a", "a"), Since: since}
			w.Index.Recycled[r.Key()] = r
		}
	}
	dropped := func(since time.Time) func(w *world) {
		return func(w *world) {
			id := ledger.FileID{Inode: 7}
			w.Drops["a"] = &Drop{Name: "a", ID: id}
			w.Index.Dropped["a"] = &ledger.Dropped{Name: "a", Since: since, File: id}
		}
	}
	notes := func(n ledger.Notes) func(w *world) { return func(w *world) { w.Index.Notes = n } }
	in := func(d time.Duration) time.Time { return t0.Add(d) }
	never := time.Time{}
	midnight := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		what string
		make func(w *world)
		want time.Time // zero: not in a year
		any  bool
	}{
		{"nothing", func(*world) {}, never, false},
		{"a back-off", fails(failure.Gone, in(time.Hour)), in(time.Hour), false},
		{"a back-off that is over, of what nobody wants now", fails(failure.Gone, in(-time.Hour)), never, false},
		{"a conflict, which nobody tries", fails(failure.Conflict, never), never, false},
		{"a server in trouble", fails(failure.Server, never), never, true},
		{"no address", fails(failure.DNS, never), never, true},
		{"a file that cannot be read", fails(failure.Local, never), never, true},
		{"a full disk", fails(failure.Disk, never), never, true},
		{"a package that cannot be read", fails(failure.Package, never), never, true},
		{"a deletion", scheduled(in(-day), false), in(6 * day), false},
		{"a deletion that was due: reports say, today", scheduled(in(-8*day), false), midnight, false},
		{"a deletion in the future, by a clock that was wrong", scheduled(in(day), false), in(8 * day), false},
		{"what a person took off the schedule", scheduled(in(-day), true), in(6 * day), false},
		{"what a person took off it long ago", scheduled(in(-8*day), true), never, false},
		{"what a person took off it, and the delay is short", func(w *world) {
			w.DeletionDelay = time.Hour
			scheduled(in(-time.Hour), true)(w)
		}, in(ledger.UndoHold - time.Hour), false},
		{"a purge", recycled(in(-day)), in(6 * day), false},
		{"a purge that something prevents", recycled(in(-8 * day)), never, false},
		{"the drop box", dropped(in(-day)), in(2 * day), false},
		{"the drop box, which is expired", dropped(in(-4 * day)), never, false},
		{"deletions are held", notes(ledger.Notes{Hold: in(day)}), in(day), false},
		{"a layout leaves", notes(ledger.Notes{Leaving: map[layout.Layout]time.Time{layout.Flat(): in(day)}}), in(day), false},
		{"links of a layout are left", notes(ledger.Notes{Leaving: map[layout.Layout]time.Time{layout.Flat(): never}}), never, true},
		{"a change of layouts", notes(ledger.Notes{Change: &layout.Change{Due: in(day)}}), in(day), false},
		{"a purge that was broken off", notes(ledger.Notes{Purging: []ledger.Key{{Name: "a"}}}), never, true},
		{"the first of several", func(w *world) {
			scheduled(in(-day), false)(w)
			recycled(in(-2 * day))(w)
			fails(failure.Gone, in(9*day))(w)
		}, in(5 * day), false},
	} {
		w := newWorld()
		w.Drops = make(map[catalog.Name]*Drop)
		c.make(w)
		got, any := w.Facts.Due(expiry)
		if any != c.any {
			t.Errorf("%s: at any time is %v", c.what, any)
		}
		if c.any {
			continue
		}
		if c.want.IsZero() != got.After(t0.AddDate(1, 0, 0)) || !c.want.IsZero() && !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
