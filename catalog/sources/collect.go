package sources

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// Bounds of a repository. Real ones stay far below them.
const (
	maxEntries  = 500_000
	maxURIs     = 100  // of one content
	maxURI      = 8192 // bytes; servers refuse longer ones
	maxContents = 1000 // of one name: v1.0.tar.gz is that of hundreds
	maxOwners   = 10_000
	maxProblems = 1000
)

// An entry is what a list says of one file.
type entry struct {
	name     string // empty: packages ask by content only
	size     int64  // -1: not known
	digests  digest.Set
	uris     []string
	owner    string
	restrict string
	line     int
}

// A parser reads one list into a collector.
type parser struct {
	*text
	*collector
}

// problem notes that a part of the list cannot be understood, whoever may want
// what it names.
func (p *parser) problem(line int, format string, args ...any) {
	p.report(catalog.Problem{File: p.file, Line: line, Msg: fmt.Sprintf(format, args...)})
}

// reject counts an entry that cannot be understood.
func (p *parser) reject(e *entry, format string, args ...any) {
	p.entries++
	p.refuse(e, format, args...)
}

// refuse notes that e cannot be understood. When it is known whose it is, or
// what file it is about, the rest of the list goes on.
func (p *parser) refuse(e *entry, format string, args ...any) {
	pr := catalog.Problem{File: p.file, Line: e.line, Msg: fmt.Sprintf(format, args...)}
	if n, err := catalog.ParsePath(e.name); err == nil {
		pr.Scope, pr.Package, pr.Names = catalog.OnePackage, string(n), []catalog.Name{n}
	}
	if _, err := catalog.ParsePath(e.owner); err == nil {
		pr.Scope, pr.Package = catalog.OnePackage, e.owner
	}
	p.report(pr)
}

// A collector makes distfiles of entries.
type collector struct {
	repo string
	base string // the URL of the files of lists without URIs; empty for none

	entries  int
	distinct map[content]*catalog.Distfile
	perName  map[string]int
	ds       []*catalog.Distfile
	problems []catalog.Problem
	unsaid   int // problems beyond maxProblems
	skipped  map[string]int
}

// A content tells entries apart that are not the same file. name is empty when
// nobody asks by it.
type content struct {
	name string
	sum  digest.Digest
}

// maxMessage bounds what is said of one problem, in bytes: it may quote a list.
const maxMessage = 1000

// report notes a problem, up to maxProblems of them.
func (c *collector) report(p catalog.Problem) {
	p.Repo = c.repo
	if len(p.Msg) > maxMessage {
		p.Msg = strings.ToValidUTF8(p.Msg[:maxMessage], "") + "…"
	}
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, p)
	} else {
		c.unsaid++
	}
}

// skip counts what is left out on purpose, by the reason.
func (c *collector) skip(why string) {
	if c.skipped == nil {
		c.skipped = make(map[string]int)
	}
	c.skipped[why]++
}

// scan returns what was collected.
func (c *collector) scan() *catalog.Scan {
	s := &catalog.Scan{Repo: c.repo, Kind: catalog.Sources, Packages: c.entries, Distfiles: c.ds, Problems: c.problems}
	if c.unsaid > 0 {
		s.Problems = append(s.Problems, catalog.Problem{Repo: c.repo, Msg: fmt.Sprintf("%d problems more", c.unsaid)})
	}
	for why, n := range c.skipped {
		s.Notes = append(s.Notes, fmt.Sprintf("%d left out: %s", n, why))
	}
	slices.Sort(s.Notes)
	return s
}

// add takes in e. Its error ends the list.
func (p *parser) add(e *entry) error {
	c := p.collector
	if c.entries++; c.entries > maxEntries {
		return fmt.Errorf("%s: more than %d entries", p.file, maxEntries)
	}
	d, err := c.distfile(e)
	if err != nil {
		p.refuse(e, "%v", err)
		return nil
	}
	key := content{sum: d.Digests.Strongest()}
	if !d.Unnamed {
		key.name = e.name
	}
	if have := c.distinct[key]; have != nil && compatible(have, d) {
		p.unite(have, d)
		return nil
	}
	if c.distinct == nil {
		c.distinct, c.perName = make(map[content]*catalog.Distfile), make(map[string]int)
	}
	if c.perName[string(d.Name)]++; c.perName[string(d.Name)] > maxContents {
		if !d.Unnamed {
			p.refuse(e, "more than %d contents are named %s", maxContents, d.Name)
			return nil
		}
		d.Name = catalog.Name(key.sum.Hex())
	}
	c.distinct[key] = d
	c.ds = append(c.ds, d)
	return nil
}

