package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/past"
	"distkeep/archive/report"
)

// maxShown bounds lists in a summary that a person reads in five seconds.
const maxShown = 5

// printSummary prints what a run did.
func printSummary(w io.Writer, s *report.Summary) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{label}, args...)...)
	}
	for _, r := range s.Repositories {
		line("repository", "%s:%s, %s, %s, %s", r.Kind, r.Name, plural(r.Packages, "package"), plural(r.Distfiles, "distfile"), plural(r.Problems, "problem"))
	}
	for _, n := range s.Notes {
		line("note", "%s", n)
	}
	if !s.CertifiedBy.IsZero() {
		line("unchanged", "nothing has changed since the run of %s, which looked at everything, as --full-scan does", stamp(s.CertifiedBy))
	}
	line("wanted", "%s, %d held before", count(s.Wanted), s.Held.Files)
	line("added", "%s%s", count(s.Added()), origins(s))
	if n := s.Found.Wrong.Files; n > 0 {
		line("wrong", "%s in the places of others, now in quarantine:", plural(n, "file"))
		for i, w := range s.Wrong {
			if i == maxShown {
				fmt.Fprintf(&b, "  and %d more: see distkeep status --json\n", n-i)
				break
			}
			fmt.Fprintf(&b, "  %s: %s\n", w.Path, w.Reason)
		}
	}
	if s.Lost.Files > 0 {
		line("lost", "%s: gone from the archive or changed there", count(s.Lost))
	}
	if s.Gone > 0 {
		line("gone", "%s that nothing can fetch again: see distkeep failures", plural(s.Gone, "content"))
	}
	if s.Snapshot != "" {
		line("snapshot", "%s, %d old ones removed", s.Snapshot, s.SnapshotsRemoved)
	}
	for _, l := range changing(s.Layouts) {
		line("layouts", "%s", l)
	}
	if s.Restricted > 0 {
		line("restricted", "%s that must not be mirrored", plural(s.Restricted, "distfile"))
	}
	if len(s.Views) > 0 {
		line("indexes", "%s", views(s.Views))
	}
	printHosts(&b, s)
	if s.Parked.Files > 0 {
		line("parked", "%s for the next run, after --max-time", count(s.Parked))
	}
	line("failed", "%d new, %d known%s", s.NewFailures(), s.AllFailures()-s.NewFailures(), classes(s))
	printNews(&b, s)
	if s.Deleting {
		line("deletions", "%s scheduled, %s taken back, %s deleted, %s purged", files(s.Scheduled), files(s.Unscheduled), files(s.Deleted), files(s.Purged))
	}
	if s.LocalExpired.Files > 0 {
		line("drop box", "%s expired", count(s.LocalExpired))
	}
	line("archive", "%s; %d scheduled for deletion, %d in recycle", count(s.Archive), s.Pending.Files, s.Recycle.Files)
	printAges(line, s.Ages, s.Start)
	line("took", "%v, %s received", s.Took.Round(time.Millisecond), humanSize(s.Received))
	printFrozen(&b, s, "nothing was scheduled or deleted", "see distkeep status --json")
	if s.Interrupted {
		line("interrupted", "partial work is kept; the next run goes on")
	}
	if s.Broken != "" {
		line("broken", "%s", s.Broken)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printHosts tells how many hosts were asked, and of those that were in trouble most
// what that has cost.
func printHosts(b *strings.Builder, s *report.Summary) {
	if o := s.Outage; o != nil {
		fmt.Fprintf(b, "%-12s none of the %d hosts that were asked answers, since %s: what failed before stays as it was; look at the network and the resolver of this machine\n",
			"network", o.Hosts, stamp(o.Since))
		return
	}
	hs := slices.DeleteFunc(slices.Clone(s.Hosts), func(h report.Host) bool { return h.Requests+h.Failures+h.Spared == 0 })
	if len(hs) == 0 {
		return
	}
	trouble := slices.DeleteFunc(slices.Clone(hs), func(h report.Host) bool { return h.Failures+h.Spared == 0 })
	slices.SortStableFunc(trouble, func(x, y report.Host) int {
		return cmp.Compare(y.Failures+y.Spared, x.Failures+x.Spared)
	})
	fmt.Fprintf(b, "%-12s %d asked, %d in trouble\n", "hosts", len(hs), len(trouble))
	for i, h := range trouble {
		if i == maxShown {
			fmt.Fprintf(b, "  and %d more: see distkeep status --json\n", len(trouble)-i)
			break
		}
		fmt.Fprintf(b, "  %s: %s, %s, %s, %d at a time, %s in %v", h.Host, plural(h.Files, "file"), humanSize(h.Bytes),
			plural(h.Requests, "request"), h.Peak, plural(h.Failures, "failure"), h.Spent.Round(time.Second))
		if h.Dead != "" {
			fmt.Fprintf(b, "; given up (%s)", h.DeadClass)
		}
		if h.Spared > 0 {
			fmt.Fprintf(b, ", %s spared", plural(h.Spared, "request"))
		}
		b.WriteByte('\n')
	}
	for _, h := range hs {
		if h.Lowered != "" {
			fmt.Fprintf(b, "  %s: %s\n", h.Host, h.Lowered)
		}
	}
}

// printNews names the failures that are new.
func printNews(b *strings.Builder, s *report.Summary) {
	for _, n := range s.News {
		fmt.Fprintf(b, "  new: %s\n", strings.Join(slices.DeleteFunc([]string{n.Name, n.Owner, n.Reason}, func(t string) bool { return t == "" }), "  "))
	}
	if more := s.NewFailures() - len(s.News); more > 0 && s.Outage == nil {
		fmt.Fprintf(b, "  and %d more: distkeep failures --new\n", more)
	}
}

// printFrozen tells what froze the deletions, if anything did. what is the
// consequence, and more where the whole list of problems is.
func printFrozen(b *strings.Builder, s *report.Summary, what, more string) {
	if !s.Complete {
		fmt.Fprintf(b, "%-12s %s, because of %s:\n", "incomplete", what, plural(len(s.Problems), "problem"))
		for i, p := range s.Problems {
			if i == maxShown {
				fmt.Fprintf(b, "  and %d more: %s\n", len(s.Problems)-i, more)
				break
			}
			fmt.Fprintf(b, "  %s\n", p)
		}
	}
	printUnknown(b, s.Unknown, fmt.Sprintf("; %s kept for them", plural(s.Protected, "file")), more)
	for i, p := range s.ProtectedFiles {
		if i == maxShown {
			fmt.Fprintf(b, "%-12s and %s more: see distkeep deletions\n", "protected", plural(len(s.ProtectedFiles)-i, "file"))
			break
		}
		fmt.Fprintf(b, "%-12s %s, by %s\n", "protected", p.Name, p.By)
	}
	if s.Guard != "" {
		fmt.Fprintf(b, "%-12s %s: %s\n", "guard", what, s.Guard)
	}
}

// printUnknown lists the packages that could not be understood.
func printUnknown(b *strings.Builder, unknown []string, kept, more string) {
	if len(unknown) == 0 {
		return
	}
	fmt.Fprintf(b, "%-12s %s with packages that cannot be known%s:\n", "unknown", plural(len(unknown), "problem"), kept)
	for i, p := range unknown {
		if i == maxShown {
			fmt.Fprintf(b, "  and %d more: %s\n", len(unknown)-i, more)
			return
		}
		fmt.Fprintf(b, "  %s\n", p)
	}
}

// views counts the indexes of repositories by what became of them.
func views(vs []report.View) string {
	n := make(map[string]int)
	for _, v := range vs {
		n[v.State]++
	}
	var parts []string
	for _, state := range []string{report.ViewPublished, report.ViewCurrent, report.ViewHeldBack} {
		if n[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	return strings.Join(parts, ", ")
}

func count(c layout.Count) string { return files(c) + ", " + humanSize(c.Bytes) }

// foundLine tells what there is of what is wanted.
func foundLine(f report.Found) string {
	return fmt.Sprintf("%s right, %s with wrong bytes, %s of another owner, %s elsewhere, %s missing",
		count(f.Right), count(f.Wrong), count(f.Foreign), count(f.Elsewhere), count(f.Missing))
}

// comingLine says what is going to be fetched.
func comingLine(c report.Coming) string {
	if c.Files == 0 {
		return "nothing to fetch"
	}
	return fmt.Sprintf("%s to fetch, from %s; %s free", count(c.Count), plural(c.Hosts, "host"), humanSize(c.Free))
}

func files(c layout.Count) string { return plural(c.Files, "file") }

// origins tells where additions came from.
func origins(s *report.Summary) string {
	var parts []string
	for _, p := range []struct {
		what string
		n    int
	}{
		{"fetched", s.Fetched.Files}, {"from distfiles-local", s.Local.Files}, {"from recycle", s.Restored.Files},
		{"linked", s.Linked.Files}, {"adopted", s.Adopted.Files},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// classes lists the failures by class.
func classes(s *report.Summary) string {
	var parts []string
	for _, c := range slices.Sorted(maps.Keys(s.Failures)) {
		f := s.Failures[c]
		parts = append(parts, fmt.Sprintf("%s %d", c, f.New+f.Known))
	}
	if len(parts) == 0 {
		return ""
	}
	if s.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d not due for a try", s.Waiting))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// printHistory prints what a history scan found.
func printHistory(w io.Writer, s *past.Summary) error {
	var b strings.Builder
	for _, r := range s.Repositories {
		fmt.Fprintf(&b, "%-12s %s:%s, %s, %s, %s\n", "repository", r.Kind, r.Name, plural(r.Packages, "package"), plural(r.Distfiles, "distfile"), plural(r.Problems, "problem"))
	}
	if s.Complete {
		fmt.Fprintf(&b, "%-12s %s, %d new, %d wanted again\n", "history", plural(s.Lines, "line"), s.New, s.Back)
	} else {
		fmt.Fprintf(&b, "%-12s history was not changed, because of %s:\n", "incomplete", plural(len(s.Problems), "problem"))
		for _, p := range s.Problems {
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	printUnknown(&b, s.Unknown, "", "see --json")
	_, err := io.WriteString(w, b.String())
	return err
}

// printClean prints what a cleaning of the history did.
func printClean(w io.Writer, s *past.CleanSummary) error {
	if err := printHistory(w, &s.Summary); err != nil || !s.Complete {
		return err
	}
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{label}, args...)...)
	}
	line("deletions", "%s deleted, %s purged; %s dropped from history", count(s.Deleted), files(s.Purged), plural(s.Dropped, "line"))
	for i, k := range s.Kept {
		if i == maxShown {
			fmt.Fprintf(&b, "  and %d more: see --json\n", len(s.Kept)-i)
			break
		}
		line("kept", "%s: %s", k.Name, k.Why)
	}
	for _, k := range s.Damaged {
		line("damaged", "%s: kept with its line: %s", k.Name, k.Why)
	}
	if s.Guard != "" {
		line("guard", "nothing was deleted: %s", s.Guard)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
