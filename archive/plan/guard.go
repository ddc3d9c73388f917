package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
)

// Guard returns why nothing may be deleted in this run, or "". due is what would
// be deleted. That the catalog is not complete is told by KnowsAll.
func (f *Facts) Guard(due layout.Count) string {
	if !f.KnowsAll() {
		return f.ViewsUnknown
	}
	return cmp.Or(clockGuard(f.Now, &f.Index.Notes), f.repoGuard(), f.shareGuard(due), f.ViewsUnknown)
}

// NoSuchRepos returns the names of Retired that no repository has or had.
func (f *Facts) NoSuchRepos() (names []string) {
	for _, name := range f.Retired {
		called := func(r catalog.RepoStats) bool { return r.Name == name }
		if !slices.ContainsFunc(f.Catalog.Repos, called) && !slices.ContainsFunc(f.Index.Notes.Repositories, called) {
			names = append(names, name)
		}
	}
	return names
}

// repoGuard objects when repositories are missing, or not what they were.
func (f *Facts) repoGuard() string {
	for _, l := range f.Index.Notes.Repositories {
		if slices.Contains(f.Retired, l.Name) {
			continue
		}
		i := slices.IndexFunc(f.Catalog.Repos, func(r catalog.RepoStats) bool { return r.Name == l.Name })
		if i < 0 {
			return fmt.Sprintf("repository %s, which the last complete run had, is missing: name it with --repo, or say --retire-repo %s if it is gone for good", l.Name, l.Name)
		}
		if r := f.Catalog.Repos[i]; Shrunk(l, r) {
			return fmt.Sprintf("repository %s has %d distfiles and had %d in the last complete run: if that is right, say --retire-repo %s once", l.Name, r.Distfiles, l.Distfiles, l.Name)
		}
	}
	return ""
}

// shareGuard objects when too much goes at once.
func (f *Facts) shareGuard(due layout.Count) string {
	var total layout.Count
	for _, d := range f.Index.Distfiles {
		total.Add(d.Size)
	}
	if p := share(int64(due.Files), int64(total.Files)); p > f.MaxDelete {
		return fmt.Sprintf("%d of %d files are due for deletion, %.1f %%: if that is right, run once with a larger --max-delete", due.Files, total.Files, 100*p)
	}
	if p := share(due.Bytes, total.Bytes); p > f.MaxDelete {
		return fmt.Sprintf("%d of %d bytes are due for deletion, %.1f %%: if that is right, run once with a larger --max-delete", due.Bytes, total.Bytes, 100*p)
	}
	return ""
}

func share(part, whole int64) float64 {
	if part == 0 || whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// Shrunk reports whether a tree lost more than half of its files since last:
// its packagers did not do that.
func Shrunk(last, now catalog.RepoStats) bool {
	return (now.Distfiles+now.Protected)*2 < last.Distfiles
}

// firstDay is before this program was written: no clock that is right is
// earlier. Machines without a working clock of their own start there.
var firstDay = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// maxGap is the longest time between two runs that is believed: longer
	// than any holiday, and shorter than the step of a clock that is wrong
	// by years.
	maxGap = 180 * 24 * time.Hour
	// holdFor is how long a person has to look at the clock when it seems to
	// have been put ahead: an hourly job says so 168 times.
	holdFor = 7 * 24 * time.Hour
)

// clockGuard returns why the clock cannot be trusted, or "". What is scheduled
// with a time in the past would go too early when the clock is set right, and
// everything that is scheduled would go at once when it is put years ahead.
func clockGuard(now time.Time, notes *ledger.Notes) string {
	if now.Before(firstDay) {
		return fmt.Sprintf("the clock is wrong, it says %s: set it", stamp(now))
	}
	if last := notes.Clock; now.Before(last) {
		return fmt.Sprintf("the clock was put back: it says %s, and the last run was at %s; if it is right now, the next run goes on", stamp(now), stamp(last))
	}
	if until, ok := holdUntil(now, notes); ok {
		return fmt.Sprintf("the clock was put ahead, or there was no run for a long time: it says %s; if it is right, deletions go on at %s", stamp(now), stamp(until))
	}
	return ""
}

// holdUntil returns the time until which nothing is deleted, if any.
func holdUntil(now time.Time, notes *ledger.Notes) (until time.Time, ok bool) {
	if last := notes.Clock; !last.IsZero() && now.Sub(last) > maxGap {
		return now.Add(holdFor), true
	}
	until = notes.Hold
	// A hold that is further off than a hold lasts was made by a clock that
	// has been put right since.
	return until, now.Before(until) && until.Sub(now) <= holdFor
}

// NoteClock puts into n what the clock guard of the next run goes by.
func NoteClock(n *ledger.Notes, now time.Time) {
	if now.Before(firstDay) {
		return
	}
	until, ok := holdUntil(now, n)
	if n.Clock, n.Hold = now, until; !ok {
		n.Hold = time.Time{}
	}
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }
