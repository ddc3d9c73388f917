package pages_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/report/pages"
	"distkeep/fetch/failure"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// site is one of n failures, of which every tenth is new.
func site(n int) *pages.Site {
	s := &pages.Site{Now: now, Summary: &report.Summary{
		Start: now, Took: 90 * time.Second, Complete: true, Failures: map[failure.Class]report.FailureCount{failure.Gone: {New: n / 10, Known: n - n/10}},
		Archive: layout.Count{Files: 60000, Bytes: 1 << 40}, Hosts: []report.Host{{Host: "a.example.org", Files: 3, Bytes: 1000, Requests: 4}},
	}}
	classes := []string{"gone", "digest", "dns", "tls", "stalled", "server", "conflict", "html"}
	for i := range n {
		s.Failures = append(s.Failures, report.Failure{
			Name: fmt.Sprintf("file-%d.tar.gz", i), Class: classes[i%len(classes)], Reason: "gone: https://a.example.org/x: 404 Not Found", Hint: "look for another home page",
			Owner: fmt.Sprintf("app-misc/p%d-1.2-r3::gentoo", i), Maintainers: []string{fmt.Sprintf("m%d@example.org", i%200)}, New: i%10 == 0,
			Size: 1000, First: now.Add(-time.Duration(i) * time.Hour), Last: now, Count: i,
			Answers: []report.Answer{{URL: "https://a.example.org/x", Host: fmt.Sprintf("h%d.example.org", i%10), Class: "gone", Text: "404 Not Found"}},
		})
	}
	for i := range 500 {
		s.Runs = append(s.Runs, report.Run{Start: now.Add(time.Duration(i-500) * time.Hour), Took: time.Minute, Archive: layout.Count{Bytes: int64(i) << 30}, Failures: map[string]int{"gone": i, "dns": 3}, Received: int64(i) << 20})
	}
	for i := range 30 {
		s.Deletions = append(s.Deletions, report.Deletion{Name: fmt.Sprintf("old-%d.zip", i), State: report.Scheduled, Due: now.AddDate(0, 0, i/10), Size: 5, Owner: "app-misc/old-1::gentoo"})
	}
	s.Whitelist = []pages.Keep{{Name: "kept.iso", Author: "Jo Doe <jo@example.org>", Reason: "media", Date: now}}
	s.Quarantine = []pages.Kept{{ID: "0123", Kind: "fetched", Name: "file-1.tar.gz", From: "https://a.example.org/x", Why: "digest", Size: 7, Time: now}}
	return s
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWrite: every link leads to a page, every feed and list can be parsed, nothing is
// from elsewhere, and a second time changes nothing.
func TestWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "site")
	if err := site(50).Write(dir); err != nil {
		t.Fatal(err)
	}
	got := contents(t, dir)
	for name, text := range got {
		switch filepath.Ext(name) {
		case ".json":
			var list struct {
				Schema   int              `json:"schema"`
				Failures []report.Failure `json:"failures"`
			}
			if err := json.Unmarshal([]byte(text), &list); err != nil || list.Schema != 1 || len(list.Failures) == 0 {
				t.Errorf("%s: %v, schema %d, %d failures", name, err, list.Schema, len(list.Failures))
			}
		case ".atom":
			var feed struct {
				Entries []struct {
					Title string `xml:"title"`
				} `xml:"entry"`
			}
			if err := xml.Unmarshal([]byte(text), &feed); err != nil || len(feed.Entries) == 0 {
				t.Errorf("%s: %v, %d entries", name, err, len(feed.Entries))
			}
		case ".html":
			for _, m := range regexp.MustCompile(`(?:href|src)="([^"#]*)[^"]*"`).FindAllStringSubmatch(text, -1) {
				if to := filepath.ToSlash(filepath.Join(filepath.Dir(name), m[1])); m[1] != "" && got[to] == "" {
					t.Errorf("%s leads to %q, which is not there", name, m[1])
				}
			}
		}
	}
	for _, want := range []string{"index.html", "failures.html", "hosts.html", "deletions.html", "whitelist.html", "quarantine.html", "conflicts.html"} {
		if got[want] == "" {
			t.Errorf("there is no %s", want)
		}
	}
	if s := got["index.html"]; strings.Count(s, "<svg") != 4 || !strings.Contains(s, ">50</a>, 5 new") {
		t.Errorf("the overview lacks plots or counts:\n%s", s)
	}
	before := stamps(t, dir)
	if err := site(50).Write(dir); err != nil {
		t.Fatal(err)
	}
	for path, at := range stamps(t, dir) {
		if at != before[path] {
			t.Errorf("%s was written again", path)
		}
	}
}

// stamps are the inodes of the files.
func stamps(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for name := range contents(t, dir) {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = fmt.Sprint(fi.ModTime().UnixNano(), fi.Sys())
	}
	return out
}

// TestSweep: a maintainer without failures has no page any more; what is not ours stays.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := site(50).Write(dir); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "maintainer", "notes.html")
	if err := os.WriteFile(foreign, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := site(3).Write(dir); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]int{"maintainer/m*.html": 3, "maintainer/*.atom": 3, "maintainer/*.json": 3, "package/*.html": 3, "maintainer/notes.html": 1} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) != want {
			t.Errorf("%s: %d files, want %d", pattern, len(found), want)
		}
	}
}

// TestHostile: what a tree or a server says is text, wherever it stands.
func TestHostile(t *testing.T) {
	t.Parallel()
	evil := `"><script>alert(1)</script>` + "\x00\x1b[31m\u2028../../../etc/passwd"
	s := site(0)
	s.Failures = []report.Failure{{
		Name: evil, Class: evil, Reason: evil, Hint: evil, Owner: evil, Owners: []string{evil}, Maintainers: []string{evil, "../../x", ""}, New: true, First: now,
		Answers: []report.Answer{{URL: "javascript:alert(1)", Host: evil, Class: evil, Text: evil}},
	}}
	s.Deletions = []report.Deletion{{Name: evil, Owner: evil}}
	s.Whitelist = []pages.Keep{{Name: evil, Author: evil, Reason: evil}}
	s.Quarantine = []pages.Kept{{ID: evil, Name: evil, Why: evil, From: evil}}
	s.Runs[0].Failures[evil] = 7
	s.Summary.Problems, s.Summary.Complete, s.Summary.Guard = []string{evil}, false, evil
	dir := t.TempDir()
	if err := s.Write(filepath.Join(dir, "in", "site")); err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`^in/site/(maintainer/|package/)?[a-z0-9.-]+$`)
	for path, text := range contents(t, dir) {
		if !name.MatchString(path) {
			t.Errorf("a file is called %q", path)
		}
		if strings.HasSuffix(path, ".html") && (strings.Contains(text, "<script>") || strings.Contains(text, `href="javascript`)) {
			t.Errorf("%s has a script of somebody else", path)
		}
		if strings.HasSuffix(path, ".atom") {
			if err := xml.Unmarshal([]byte(text), new(struct{})); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// BenchmarkWrite: the site of 2,000 failures of 200 maintainers, anew and again.
func BenchmarkWrite(b *testing.B) {
	for name, again := range map[string]bool{"new": false, "again": true} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			for i := 0; b.Loop(); i++ {
				at := filepath.Join(dir, fmt.Sprint(i))
				if again {
					at = filepath.Join(dir, "same")
				}
				if err := site(2000).Write(at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
