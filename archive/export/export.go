// Package export writes what others read of an archive: the report directory for
// readers, who never need the lock, distinfo beside the distfiles, and the whole
// ledger as JSON Lines for whoever moves an archive.
//
// The rules that callers may rely on:
//
//   - Everything is made from the records of the vault. What was exported before is
//     never read back, but for the log of runs, which nothing depends on.
//   - A file is replaced as a whole, or stays as it is.
//   - The vault is not changed, except by ImportLedger.
//
// A run calls Contents and Lists when it ends, and every other change of an archive
// calls Refresh. The formats are those of packages report, history and ledger.
package export

import (
	"cmp"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// Refresh exports everything after a change that was no run: the summary of the
// last run, with the totals of now. When there was none, command is what the
// summary is of.
func Refresh(v *vault.Vault, command string) error {
	s, err := lastRun(v, command)
	if err != nil {
		return err
	}
	Totals(s, v.Index, v.Now)
	s.Rooms = Rooms(v, s.Rooms.MinFree)
	s.Layouts = Layouts(v)
	if err := Contents(v); err != nil {
		return err
	}
	return Lists(v, s)
}

// lastRun returns the summary of the last run.
func lastRun(v *vault.Vault, command string) (*report.Summary, error) {
	none := &report.Summary{Schema: report.Schema, Command: command, Start: v.Now}
	runs, err := v.Ledger().Runs(1)
	if err != nil {
		return nil, vault.Damage(err)
	}
	if len(runs) == 0 {
		return none, nil
	}
	s := new(report.Summary)
	if err := json.Unmarshal(runs[0].Summary, s); err != nil {
		v.Warn("the record of the run of %s: %v", runs[0].Start.Format(time.RFC3339), err)
		return none, nil
	}
	return s, nil
}

// Totals puts into s what the archive holds at now.
func Totals(s *report.Summary, x *ledger.Index, now time.Time) {
	s.Archive, s.Pending, s.Recycle = layout.Count{}, layout.Count{}, layout.Count{}
	for _, d := range x.Distfiles {
		s.Archive.Add(d.Size)
	}
	due := make(map[string]*report.Due)
	for _, d := range x.Deletions {
		if d.Undone {
			continue
		}
		s.Pending.Add(d.Size)
		at := d.Since.Add(s.DeletionDelay)
		if at.Before(now) {
			at = now
		}
		day := at.UTC().Format(time.DateOnly)
		if due[day] == nil {
			due[day] = &report.Due{Day: day}
		}
		due[day].Add(d.Size)
	}
	s.Due = make([]report.Due, 0, len(due))
	for _, day := range slices.Sorted(maps.Keys(due)) {
		s.Due = append(s.Due, *due[day])
	}
	s.Damaged = 0
	for key := range x.Failures {
		if strings.HasPrefix(key.Want, ledger.Lost) || strings.HasPrefix(key.Want, ledger.Unread) {
			s.Damaged++
		}
	}
	s.Ages = Ages(x, now)
	for _, r := range x.Recycled {
		s.Recycle.Add(r.Size)
	}
}

// Layouts tells what becomes of the layouts of v, or nil when they stay as they are.
func Layouts(v *vault.Vault) *report.Layouts {
	n := &v.Index.Notes
	if n.Change == nil && len(n.Leaving) == 0 {
		return nil
	}
	l := &report.Layouts{Leaving: make(map[string]time.Time)}
	for x, until := range n.Leaving {
		if !until.IsZero() {
			l.Leaving[x.String()] = until
		}
	}
	if c := n.Change; c != nil {
		for _, x := range c.To {
			l.Next = append(l.Next, x.String())
		}
		l.Due, l.Unlinked = c.Due, v.Unlinked(c.To)
	}
	return l
}

// ageDays are the upper bounds of the histogram of Ages.
var ageDays = []int{1, 7, 30, 90, 365}

// Ages tells when the contents of x were last read, as of now.
func Ages(x *ledger.Index, now time.Time) (a report.Ages) {
	a.At = now
	counts := make([]layout.Count, len(ageDays)+1)
	bounds := make([]time.Time, len(ageDays))
	for i, days := range ageDays {
		bounds[i] = now.AddDate(0, 0, -days)
	}
	if len(x.Distfiles) == 0 {
		return a
	}
	a.Oldest = now
	for _, d := range x.Distfiles {
		at := d.LastRead(now)
		if at.Before(a.Oldest) {
			a.Oldest = at
		}
		if d.Verified.After(now) {
			a.Unknown.Add(d.Size)
		}
		i := 0
		for i < len(bounds) && at.Before(bounds[i]) {
			i++
		}
		counts[i].Add(d.Size)
	}
	for i, days := range ageDays {
		a.Within = append(a.Within, report.Age{Days: days, Count: counts[i]})
	}
	a.Older = counts[len(ageDays)]
	return a
}

// Contents exports the contents of the archive, unless what was exported is true
// still.
func Contents(v *vault.Vault) error {
	x, dir := v.Index, v.Store.ReportDir()
	if !v.Restated && !x.Notes.Changed && report.HasDistfiles(dir) {
		return nil
	}
	if err := past(v); err != nil {
		return err
	}
	recycled := slices.SortedFunc(maps.Values(x.Recycled), func(a, b *ledger.Recycled) int { return a.Key().Compare(b.Key()) })
	return report.WriteDistfiles(dir, func(yield func(*report.Content) bool) {
		r := new(report.Content) // one for all, in their turns
		for _, d := range x.Distfiles {
			tell(r, d)
			if s := x.Deletions[d.Key()]; s != nil && s.Undone {
				r.Undone = s.Since
			}
			if !yield(r) {
				return
			}
		}
		for _, d := range recycled {
			tell(r, &d.Distfile)
			r.Recycled = true
			if !yield(r) {
				return
			}
		}
	}, v.Store.Replace)
}

// past exports what was done with contents, but for what their records tell.
func past(v *vault.Vault) error {
	return report.WritePast(v.Store.ReportDir(), func(write func(*report.Event) error) error {
		return v.Ledger().Successes(v.Index.Distfiles, func(s *ledger.Success) error {
			return write(&report.Event{
				Name: string(s.Name), SHA256: s.SHA256.Hex(), Size: s.Bytes, What: string(s.What), Time: s.Time, Origin: s.Origin,
			})
		})
	}, v.Store.Replace)
}

// tell makes r the record of d.
func tell(r *report.Content, d *ledger.Distfile) {
	*r = report.Content{Sums: d.Digests, Distfile: report.Distfile{
		Name: string(d.Name), Size: d.Size, Modified: d.ModTime, Named: d.Named,
		Owner: d.Owner, Kind: string(d.Kind), Origin: d.Origin, Added: d.Added, Verified: d.Verified,
	}}
}

// Lists exports the failures, what is on its way out by the delays of s, and s.
func Lists(v *vault.Vault, s *report.Summary) error {
	dir := v.Store.ReportDir()
	if err := report.WriteFailures(dir, failures(maps.Values(v.Index.Failures), s.Start), v.Store.Replace); err != nil {
		return err
	}
	if err := report.WriteDeletions(dir, deletions(v.Index, s), v.Store.Replace); err != nil {
		return err
	}
	return report.WriteStatus(dir, s, v.Store.Replace)
}

// Meanwhile exports the contents of the archive and fails, the failures so far, while
// a run goes on. What says how the last run ended stays.
func Meanwhile(v *vault.Vault, fails []*ledger.Failure) error {
	if err := Contents(v); err != nil {
		return err
	}
	return report.WriteFailures(v.Store.ReportDir(), failures(slices.Values(fails), v.Now), v.Store.Replace)
}

// Restricted exports what must not be mirrored, and why.
func Restricted(v *vault.Vault, ds []*catalog.Distfile) error {
	fs := make([]report.Failure, len(ds))
	for i, d := range ds {
		fs[i] = report.Failure{
			Name: string(d.Name), Class: string(failure.Restricted), Owner: d.FirstOwner(), Hint: failure.Restricted.Hint(),
			Reason: report.OneLine(cmp.Or(d.Reason, string(d.Restrict))), Size: max(d.Size, 0),
		}
		for _, o := range d.Owners {
			fs[i].Owners = append(fs[i].Owners, o.String())
		}
	}
	return report.WriteRestricted(v.Store.ReportDir(), fs, v.Store.Replace)
}

// failures lists the failures. Those are new that were not there before last, when
// the last run began.
func failures(all iter.Seq[*ledger.Failure], last time.Time) (fs []report.Failure) {
	for f := range all {
		r := report.Failure{
			Name: string(f.Name), Class: f.Class, Reason: f.Reason, Hint: cmp.Or(f.Hint, failure.Class(f.Class).Hint()), Owner: f.Owner,
			Owners: f.Owners, Maintainers: f.Maintainers, Size: f.Size, New: !f.First.Before(last),
			First: f.First, Last: f.Last, Next: f.Next, Count: f.Count,
		}
		for _, a := range f.Answers {
			r.Answers = append(r.Answers, report.Answer(a))
		}
		if len(r.Owners) == 0 && f.Owner != "" {
			r.Owners = []string{f.Owner}
		}
		fs = append(fs, r)
	}
	slices.SortFunc(fs, func(a, b report.Failure) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Reason, b.Reason))
	})
	return fs
}

