// Package pages makes a static site of what runs export, for people who have no
// account on the machine: an operator's overview, and a page for each maintainer and
// each package with failures, each as JSON and as an Atom feed too.
//
// A site is a directory of files that refer to each other by relative links. It needs
// no server and nothing from elsewhere, and all of it can be read without its script,
// which only filters and sorts. All text in it comes from trees and servers, and is
// escaped; names of files are made of letters and digits alone.
//
// Begin reading at Site.
package pages

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"distkeep/archive/report"
	"distkeep/archive/report/triage"
	"distkeep/catalog/regular"
)

// A Site is what the pages tell.
type Site struct {
	// Now is when they are made.
	Now time.Time
	// Summary is that of the last run; Runs are the ends of the runs so far, the
	// oldest first.
	Summary    *report.Summary
	Runs       []report.Run
	Failures   []report.Failure
	Deletions  []report.Deletion
	Whitelist  []Keep
	Quarantine []Kept
}

// A Keep is an entry of a whitelist.
type Keep struct {
	Name, Author, Reason, List string
	Date                       time.Time
}

// A Kept file is in quarantine.
type Kept struct {
	ID, Kind, Name, From, Why string
	Size                      int64
	Time                      time.Time
}

//go:embed files
var files embed.FS

// perm is for everybody: the site is served.
const perm = 0o644

// Write makes the site in dir, which it makes if it has to. Each file is replaced in one
// step and only when it has changed; pages of maintainers and packages without failures
// any more are removed. Other files in dir stay.
func (s *Site) Write(dir string) error {
	w := &writer{site: s, dir: dir, made: make(map[string]bool)}
	for _, d := range []string{dir, filepath.Join(dir, maintainerDir), filepath.Join(dir, packageDir)} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("pages: %w", err)
		}
	}
	var err error
	if w.templates, err = template.New("").Funcs(w.funcs()).ParseFS(files, "files/*.html"); err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	for _, step := range []func() error{w.static, w.overview, w.lists, w.groups, w.sweep} {
		if err := step(); err != nil {
			return fmt.Errorf("pages: %w", err)
		}
	}
	return nil
}

// The directories of the pages that there is one of for each maintainer and package.
const (
	maintainerDir = "maintainer"
	packageDir    = "package"
)

// A writer writes one site.
type writer struct {
	site      *Site
	dir       string
	templates *template.Template
	made      map[string]bool // by path in the site
}

// A page is what a template is given.
type page struct {
	*Site
	// Title is that of the page, Root the way up to the directory of the site,
	// File its own name, and Feed that of its feed, or empty.
	Title, Root, File, Feed string
	Rows                    []report.Failure
	// More is how many rows there are beside those.
	More int
	// Groups are of the whole site, or of Rows.
	Classes, Hosts, Maintainers, Packages []*triage.Group
	Plots                                 []Plot
	Days                                  []day
}

// A day has what is deleted or purged on it at the earliest.
type day struct {
	Date  string
	Items []report.Deletion
	Bytes int64
}

func (w *writer) static() error {
	for _, name := range []string{"style.css", "pages.js"} {
		text, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		if err := w.put(name, text); err != nil {
			return err
		}
	}
	return nil
}

// maxFresh is how many new failures the overview has.
const maxFresh = 20

func (w *writer) overview() error {
	s := w.site
	fresh := newest(s.Failures)
	return w.page("index.html", "overview.html", &page{
		Title: "Overview", Feed: "failures.atom", Plots: plots(s.Runs),
		Classes: triage.Groups(report.Each(s.Failures), triage.Class), Hosts: triage.Groups(report.Each(s.Failures), triage.Host),
		Maintainers: triage.Groups(report.Each(s.Failures), triage.Maintainer), Packages: packages(s.Failures),
		Rows: fresh[:min(len(fresh), maxFresh)], More: max(0, len(fresh)-maxFresh),
	})
}

// newest are the new failures, those of the last run.
func newest(fs []report.Failure) []report.Failure {
	return slices.DeleteFunc(slices.Clone(fs), func(f report.Failure) bool { return !f.New })
}

// lists are the pages with all of one thing.
func (w *writer) lists() error {
	s := w.site
	if err := w.failures("failures", "Failures", "", s.Failures); err != nil {
		return err
	}
	conflicts := slices.DeleteFunc(slices.Clone(s.Failures), func(f report.Failure) bool { return f.Class != "conflict" })
	for _, p := range []struct {
		file, template string
		page
	}{
		{"hosts.html", "hosts.html", page{Title: "Hosts", Hosts: triage.Groups(report.Each(s.Failures), triage.Host)}},
		{"deletions.html", "deletions.html", page{Title: "Scheduled deletions", Days: days(s.Deletions)}},
		{"whitelist.html", "whitelist.html", page{Title: "Whitelist"}},
		{"quarantine.html", "quarantine.html", page{Title: "Quarantine"}},
		{"conflicts.html", "failures.html", page{Title: "Conflicts", Rows: conflicts}},
	} {
		if err := w.page(p.file, p.template, &p.page); err != nil {
			return err
		}
	}
	return nil
}

