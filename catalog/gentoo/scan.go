package gentoo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"distkeep/catalog"
)

// chunkSize is how many packages a worker takes at a time: enough that opening
// the directory of their category does not count, few enough that the workers
// end together.
const chunkSize = 32

// cacheDir is where the metadata cache is.
const cacheDir = "metadata/md5-cache"

// A tree is one scan under way.
type tree struct {
	repo  *Repository
	root  *os.Root
	top   dir
	cache dir // of cacheDir
	// cacheCats are the categories that the cache has, sorted.
	cacheCats []string
	// fromCache is set for a tree without ebuilds: the entries of the cache
	// are its packages.
	fromCache bool

	masters masters
	own     *metadata
	mirrors map[string][]string
	exempt  map[string]bool
	workers []*worker
	stamps  *stamps
	scan    catalog.Scan
}

// A unit is one package directory.
type unit struct {
	cat, pn string
	// files are the names of ebuilds, or of cache entries in a tree that has no
	// ebuilds. An ebuild that was not read has its name without the ending.
	files    []string
	manifest bool // there is one
	stamp    stamp

	distfiles    []*catalog.Distfile
	problems     []catalog.Problem
	hidden       int            // problems that are not in problems
	hiddenScope  catalog.Scope  // the widest of theirs
	protected    []catalog.Name // that its problems protect
	unreferenced int
	nomirror     int
}

func (u *unit) cp() string { return u.cat + "/" + u.pn }

// Scan reads the whole tree, with all that [catalog.Repository] says. It looks
// at every file anew, so that a Repository may be scanned again after the tree
// has changed.
func (r *Repository) Scan(ctx context.Context) (*catalog.Scan, error) {
	return r.scan(ctx, r.opts.FullScan)
}

// FullScan is Scan, but takes nothing from stamps.
func (r *Repository) FullScan(ctx context.Context) (*catalog.Scan, error) { return r.scan(ctx, true) }

func (r *Repository) scan(ctx context.Context, full bool) (*catalog.Scan, error) {
	s, err := r.read(ctx, full)
	if err != nil {
		return nil, fmt.Errorf("gentoo repository %s: %w", r.path, err)
	}
	return s, nil
}

func (r *Repository) read(ctx context.Context, full bool) (*catalog.Scan, error) {
	root, err := os.OpenRoot(r.path)
	if err != nil {
		return nil, plain(err)
	}
	defer root.Close()
	top, err := root.Open(".")
	if err != nil {
		return nil, plain(err)
	}
	defer top.Close()

	t := &tree{
		repo:   r,
		root:   root,
		top:    dir{fd: int(top.Fd()), rel: "."},
		exempt: make(map[string]bool),
		scan:   catalog.Scan{Repo: r.name, Kind: catalog.Gentoo, Maintainers: r.maintainers},
	}
	for range r.opts.Workers {
		t.workers = append(t.workers, newWorker(t))
	}
	for _, g := range r.opts.MirrorExemptions {
		t.exempt[g] = true
	}
	t.masters = t.readMasters()
	var unknown []string
	var errs []error
	t.mirrors, unknown, errs = r.mirrors()
	for _, name := range unknown {
		t.scan.Notes = append(t.scan.Notes, fmt.Sprintf("there is no mirror group %q to skip", name))
	}
	for _, err := range errs {
		t.problem("", err.Error())
	}
	t.cache = t.workers[0].dir(t.top, cacheDir)
	defer t.cache.close()
	if t.cache.err != nil && !notThere(t.cache.err) {
		t.problem(cacheDir, t.cache.err.Error())
	}
	t.own = r.metadata(ctx)
	t.stamps = t.openStamps(full)
	units, err := t.walk(ctx)
	if err != nil {
		return nil, err
	}
	t.scan.Stamped = count(units, func(u *unit) bool { return u.stamp.used })
	if t.scan.Stamped > 0 {
		t.scan.ReadAgain = t.stamps.read.Add(fullScan)
	}
	t.own.finish(t.scan.Stamped == 0)
	t.stamps.save(t.fromCache, units)
	t.scan.Timestamp, t.scan.Commit = readAge(root)
	t.collect(units)
	return &t.scan, nil
}

