// Package pacman reads the repositories of pacman, the package manager of Arch
// Linux and of MSYS2: databases that name the package files, their sizes and
// their digests (alpm-repo-db(7), alpm-repo-desc(5), and libalpm's be_sync.c,
// which is what clients read them with).
//
// It parses only. Package upstream fetches databases and says how they are
// published; [Options.Locations] and [Repository.Databases] are what it needs
// for that.
package pacman

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// DefaultTemplate is the layout of Arch Linux's mirrors.
const DefaultTemplate = "$repo/os/$arch"

// Options describe the repositories that are scanned together.
type Options struct {
	// Name identifies the whole in owners and reports. It must be set.
	Name string
	// Repos are the repositories in the order of pacman.conf: where two have
	// the same file name with different contents, the first keeps the name.
	// There must be one at least.
	Repos []string
	// Arches are the architectures that each of Repos has. They may be empty
	// when Template does not speak of $arch.
	Arches []string
	// Not are pairs REPO/ARCH that there are not, although both are named.
	Not []string
	// Template makes the directory of a database and its packages, relative
	// to the base, from $repo and $arch. Empty means DefaultTemplate, "."
	// the base itself.
	Template string
	// URLs are base URLs of the upstream, the preferred one first: a package
	// is at URL/directory/FILENAME. Without any, packages have no sources.
	URLs []string
}

// A Location is the place of one database.
type Location struct {
	Repo, Arch string
	// Dir is the directory of the database and its packages, relative to the
	// base and with slashes; "." is the base itself.
	Dir string
}

// Path returns the slash-separated path, relative to the base, of the
// database's file with that extension: ".db", ".files", ".db.sig" and so on.
func (l Location) Path(ext string) string { return path.Join(l.Dir, l.Repo+ext) }

// URL returns where a file of the location is below the base URL, which must
// be one that Open accepts. file is one component.
func (l Location) URL(base, file string) string {
	u := strings.TrimRight(base, "/") + "/"
	if l.Dir != "." {
		for c := range strings.SplitSeq(l.Dir, "/") {
			u += url.PathEscape(c) + "/"
		}
	}
	return u + url.PathEscape(file)
}

// Locations returns the places of all databases, each of Repos with each of
// Arches but for Not, in that order. They are the same paths below an upstream's URL, below
// a directory with fetched databases, and in the published archive. No two are
// equal, and none leaves the base.
func (o Options) Locations() ([]Location, error) {
	tmpl := o.Template
	if tmpl == "" {
		tmpl = DefaultTemplate
	}
	arches := o.Arches
	switch {
	case len(o.Repos) == 0:
		return nil, errors.New("no repository is named")
	case len(arches) > 0:
	case strings.Contains(tmpl, "$arch"):
		return nil, fmt.Errorf("template %q needs an architecture, and none is given", tmpl)
	default:
		arches = []string{""}
	}
	for _, word := range slices.Concat(o.Repos, o.Arches) {
		if _, err := catalog.ParseName(word); err != nil || strings.ContainsRune(word, '$') {
			return nil, fmt.Errorf("%q cannot be the name of a repository or an architecture", word)
		}
	}
	var locs []Location
	not := slices.Clone(o.Not)
	for _, repo := range o.Repos {
		for _, arch := range arches {
			if i := slices.Index(not, repo+"/"+arch); i >= 0 {
				not = slices.Delete(not, i, i+1)
				continue
			}
			l := Location{repo, arch, strings.NewReplacer("$repo", repo, "$arch", arch).Replace(tmpl)}
			if _, err := catalog.ParsePath(l.Dir); l.Dir != "." && err != nil {
				return nil, fmt.Errorf("template %q: %w", tmpl, err)
			}
			if strings.ContainsRune(l.Dir, '$') {
				return nil, fmt.Errorf("template %q: only $repo and $arch are known", tmpl)
			}
			if slices.ContainsFunc(locs, func(k Location) bool { return k.Path(".db") == l.Path(".db") }) {
				return nil, fmt.Errorf("template %q makes the same path %s of two databases", tmpl, l.Path(".db"))
			}
			locs = append(locs, l)
		}
	}
	switch {
	case len(not) > 0:
		return nil, fmt.Errorf("%q is no repository and architecture of these", not[0])
	case len(locs) == 0:
		return nil, errors.New("no repository is left")
	}
	return locs, nil
}

// A Repository is a set of pacman repositories whose databases are in a local
// directory. It implements catalog.Repository. Its methods must not be called
// concurrently.
type Repository struct {
	base string
	o    Options
	locs []Location
	dbs  []*Database
}

var _ catalog.Repository = (*Repository)(nil)

// Open returns the repositories whose databases are below base: a local mirror,
// or a directory into which they were fetched. It reads nothing yet; its errors
// are about o.
func Open(base string, o Options) (*Repository, error) {
	if o.Name == "" {
		return nil, errors.New("pacman repository: the name is missing")
	}
	locs, err := o.Locations()
	if err != nil {
		return nil, fmt.Errorf("pacman repository %s: %w", o.Name, err)
	}
	for _, s := range o.URLs {
		u, err := url.Parse(s)
		if err != nil || u.Scheme == "" || u.Host == "" && u.Scheme != "file" || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("pacman repository %s: %q is not a base URL", o.Name, catalog.Redact(s))
		}
	}
	return &Repository{base: base, o: o, locs: locs}, nil
}