// failures writes a list of failures in each of its forms.
func (w *writer) failures(base, title, root string, fs []report.Failure) error {
	text, err := json.MarshalIndent(struct {
		Schema   int              `json:"schema"`
		Title    string           `json:"title"`
		Failures []report.Failure `json:"failures"`
	}{1, title, append([]report.Failure{}, fs...)}, "", " ")
	if err != nil {
		return err
	}
	if err := w.put(base+".json", append(text, '\n')); err != nil {
		return err
	}
	feed, err := atom(base, title, fs)
	if err != nil {
		return err
	}
	if err := w.put(base+".atom", feed); err != nil {
		return err
	}
	return w.page(base+".html", "failures.html", &page{
		Title: title, Root: root, Feed: path.Base(base) + ".atom", Rows: fs, Classes: triage.Groups(report.Each(fs), triage.Class),
	})
}

// list writes a list of failures as a page alone.
func (w *writer) list(base, title, root string, fs []report.Failure) error {
	return w.page(base+".html", "failures.html", &page{Title: title, Root: root, Rows: fs, Classes: triage.Groups(report.Each(fs), triage.Class)})
}

// groups are the pages of maintainers and packages.
func (w *writer) groups() error {
	for _, of := range []struct {
		dir   string
		keys  func(*report.Failure) []string
		write func(base, title, root string, fs []report.Failure) error
	}{
		{maintainerDir, func(f *report.Failure) []string { return triage.KeysOf(f, triage.Maintainer) }, w.failures},
		{packageDir, packagesOf, w.list}, // there are too many of them for more than a page each
	} {
		rows := make(map[string][]report.Failure)
		for i := range w.site.Failures {
			f := &w.site.Failures[i]
			for _, k := range of.keys(f) {
				rows[k] = append(rows[k], *f)
			}
		}
		for key, fs := range rows {
			if err := of.write(of.dir+"/"+slug(key), key, "../", fs); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep removes pages of earlier sites that this one has not.
func (w *writer) sweep() error {
	for _, d := range []string{maintainerDir, packageDir} {
		entries, err := os.ReadDir(filepath.Join(w.dir, d))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if p := d + "/" + e.Name(); ours.MatchString(e.Name()) && !w.made[p] {
				if err := os.Remove(filepath.Join(w.dir, p)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// ours are the names that slug makes.
var ours = regexp.MustCompile(`^[a-z0-9-]*-[0-9a-f]{12}\.(html|json|atom)$`)

// slug makes a file name of any text: what is readable in it, and a digest, so that no
// two are the same.
func slug(text string) string {
	sum := sha256.Sum256([]byte(text))
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		if b.Len() >= 60 {
			break
		}
		if r < 'a' || r > 'z' {
			if r < '0' || r > '9' {
				r = '-'
			}
		}
		b.WriteRune(r)
	}
	return b.String() + "-" + hex.EncodeToString(sum[:6])
}

// version matches the version of a Gentoo package, and its repository.
var version = regexp.MustCompile(`-[0-9][0-9.]*[a-z]?(_[a-z]+[0-9]*)*(-r[0-9]+)?$`)

// packagesOf are the packages of a failure, without version and repository.
func packagesOf(f *report.Failure) (names []string) {
	for _, o := range triage.KeysOf(f, triage.Package) {
		name, _, _ := strings.Cut(o, "::")
		names = append(names, version.ReplaceAllString(name, ""))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// packages are the groups of failures by package, the largest first.
func packages(fs []report.Failure) []*triage.Group {
	counts := make(map[string]*triage.Group)
	for i := range fs {
		for _, p := range packagesOf(&fs[i]) {
			if counts[p] == nil {
				counts[p] = &triage.Group{Key: p}
			}
			counts[p].Failures++
		}
	}
	return triage.Sorted(counts)
}

// days groups deletions by the day on which they are due.
func days(ds []report.Deletion) (out []day) {
	ds = slices.SortedStableFunc(slices.Values(ds), func(a, b report.Deletion) int { return a.Due.Compare(b.Due) })
	for _, d := range ds {
		date := d.Due.UTC().Format(time.DateOnly)
		if len(out) == 0 || out[len(out)-1].Date != date {
			out = append(out, day{Date: date})
		}
		at := &out[len(out)-1]
		at.Items = append(at.Items, d)
		at.Bytes += d.Size
	}
	return out
}

// page writes one page.
func (w *writer) page(file, name string, p *page) error {
	p.Site, p.File = w.site, file
	var b bytes.Buffer
	if err := w.templates.ExecuteTemplate(&b, name, p); err != nil {
		return err
	}
	return w.put(file, b.Bytes())
}

// put writes a file of the site, unless it is as it should be. It is whole at any
// moment; after a loss of power the next run makes it again, so that nothing waits for
// the disk: a site may have thousands of files.
func (w *writer) put(file string, text []byte) error {
	w.made[file] = true
	at := filepath.Join(w.dir, filepath.FromSlash(file))
	if old, err := regular.Read(at, int64(len(text))+1); err == nil && bytes.Equal(old, text) {
		return nil
	}
	temp := filepath.Join(filepath.Dir(at), ".new."+filepath.Base(at))
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, at)
}
