package openbsd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// A distinfo is one file that ports check their distfiles against.
type distinfo struct {
	file     string // for problems
	entries  []entry
	names    []catalog.Name
	index    map[catalog.Name]int
	used     []bool // a port mentions the entry
	problems []catalog.Problem
	err      error // why it cannot be read
}

// lookup returns the entry of name, if there is one, and remembers that it is
// wanted.
func (i *distinfo) lookup(name catalog.Name) (entry, bool) {
	n, ok := i.index[name]
	if !ok {
		return entry{Name: name, Size: -1}, false
	}
	i.used[n] = true
	return i.entries[n], true
}

func (i *distinfo) unreferenced() (n int) {
	for _, used := range i.used {
		if !used {
			n++
		}
	}
	return n
}

// content is what a distfile must have in common with another to be the same
// for a catalog.
type content struct {
	name     catalog.Name
	restrict catalog.Restriction
	size     int64
	digests  string
}

// A sourced distfile is one whose backup sites are not among its Sources yet.
type sourced struct {
	*catalog.Distfile
	backups []catalog.Source
}

// An assembler joins the ports of a dump with the distinfo files.
type assembler struct {
	repo      *Repository
	dump      *dump
	infos     map[string]*distinfo // by path below the ports tree
	contents  map[content]*sourced
	distfiles []*sourced
	problems  *problemList
}

// checksumPath returns the path below the ports tree of a CHECKSUM_FILE, which
// is absolute and may contain "dir/../".
func (r *Repository) checksumPath(file string) (string, error) {
	clean := path.Clean(file)
	for _, root := range []string{path.Clean(r.o.Root), r.path} {
		if rel, ok := strings.CutPrefix(clean, strings.TrimSuffix(root, "/")+"/"); ok && path.IsAbs(file) {
			return rel, nil
		}
	}
	return "", fmt.Errorf("CHECKSUM_FILE %s is not below %s; give the PORTSDIR that the dump was made with", label([]byte(file)), r.o.Root)
}

// readDistinfos reads all distinfo files that the ports name. One that is not
// there matters only to a port that has distfiles.
func (a *assembler) readDistinfos(ctx context.Context, root *os.Root) error {
	a.infos = make(map[string]*distinfo)
	var g errgroup.Group
	g.SetLimit(a.repo.o.Workers)
	for _, p := range a.dump.ports {
		if p.checksum == "" {
			continue
		}
		rel, err := a.repo.checksumPath(p.checksum)
		if err != nil || a.infos[rel] != nil {
			continue // an error is reported with the port
		}
		i := &distinfo{file: path.Join(a.repo.path, rel)}
		a.infos[rel] = i
		g.Go(func() error {
			if ctx.Err() == nil {
				i.read(root, rel)
			}
			return nil
		})
	}
	_ = g.Wait() // has no errors: they are kept with the files
	return ctx.Err()
}

// protect finds the files of a port that make has not listed: those of its
// distinfo, where it has one of its own.
func (a *assembler) protect(root *os.Root, p *catalog.Problem) {
	if p.Scope != catalog.OnePackage {
		return
	}
	dir, _, _ := strings.Cut(p.Package, ",")
	rel := path.Join(dir, "distinfo")
	i := a.infos[rel]
	if i == nil {
		i = &distinfo{file: path.Join(a.repo.path, rel)}
		i.read(root, rel)
	}
	p.Names = i.names
}

func (i *distinfo) read(root *os.Root, rel string) {
	f, err := regular.OpenIn(root, rel)
	if errors.Is(err, regular.ErrIrregular) {
		err = errors.New("not a regular file") // whoever reports it names it
	}
	if err != nil {
		i.err = reason(err)
		return
	}
	defer f.Close()
	i.entries, i.problems = parseDistinfo(i.file, f)
	i.used = make([]bool, len(i.entries))
	i.index = make(map[catalog.Name]int, len(i.entries))
	for n, e := range i.entries {
		i.names = append(i.names, e.Name)
		i.index[e.Name] = n
	}
}

// files reports whether the port has any distfiles.
func (p *port) files() bool {
	for line := range strings.Lines(p.lists) {
		name, _, _ := strings.Cut(line, "=")
		if _, sites, ok := listVariable(name); ok && !sites {
			return true
		}
	}
	return false
}

// port adds the distfiles of p.
func (a *assembler) port(p *port) {
	if !p.files() {
		return
	}
	info := a.info(p)
	restrict, reason := p.restriction()
	sites := a.sites(p)
	owners := make([]catalog.Owner, len(p.pkgs))
	for i, pkg := range p.pkgs {
		owners[i] = catalog.Owner{Repo: a.repo.o.Name, Package: pkg}
	}
	for _, w := range a.words(p) {
		name, err := distName(p.subdir, w.local)
		if err != nil {
			a.problem(p, a.dump.label, p.line, "word %q: %v", clip(w.local), err)
			continue
		}
		e := entry{Name: name, Size: -1}
		if info != nil {
			e = a.entry(p, info, name)
		}
		var key strings.Builder
		for _, d := range e.Digests {
			key.WriteByte(byte(d.Alg))
			key.Write(d.Raw())
		}
		c := content{name, restrict, e.Size, key.String()}
		d := a.contents[c]
		if d == nil {
			d = &sourced{Distfile: &catalog.Distfile{
				Name:     name,
				Size:     e.Size,
				Digests:  e.Digests,
				Restrict: restrict,
				Reason:   reason,
				Kind:     catalog.OpenBSD,
			}}
			a.contents[c] = d
			a.distfiles = append(a.distfiles, d)
		}
		addOwners(d.Distfile, owners)
		first, last := sites[w.suffix].uris(w, name, a.repo.o.BackupSites)
		d.Sources = addSources(d.Sources, first)
		d.backups = addSources(d.backups, last)
	}
}

