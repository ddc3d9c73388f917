package plan

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

var (
	t0    = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	long  = t0.AddDate(0, 0, -30)
	later = t0.AddDate(0, 0, 30)
)

const day = 24 * time.Hour

// files are those of a published tree.
type files map[string]layout.File

func (fs files) Get(rel string) (layout.File, bool) {
	f, ok := fs[rel]
	if !ok {
		f.Size = -1
	}
	return f, f.Size >= 0
}

func (fs files) All(f func(rel string, file layout.File) bool) {
	for rel, file := range fs {
		if file.Size >= 0 && !f(rel, file) {
			return
		}
	}
}

// A world is an archive of a test: its facts, and what they are made of.
type world struct {
	*Facts
	files   files
	scan    catalog.Scan
	white   []catalog.Name
	recycle map[*ledger.Recycled]layout.File
	there   bool // something is at every path
	lying   []*layout.Stray
}

func newWorld() *world {
	w := &world{files: make(files), scan: catalog.Scan{Repo: "r"}, recycle: make(map[*ledger.Recycled]layout.File)}
	w.Facts = &Facts{
		Options: Options{Delete: true, DeletionDelay: 7 * day, RecycleDelay: 7 * day, MaxDelete: 1},
		Now:     t0, Published: "/a/distfiles", State: "/a/state",
		Index: ledger.NewIndex(&ledger.State{
			Failures:  make(map[ledger.FailureKey]*ledger.Failure),
			Deletions: make(map[ledger.Key]*ledger.Deletion), Recycled: make(map[ledger.Key]*ledger.Recycled),
			Dropped: make(map[catalog.Name]*ledger.Dropped), Notes: ledger.Notes{Clock: t0.Add(-time.Hour)},
		}),
		Shelf:       layout.Shelf{Files: w.files, Layouts: layout.Conf{layout.Flat()}},
		Whitelisted: func(n catalog.Name) bool { return slices.Contains(w.white, n) },
		Recycled: func(r *ledger.Recycled) layout.File {
			if f, ok := w.recycle[r]; ok {
				return f
			}
			return layout.File{Size: -1}
		},
		There: func(string) bool { return w.there },
		Asked: func(catalog.Name, []catalog.Source) string { return "asked" },
		Read:  make(map[string]bool), Wrong: make(map[string]string), Failed: make(map[string]error), FailedDrops: make(map[catalog.Name]error),
		Drops: make(map[catalog.Name]*Drop), Tried: make(map[ledger.FailureKey]bool), Stuck: make(map[ledger.Key]bool), Unread: make(map[ledger.Key]bool),
	}
	w.Strays = func(size int64, base string) (found []*layout.Stray) {
		for _, s := range w.lying {
			if s.Size == size || size < 0 && s.Base == base {
				found = append(found, s)
			}
		}
		return found
	}
	return w
}

// lies puts a file where no layout would have one.
func (w *world) lies(path string, size int64) {
	w.lying = append(w.lying, &layout.Stray{Path: path, Base: filepath.Base(path), File: layout.File{Size: size, ModTime: long}})
}

// facts are complete now.
func (w *world) facts() *Facts {
	w.Catalog = catalog.Merge([]*catalog.Scan{&w.scan})
	w.Index = ledger.NewIndex(w.Index.State)
	return w.Facts
}

func sums(text string) digest.Set {
	s, _ := digest.NewSet(digest.SHA256.Sum([]byte(text)), digest.BLAKE2B.Sum([]byte(text)))
	return s
}

// wants makes a package want text under name.
func (w *world) wants(name catalog.Name, text string) *catalog.Distfile {
	s, _ := digest.NewSet(digest.BLAKE2B.Sum([]byte(text)))
	d := &catalog.Distfile{
		Name: name, Size: int64(len(text)), Digests: s, Owners: []catalog.Owner{{Repo: "r", Package: "p"}},
		Sources: []catalog.Source{{URI: "https://h.example/" + string(name)}},
	}
	w.scan.Distfiles = append(w.scan.Distfiles, d)
	return d
}

// incomparable makes another package want text under name, by another digest.
func (w *world) incomparable(name catalog.Name, text string) *catalog.Distfile {
	d := w.wants(name, text)
	d.Digests, _ = digest.NewSet(digest.SHA512.Sum([]byte(text)))
	return d
}