// Name returns Options.Name.
func (r *Repository) Name() string { return r.o.Name }

// Kind returns catalog.Pacman.
func (r *Repository) Kind() catalog.Kind { return catalog.Pacman }

// Databases returns what the last successful Scan parsed, in the order of the
// locations. Databases that could not be read are missing.
func (r *Repository) Databases() []*Database { return r.dbs }

// Scan reads all databases, one on each processor. One that is missing or
// damaged is a problem; an error means that there is none that can be read.
//
// A package that several databases share with the same content is one distfile
// with the sources of all. The digests are SHA256 alone, or MD5 where there is
// nothing better, so that Digests.Strongest().Alg.Strong() tells the weak
// ones; a package without any digest has an empty set.
func (r *Repository) Scan(ctx context.Context) (*catalog.Scan, error) {
	type result struct {
		db       *Database
		problems []catalog.Problem
		err      error
	}
	results := make([]result, len(r.locs))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, l := range r.locs {
		g.Go(func() error {
			res := &results[i]
			res.db, res.problems, res.err = r.readDatabase(gctx, l)
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	s := &catalog.Scan{Repo: r.o.Name, Kind: catalog.Pacman}
	var dbs []*Database
	var failed error
	for _, res := range results {
		if res.err != nil {
			failed = cmp.Or(failed, res.err)
			s.Problems = append(s.Problems, catalog.Problem{Repo: r.o.Name, Msg: res.err.Error()})
			continue
		}
		for _, p := range res.problems {
			p.Repo = r.o.Name
			s.Problems = append(s.Problems, p)
		}
		s.Packages += res.db.Entries
		dbs = append(dbs, res.db)
	}
	if len(dbs) == 0 {
		return nil, fmt.Errorf("pacman repository %s: no database can be read; the first: %w", r.o.Name, failed)
	}
	r.dbs = dbs
	s.Distfiles = r.distfiles(dbs)
	s.Maintainers = func(pkg string) []string { return packager(dbs, pkg) }
	return s, nil
}

// packager returns who has built the package with an ID. It looks through all: it is
// asked for few.
func packager(dbs []*Database, id string) []string {
	for _, db := range dbs {
		for i := range db.Packages {
			p := &db.Packages[i]
			if rest, ok := strings.CutPrefix(id, p.Name); ok && rest == "-"+p.Version {
				return catalog.ParseMaintainers(p.Packager)
			}
		}
	}
	return nil
}

// A content tells packages apart that are the same file for the same owner.
type content struct {
	name  catalog.Name
	owner string
	size  int64
	sum   digest.Digest
}

func (r *Repository) distfiles(dbs []*Database) []*catalog.Distfile {
	var ds []*catalog.Distfile
	seen := make(map[content]*catalog.Distfile)
	for _, db := range dbs {
		l := db.Location()
		for i := range db.Packages {
			p := &db.Packages[i]
			var sources []catalog.Source
			for _, base := range r.o.URLs {
				sources = append(sources, catalog.Source{URI: l.URL(base, string(p.Filename))})
			}
			set := p.Digests()
			key := content{p.Filename, p.ID(), p.CSize, set.Strongest()}
			if d := seen[key]; d != nil {
				d.Sources = append(d.Sources, sources...)
				continue
			}
			d := &catalog.Distfile{
				Name:    p.Filename,
				Size:    p.CSize,
				Digests: set,
				Sources: sources,
				Owners:  []catalog.Owner{{Repo: r.o.Name, Package: p.ID()}},
				Kind:    catalog.Pacman,
			}
			seen[key] = d
			ds = append(ds, d)
		}
	}
	return ds
}

// Extensions are the names that a database goes by where nobody made the link
// REPO.db, as in repositories that are kept in git.
var Extensions = []string{".db", ".db.tar.zst", ".db.tar.xz", ".db.tar.gz", ".db.tar.bz2", ".db.tar"}

func (r *Repository) readDatabase(ctx context.Context, l Location) (*Database, []catalog.Problem, error) {
	f, err := r.open(l)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	db, problems, err := ParseDatabase(f.Name(), ctxReader{ctx, f})
	if err != nil {
		return nil, nil, err
	}
	db.Repo, db.Arch, db.Dir = l.Repo, l.Arch, l.Dir
	return db, problems, nil
}

// open opens the first name of the database that exists.
func (r *Repository) open(l Location) (*os.File, error) {
	for _, ext := range Extensions {
		name := filepath.Join(r.base, filepath.FromSlash(l.Path(ext)))
		if f, err := regular.Open(name); !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return nil, fmt.Errorf("%s: no such database; check the repository, the architecture and the template", filepath.Join(r.base, filepath.FromSlash(l.Path(".db"))))
}

// A ctxReader ends with the error of its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
