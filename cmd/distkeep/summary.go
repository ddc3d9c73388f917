package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"distkeep/archive"
)

// maxShown bounds lists in a summary that a person reads in five seconds.
const maxShown = 5

// printSummary prints what a run did.
func printSummary(w io.Writer, s *archive.Summary) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s "+format+"\n", append([]any{label}, args...)...)
	}
	for _, r := range s.Repositories {
		line("repository", "%s:%s, %s, %s, %s", r.Kind, r.Name, plural(r.Packages, "package"), plural(r.Distfiles, "distfile"), plural(r.Problems, "problem"))
	}
	line("wanted", "%s, %d held before", count(s.Wanted), s.Held.Files)
	line("added", "%s%s", count(s.Added()), sources(s))
	if s.Lost.Files > 0 {
		line("lost", "%s: gone from the archive or changed there", count(s.Lost))
	}
	if s.Restricted > 0 {
		line("restricted", "%s that must not be mirrored", plural(s.Restricted, "distfile"))
	}
	if len(s.Views) > 0 {
		line("indexes", "%s", views(s.Views))
	}
	line("failed", "%d new, %d known%s", s.NewFailures(), s.AllFailures()-s.NewFailures(), classes(s))
	if s.Deleting {
		line("deletions", "%s scheduled, %s taken back, %s deleted, %s purged", files(s.Scheduled), files(s.Unscheduled), files(s.Deleted), files(s.Purged))
	}
	if s.LocalExpired.Files > 0 {
		line("drop box", "%s expired", count(s.LocalExpired))
	}
	line("archive", "%s; %d scheduled for deletion, %d in recycle", count(s.Archive), s.Pending.Files, s.Recycle.Files)
	printAges(line, s.Ages, s.Start)
	line("took", "%v, %s received", s.Took.Round(time.Millisecond), humanSize(s.Received))
	if !s.Complete {
		line("incomplete", "nothing was scheduled or deleted, because of %s:", plural(len(s.Problems), "problem"))
		for i, p := range s.Problems {
			if i == maxShown {
				fmt.Fprintf(&b, "  and %d more: see distkeep status --json\n", len(s.Problems)-i)
				break
			}
			fmt.Fprintf(&b, "  %s\n", p)
		}
	}
	if s.Guard != "" {
		line("guard", "nothing was scheduled or deleted: %s", s.Guard)
	}
	if s.Interrupted {
		line("interrupted", "partial work is kept; the next run goes on")
	}
	if s.Broken != "" {
		line("broken", "%s", s.Broken)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// views counts the indexes of repositories by what became of them.
func views(vs []archive.ViewSummary) string {
	n := make(map[string]int)
	for _, v := range vs {
		n[v.State]++
	}
	var parts []string
	for _, state := range []string{archive.ViewPublished, archive.ViewCurrent, archive.ViewHeldBack} {
		if n[state] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	return strings.Join(parts, ", ")
}

func count(c archive.Count) string { return files(c) + ", " + humanSize(c.Bytes) }

func files(c archive.Count) string { return plural(c.Files, "file") }

// sources tells where additions came from.
func sources(s *archive.Summary) string {
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
func classes(s *archive.Summary) string {
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
func printHistory(w io.Writer, s *archive.HistorySummary) error {
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
	_, err := io.WriteString(w, b.String())
	return err
}

// printClean prints what a cleaning of the history did.
func printClean(w io.Writer, s *archive.CleanSummary) error {
	if err := printHistory(w, &s.HistorySummary); err != nil || !s.Complete {
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
