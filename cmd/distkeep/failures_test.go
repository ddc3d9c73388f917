package main

import (
	"bufio"
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"distkeep/archive/report"
	"distkeep/archive/report/triage"
	"distkeep/archive/vault"
	"distkeep/catalog/regular"
	"distkeep/fetch/failure"
)

// on renders a table as a terminal of 80 by 24 shows it.
func on(t testing.TB, print func(*table)) []string {
	t.Helper()
	return strings.Split(strings.TrimSuffix(onScreen(t, 80, 24, "distkeep failures | less", print), "\n"), "\n")
}

// onScreen returns what a table prints on a terminal.
func onScreen(t testing.TB, width, height int, rest string, print func(*table)) string {
	t.Helper()
	var b bytes.Buffer
	tab := &table{out: bufio.NewWriter(&b), width: width, height: height, rest: rest}
	tab.align()
	print(tab)
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// manyFailures are as many as a large mirror has: of 200 maintainers and many hosts,
// ten of which are down, 40 of them new.
func manyFailures() []report.Failure { return failuresOf(2000) }

func failuresOf(n int) []report.Failure {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	classes := failure.Classes()
	fs := make([]report.Failure, n)
	for i := range fs {
		f := &fs[i]
		*f = report.Failure{
			Name: fmt.Sprintf("package-with-a-long-name-%d.tar.xz", i), Class: string(classes[i%8]), Owner: fmt.Sprintf("app-misc/package-with-a-long-name-%d::gentoo", i),
			Maintainers: []string{fmt.Sprintf("maintainer%d@example.org", i%200)}, Size: int64(i) << 10, Count: i,
			First: now.AddDate(0, 0, -i%300-1), Last: now, New: i%50 == 0, Hint: failure.Class(classes[i%8]).Hint(),
		}
		f.Owners = []string{f.Owner}
		f.Reason = f.Class + ": https://host.example/" + f.Name + ": 404 Not Found, and more that is quite long"
		for j := range 10 {
			host := fmt.Sprintf("down%d.example", j)
			f.Answers = append(f.Answers, report.Answer{URL: "https://" + host + "/distfiles/" + f.Name, Host: host, Class: "dns", Text: "host is not asked again in this run: lookup " + host + ": no such host"})
		}
	}
	return fs
}

// TestOneScreen: three questions, each answered by one screen.
func TestOneScreen(t *testing.T) {
	t.Parallel()
	fs := manyFailures()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		what  string
		print func(*table)
		want  []string // what some line begins with
	}{
		{"what is new", func(t *table) {
			printFailures(t, report.Each(slices.DeleteFunc(slices.Clone(fs), func(f report.Failure) bool { return !f.New })), false, now)
		},
			[]string{"package-wi…-0.tar.xz  bad-uri  24h   app-misc/p…ng-name-0", "and 19 more lines: distkeep failures | less"}},
		{"whose it is", func(t *table) { printGroups(t, triage.Groups(report.Each(fs), triage.Maintainer), triage.Maintainer) },
			[]string{" FAILED   NEW   MISSING OLDEST     MAINTAINER                SUCH AS", "     10    10    8.8MiB 2026-05-11 maintainer0@example.org   package-with-a-lon", "and 156 more lines: "}},
		{"what to do", func(t *table) { printGroups(t, triage.Groups(report.Each(fs), triage.Class), triage.Class) },
			[]string{"    250    10    245MiB 2026-02-02 gone ", "        fix the URI in the package, or supply the file in distfiles-local"}},
		{"by host", func(t *table) { printGroups(t, triage.Groups(report.Each(fs), triage.Host), triage.Host) }, []string{"   1750    40    1.7GiB 2026-02-01 down0.example  package-with"}},
	} {
		lines := on(t, c.print)
		if len(lines) > 23 {
			t.Errorf("%s: %d lines", c.what, len(lines))
		}
		for _, l := range lines {
			if utf8.RuneCountInString(l) > 80 {
				t.Errorf("%s: too wide: %s", c.what, l)
			}
		}
		for _, w := range c.want {
			if !strings.Contains("\n"+strings.Join(lines, "\n"), "\n"+w) {
				t.Errorf("%s: no line begins with %q:\n%s", c.what, w, strings.Join(lines, "\n"))
			}
		}
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	ten := strings.Repeat("line\n", 10)
	for _, c := range []struct {
		text          string
		width, height int
		rest, want    string
	}{
		{"", 10, 10, "", ""},
		{"abc\n", 3, 24, "", "abc\n"},
		{"äbcd  \nx\n\ny\n", 3, 24, "", "äb…\nx\n\ny\n"},
		{ten, 80, 10, "", ten},
		{ten, 80, 12, "r", ten},
		{ten, 80, 13, "r", ten},
		{ten, 80, 9, "r", strings.Repeat("line\n", 6) + "and 4 more lines: r\n"},
		{ten, 80, 3, "r", ten},
	} {
		lines := func(t *table) {
			for l := range strings.Lines(c.text) {
				t.note(strings.TrimSuffix(l, "\n"))
			}
		}
		if got := onScreen(t, c.width, c.height, c.rest, lines); got != c.want {
			t.Errorf("%q on %d times %d: %q, want %q", c.text, c.width, c.height, got, c.want)
		}
	}
}

// BenchmarkTriage answers the three questions of an archive with 2,000 failures, each
// by a command.
func BenchmarkTriage(b *testing.B) {
	askOf(b, manyFailures(), "failures --new", "failures --by maintainer", "failures --by class")
}

// BenchmarkManyFailures asks an archive with 60,000 failures, 160 MB of them, for their
// number and for those of one class. Two virtual cores, with much other work: 0.11 and
// 0.47 s.
func BenchmarkManyFailures(b *testing.B) {
	askOf(b, failuresOf(60000), "status", "failures --class bad-uri")
}

// askOf runs commands on an archive with failures.
func askOf(b *testing.B, fs []report.Failure, commands ...string) {
	box := b.TempDir()
	distfiles, state := vault.Dirs(box)
	if err := vault.Init(distfiles, state, nil, time.Now()); err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(state, "report")
	if err := report.WriteFailures(dir, fs, regular.Replace); err != nil {
		b.Fatal(err)
	}
	if err := report.WriteStatus(dir, &report.Summary{Command: "mirror"}, regular.Replace); err != nil {
		b.Fatal(err)
	}
	for _, c := range commands {
		b.Run(c, func(b *testing.B) {
			b.ReportAllocs()
			name, rest, _ := strings.Cut(c, " ")
			args := append([]string{"distkeep", name, "--archive", box}, strings.Fields(rest)...)
			for b.Loop() {
				var out, errs bytes.Buffer
				e := &env{args: args, stdout: &out, stderr: &errs, now: time.Now}
				if status := e.run(); status != 0 || out.Len() == 0 {
					b.Fatal(status, errs.String())
				}
			}
		})
	}
}