// addOwners appends owners unless they are the last that were added: a port may
// name a file twice, and have it from two lists of sites.
func addOwners(d *catalog.Distfile, owners []catalog.Owner) {
	if n := len(d.Owners) - len(owners); n >= 0 && slices.Equal(d.Owners[n:], owners) {
		return
	}
	d.Owners = append(d.Owners, owners...)
}

// addSources appends those that sources does not have yet, up to the limit.
func addSources(sources []catalog.Source, uris []string) []catalog.Source {
	for _, u := range uris {
		if len(sources) >= maxSites {
			break
		}
		if !slices.ContainsFunc(sources, func(s catalog.Source) bool { return s.URI == u }) {
			sources = append(sources, catalog.Source{URI: u})
		}
	}
	return sources
}

// result returns the distfiles in the order of the dump.
func (a *assembler) result() []*catalog.Distfile {
	ds := make([]*catalog.Distfile, len(a.distfiles))
	for i, d := range a.distfiles {
		d.Sources = append(d.Sources, d.backups...)
		ds[i] = d.Distfile
	}
	return ds
}

// problem records that p cannot be known: what its distinfo has is protected.
func (a *assembler) problem(p *port, file string, line int, format string, args ...any) {
	pr := catalog.Problem{Package: p.pkgs[0], Scope: catalog.OnePackage, File: file, Line: line, Msg: fmt.Sprintf(format, args...)}
	if rel, err := a.repo.checksumPath(p.checksum); err == nil && a.infos[rel] != nil {
		pr.Names = a.infos[rel].names
	}
	a.problems.add(pr)
}

// info returns the distinfo of p, or nil if there is none to be had. What is
// wrong with it is reported with the first port that needs it.
func (a *assembler) info(p *port) *distinfo {
	if p.checksum == "" {
		a.problem(p, a.dump.label, p.line, "no CHECKSUM_FILE: what the distfiles must be is not known")
		return nil
	}
	rel, err := a.repo.checksumPath(p.checksum)
	if err != nil {
		a.problem(p, a.dump.label, p.line, "%v", err)
		return nil
	}
	i := a.infos[rel]
	switch msg := fmt.Sprintf("distinfo cannot be read: %v", i.err); {
	case errors.Is(i.err, fs.ErrNotExist):
		a.problem(p, i.file, 0, "%s", msg)
		return nil
	case i.err != nil:
		a.problems.add(catalog.Problem{Package: p.pkgs[0], File: i.file, Msg: msg})
		return nil
	}
	for _, pr := range i.problems {
		pr.Package = p.pkgs[0]
		a.problems.add(pr)
	}
	i.problems = nil
	return i
}

// entry returns what info says about name, and reports what dpb does not
// accept.
func (a *assembler) entry(p *port, info *distinfo, name catalog.Name) entry {
	e, ok := info.lookup(name)
	switch {
	case !ok:
		a.problem(p, info.file, 0, "nothing about %s; run make makesum in the port", name)
	case e.Size < 0:
		a.problem(p, info.file, e.Line, "%s has no SIZE; run make makesum in the port", name)
	}
	if ok && e.sha256().IsZero() {
		a.problem(p, info.file, e.Line, "%s has no SHA256; run make makesum in the port", name)
	}
	return e
}

// restriction returns why the distfiles of p must not be mirrored. Who has to
// obtain a file by hand needs that text more than the one about the licence.
func (p *port) restriction() (catalog.Restriction, string) {
	switch {
	case p.manual != "":
		// The words are strings, which bsd.port.mk prints one a line.
		var lines []string
		for s := range strings.SplitSeq(p.manual, `"`) {
			if s = strings.TrimSpace(s); s != "" {
				lines = append(lines, s)
			}
		}
		text := strings.Join(lines, " ")
		if p.missing != "" {
			text += " (missing: " + strings.Join(strings.Fields(p.missing), " ") + ")"
		}
		if p.permit != "" {
			return catalog.RestrictPermit, text + " (" + p.permit + ")"
		}
		return catalog.RestrictFetch, text
	case p.permit != "":
		return catalog.RestrictPermit, p.permit
	}
	return "", ""
}

// sites returns the site lists of p by suffix.
func (a *assembler) sites(p *port) map[string]siteList {
	lists := make(map[string]siteList)
	for line := range strings.Lines(p.lists) {
		name, value, _ := strings.Cut(line, "=")
		suffix, sites, _ := listVariable(name)
		if !sites {
			continue
		}
		l, more := parseSites(value, p.subdir, a.repo.o.BackupSites)
		if more {
			a.problem(p, a.dump.label, p.line, "%s has more than %d sites; the others are not asked", name, maxSites)
		}
		lists[suffix] = l
	}
	return lists
}

// words returns the distfiles of p.
func (a *assembler) words(p *port) []word {
	var words []word
	for line := range strings.Lines(p.lists) {
		name, value, _ := strings.Cut(line, "=")
		suffix, sites, _ := listVariable(name)
		if sites {
			continue
		}
		for s := range strings.FieldsSeq(value) {
			if len(words) == maxFiles {
				a.problem(p, a.dump.label, p.line, "more than %d distfiles; the others are not known", maxFiles)
				return words
			}
			words = append(words, parseWord(s, suffix))
		}
	}
	return words
}