func record(name catalog.Name, text string) ledger.Distfile {
	return ledger.Distfile{Content: layout.Content{Name: name, Digests: sums(text), Size: int64(len(text)), ModTime: long, Named: true}, Owner: "p::r"}
}

// held puts text into the archive, with a record and all links.
func (w *world) held(name catalog.Name, text string) *ledger.Distfile {
	d := w.recorded(name, text)
	for rel := range w.Shelf.Paths(&d.Content) {
		w.files[rel] = layout.File{Size: d.Size, ModTime: d.ModTime, Links: 2}
	}
	return d
}

// recorded makes a record that has no file.
func (w *world) recorded(name catalog.Name, text string) *ledger.Distfile {
	d := record(name, text)
	w.Index.Distfiles = append(w.Index.Distfiles, &d)
	slices.SortFunc(w.Index.Distfiles, func(a, b *ledger.Distfile) int { return a.Key().Compare(b.Key()) })
	return &d
}

// blake is a layout by content, and byContent the path of text in it.
var blake, _ = layout.Parse("content-hash BLAKE2B 8")

func byContent(text string) string {
	rel, _ := blake.Path("", sums(text))
	return rel
}

// strange puts text at its path by content, with no record.
func (w *world) strange(text string) (rel string) {
	rel = byContent(text)
	w.files[rel] = layout.File{Size: int64(len(text)), ModTime: long, Links: 1}
	return rel
}

// cipher is the path of d below by_cipher.
func cipher(d *ledger.Distfile) string { return d.CipherPaths()[0] }

// recycled puts text into recycle.
func (w *world) recycled(name catalog.Name, text string, since time.Time) *ledger.Recycled {
	r := &ledger.Recycled{Distfile: record(name, text), Since: since}
	w.Index.Recycled[r.Key()] = r
	w.recycle[r] = layout.File{Size: r.Size}
	return r
}

// scheduled puts d on the schedule.
func (w *world) scheduled(d *ledger.Distfile, since time.Time) *ledger.Deletion {
	s := &ledger.Deletion{Key: d.Key(), Since: since, Size: d.Size}
	w.Index.Deletions[d.Key()] = s
	return s
}

// drops puts a file into the drop box. If examined is not empty, it was found to
// have that text.
func (w *world) drops(name catalog.Name, size int64, examined string) *ledger.Dropped {
	w.Drops[name] = &Drop{Name: name, Path: "/drop/" + string(name), Size: size, ModTime: long, ID: ledger.FileID{Size: size}}
	if examined == "" {
		return nil
	}
	r := &ledger.Dropped{Name: name, File: ledger.FileID{Size: size}, SHA256: digest.SHA256.Sum([]byte(examined))}
	w.Index.Dropped[name] = r
	return r
}

// failed makes a failure of d that is tried again at next.
func (w *world) failed(d *catalog.Distfile, class string, last, next time.Time, asked string) {
	f := &ledger.Failure{Name: d.Name, Want: NewWant(d, true).ID(), Class: class, Reason: "404", Last: last, Next: next, Asked: asked}
	w.Index.Failures[f.Key()] = f
}

// unknown makes a package that cannot be read, which may want names.
func (w *world) unknown(scope catalog.Scope, names ...catalog.Name) {
	w.scan.Problems = append(w.scan.Problems, catalog.Problem{Repo: "r", Package: "q", Scope: scope, Names: names})
}

// outline is what p does, a word each.
func outline(f *Facts, p *Plan) string {
	var out []string
	if p.Held.Files > 0 {
		out = append(out, fmt.Sprint("held ", p.Held.Files))
	}
	for _, d := range p.Lost {
		out = append(out, "lost "+string(d.Name))
	}
	for _, a := range p.Actions(f) {
		detail, _, _ := strings.Cut(a.Detail, ":")
		switch a.Do {
		case "fail", "link", "read":
			out = append(out, a.Do+" "+a.Name+" "+detail)
		default:
			out = append(out, a.Do+" "+a.Name)
		}
	}
	for _, s := range p.Stale {
		out = append(out, "stale "+s.Rel)
	}
	for _, m := range p.Misfits {
		out = append(out, "misfit "+m.Rel)
	}
	for _, rel := range p.Unnamed {
		out = append(out, "unnamed "+rel)
	}
	for _, k := range slices.SortedFunc(maps.Keys(p.Unsure), ledger.Key.Compare) {
		out = append(out, "unsure "+string(k.Name))
	}
	return strings.Join(out, ", ")
}
