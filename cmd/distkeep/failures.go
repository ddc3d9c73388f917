package main

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"distkeep/archive/report"
	"distkeep/archive/report/triage"
)

// printFailures prints a line a failure, and a second one with a hint.
func printFailures(t *table, fs iter.Seq[*report.Failure], hints bool, now time.Time) {
	for f := range fs {
		if t.terminal() {
			pkg, _, _ := strings.Cut(f.Owner, "::")
			t.row(f.Name, f.Class, ageOf(f.First, now), pkg, strings.TrimPrefix(f.Reason, f.Class+": "))
		} else {
			t.row(f.Name, f.Class, itoa(int64(f.Count)), firstOf(f.First), f.Owner, f.Reason)
		}
		if hints && f.Hint != "" {
			t.note("    hint: ", f.Hint)
		}
	}
}

// firstOf and ageOf say when a failure was first. What is restricted is none.
func firstOf(first time.Time) string {
	if first.IsZero() {
		return "-"
	}
	return first.UTC().Format(time.RFC3339)
}

func ageOf(first, now time.Time) string {
	if first.IsZero() {
		return "-"
	}
	return age(now.Sub(first))
}

// age is a duration in one unit.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// printLong prints all that is known of failures.
func printLong(t *table, fs iter.Seq[*report.Failure], now time.Time) {
	first := true
	for f := range fs {
		if !first {
			t.note("")
		}
		first = false
		name := f.Name
		if name == "" {
			name = f.Owner
		}
		t.note(name)
		t.note("    reason      ", f.Text())
		t.note("    first       ", stamp(f.First), ", last ", stamp(f.Last), ", tried in ", plural(f.Count, "run"))
		next := "in every run"
		if f.Next.After(now) {
			next = stamp(f.Next)
		} else if !f.Next.IsZero() {
			next = "in the next run"
		}
		t.note("    next try    ", next)
		if f.Size > 0 {
			t.note("    size        ", humanSize(f.Size))
		}
		if f.Shard != "" {
			t.note("    shard       ", f.Shard)
		}
		for _, o := range f.Owners {
			t.note("    owner       ", o)
		}
		for _, m := range f.Maintainers {
			t.note("    maintainer  ", m)
		}
		for _, a := range f.Answers {
			t.note("    asked       ", a.URL, ": ", a.Class, ": ", a.Text)
		}
		if f.Hint != "" {
			t.note("    to do       ", f.Hint)
		}
	}
}

// printGroups prints a line a group; on a terminal below a heading, and with what can
// be done about a class in a second line.
func printGroups(t *table, groups []*triage.Group, by string) {
	if !t.terminal() {
		for _, g := range groups {
			t.row(itoa(int64(g.Failures)), itoa(int64(g.New)), itoa(g.Bytes), g.Oldest.UTC().Format(time.DateOnly), g.Key, g.Example)
		}
		return
	}
	key := len(by)
	for _, g := range groups {
		key = max(key, min(utf8.RuneCountInString(g.Key), t.width/2))
	}
	t.note(fmt.Sprintf("%7s %5s %9s %-10s %-*s %s", "FAILED", "NEW", "MISSING", "OLDEST", key, strings.ToUpper(by), "SUCH AS"))
	for _, g := range groups {
		k := clip(g.Key, key)
		pad := strings.Repeat(" ", key-utf8.RuneCountInString(k))
		t.note(fmt.Sprintf("%7d %5d %9s %-10s %s%s %s", g.Failures, g.New, humanSize(g.Bytes), g.Oldest.UTC().Format(time.DateOnly), k, pad, g.Example))
		if g.Hint != "" {
			for _, l := range wrap(g.Hint, t.width-8) {
				t.note("        " + l)
			}
		}
	}
}

// wrap breaks text at blanks into lines of at most n characters, if its words allow.
func wrap(text string, n int) (lines []string) {
	line := ""
	for _, w := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line+" "+w) > n {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += w
	}
	return append(lines, line)
}

// writeFormat prints records by a template, one a line.
func writeFormat[T any](w io.Writer, records iter.Seq[*T], text string) error {
	t, err := template.New("--format").Parse(text)
	if err != nil {
		return usagef("%w", err)
	}
	b := bufio.NewWriterSize(w, outSize)
	for r := range records {
		if err := t.Execute(b, r); err != nil {
			return usagef("%w", err)
		}
		b.WriteByte('\n')
	}
	return b.Flush()
}