// problem records a defect of the tree as a whole.
func (t *tree) problem(rel, msg string) {
	p := catalog.Problem{Repo: t.repo.name, Msg: msg}
	if rel != "" {
		p.File = filepath.Join(t.repo.path, rel)
	}
	t.scan.Problems = append(t.scan.Problems, p)
}

// walk scans all packages.
func (t *tree) walk(ctx context.Context) ([]unit, error) {
	units, err := t.packages(ctx)
	if err != nil {
		return nil, err
	}
	t.stamps.assign(units)
	// Nearly all units are done in this pass. It leaves directories without
	// an ebuild: what they mean is known when all have been seen.
	if err := t.each(ctx, chunks(units), (*worker).ebuilds); err != nil {
		return nil, err
	}
	files := func(u *unit) int { return len(u.files) }
	if sum(units, files) == 0 && t.cache.err == nil {
		t.fromCache = true
		if units, err = t.cachePackages(ctx, units); err != nil {
			return nil, err
		}
		t.stamps.assign(units)
	}
	if sum(units, files) == 0 {
		return units, nil
	}
	return units, t.each(ctx, chunks(units), (*worker).rest)
}

// each calls do for all chunks, on all workers, and waits.
func (t *tree) each(ctx context.Context, chunks [][]unit, do func(*worker, []unit)) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, w := range t.workers[:min(len(t.workers), len(chunks))] {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(chunks) {
					return
				}
				do(w, chunks[i])
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// chunks splits units, which are sorted, into runs of one category.
func chunks(units []unit) [][]unit {
	var cs [][]unit
	for len(units) > 0 {
		n := 1
		for n < min(len(units), chunkSize) && units[n].cat == units[0].cat {
			n++
		}
		cs = append(cs, units[:n])
		units = units[n:]
	}
	return cs
}

// collect joins the results in the order of the tree.
func (t *tree) collect(units []unit) {
	s := &t.scan
	s.Distfiles = make([]*catalog.Distfile, 0, sum(units, func(u *unit) int { return len(u.distfiles) }))
	manifests, nomirror := 0, 0
	for i := range units {
		u := &units[i]
		s.Packages += len(u.files)
		s.Unreferenced += u.unreferenced
		nomirror += u.nomirror
		s.Distfiles = append(s.Distfiles, u.distfiles...)
		s.Problems = append(s.Problems, u.problems...)
		if u.hidden > 0 {
			s.Problems = append(s.Problems, catalog.Problem{
				Repo: s.Repo, Package: u.cp(), Scope: u.hiddenScope, Names: u.protected, Msg: fmt.Sprintf("%d further problems", u.hidden),
			})
		}
		if u.manifest {
			manifests++
		}
	}
	if nomirror > 0 {
		// Old trees have it, and emirrordist ignores it as well.
		s.Notes = append(s.Notes, fmt.Sprintf("packages with RESTRICT=nomirror, which counts for nothing: %d", nomirror))
	}
	switch {
	case s.Packages > 0:
	case manifests > 0:
		t.problem(cacheDir, fmt.Sprintf("the tree has %d Manifests, but neither ebuilds nor a metadata cache to say which files are wanted: "+
			"use it with its ebuilds or its cache", manifests))
	default:
		t.problem(".", "the repository has no package at all")
	}
}

func sum(units []unit, f func(*unit) int) (n int) {
	for i := range units {
		n += f(&units[i])
	}
	return n
}

func count(units []unit, is func(*unit) bool) int {
	return sum(units, func(u *unit) int {
		if is(u) {
			return 1
		}
		return 0
	})
}

// egencache is the advice for a cache that is not up to date. The program writes
// into the directory that there is, so that a tree without one needs it made.
func (t *tree) egencache() string {
	advice := "`egencache --update --repo " + t.repo.name + "`"
	if notThere(t.cache.err) {
		return "run `mkdir -p " + cacheDir + "` in the repository and " + advice
	}
	return "run " + advice
}