// distfile makes a distfile of e, or says why that is none.
func (c *collector) distfile(e *entry) (*catalog.Distfile, error) {
	if len(e.digests) == 0 {
		return nil, fmt.Errorf("%q has no digest that is known", clip(firstOf(e.name, e.uris)))
	}
	d := &catalog.Distfile{
		Size: e.size, Digests: e.digests, Kind: catalog.Sources,
		Owners: []catalog.Owner{{Repo: c.repo, Package: e.owner}},
	}
	if err := c.name(d, e); err != nil {
		return nil, err
	}
	if _, err := catalog.ParsePath(e.owner); e.owner != "" && err != nil {
		return nil, fmt.Errorf("bad owner %q", clip(e.owner))
	}
	if e.owner == "" {
		d.Owners[0].Package = c.repo
	}
	uris := e.uris
	if len(uris) == 0 && c.base != "" && e.name != "" {
		uris = []string{c.base + "/" + escape(e.name)}
	}
	for _, u := range uris {
		switch {
		case len(u) > maxURI:
			c.skip(fmt.Sprintf("a URI of more than %d bytes", maxURI))
		case strings.ContainsFunc(u, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return nil, fmt.Errorf("bad URI %q", clip(u))
		default:
			c.addSource(d, u)
		}
	}
	switch r := catalog.Restriction(e.restrict); r {
	case "", catalog.RestrictMirror, catalog.RestrictFetch:
		d.Restrict = r
	default:
		d.Restrict, d.Reason = catalog.RestrictPermit, clip(e.restrict)
	}
	return d, nil
}

// name gives d its name. That of an entry without one is only for people: the
// last component of a URI, or else the digest.
func (c *collector) name(d *catalog.Distfile, e *entry) error {
	if e.name != "" {
		n, err := catalog.ParsePath(e.name)
		d.Name = n
		return err
	}
	d.Unnamed = true
	for _, u := range e.uris {
		if parsed, err := url.Parse(u); err == nil {
			if n, err := catalog.ParseName(path.Base(parsed.Path)); err == nil && n != "." {
				d.Name = n
				return nil
			}
		}
	}
	d.Name = catalog.Name(e.digests.Strongest().Hex())
	return nil
}

func (c *collector) addSource(d *catalog.Distfile, uri string) {
	switch {
	case slices.ContainsFunc(d.Sources, func(s catalog.Source) bool { return s.URI == uri }):
	case len(d.Sources) == maxURIs:
		c.skip(fmt.Sprintf("a URI beyond the first %d of a file", maxURIs))
	default:
		d.Sources = append(d.Sources, catalog.Source{URI: uri})
	}
}

// compatible reports whether two entries with the same strongest digest do not
// contradict each other.
func compatible(have, d *catalog.Distfile) bool {
	return have.Restrict == d.Restrict && have.Same(d) != digest.Different
}

// unite adds to have what d says of the same content.
func (p *parser) unite(have, d *catalog.Distfile) {
	have.Digests = have.Digests.Union(d.Digests)
	have.Size = max(have.Size, d.Size)
	for _, s := range d.Sources {
		p.addSource(have, s.URI)
	}
	if o := d.Owners[0]; len(have.Owners) < maxOwners && have.Owners[len(have.Owners)-1] != o {
		have.Owners = append(have.Owners, o)
	}
}

// escape spells a name as the path of a URL.
func escape(name string) string {
	parts := strings.Split(name, "/")
	for i, s := range parts {
		parts[i] = url.PathEscape(s)
	}
	return strings.Join(parts, "/")
}

func firstOf(name string, uris []string) string {
	if name == "" && len(uris) > 0 {
		return uris[0]
	}
	return name
}

// clip bounds what a message quotes, and takes passwords of URLs out.
func clip(s string) string {
	const most = 200
	s = catalog.Redact(s[:min(len(s), maxURI)])
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