// deletions lists what is on its way out, the next to go first.
func deletions(x *ledger.Index, s *report.Summary) (ds []report.Deletion) {
	add := func(d *ledger.Distfile, state string, since time.Time, delay time.Duration) {
		ds = append(ds, report.Deletion{
			Name: string(d.Name), SHA256: d.SHA256().Hex(), Size: d.Size, Owner: d.Owner,
			State: state, Since: since, Due: since.Add(delay),
		})
	}
	for k, del := range x.Deletions {
		if d := x.Distfiles.Get(k); d != nil && !del.Undone {
			add(d, report.Scheduled, del.Since, s.DeletionDelay)
		}
	}
	for r := range maps.Values(x.Recycled) {
		add(&r.Distfile, report.Recycled, r.Since, s.RecycleDelay)
	}
	for _, p := range s.ProtectedFiles {
		sum, err := digest.Parse(digest.SHA256, p.SHA256)
		if d := x.Distfiles.Get(ledger.Key{Name: catalog.Name(p.Name), SHA256: sum}); err == nil && d != nil {
			ds = append(ds, report.Deletion{Name: p.Name, SHA256: p.SHA256, Size: d.Size, Owner: d.Owner, State: report.Protected, By: p.By})
		}
	}
	report.SortDeletions(ds)
	return ds
}
