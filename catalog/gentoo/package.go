package gentoo

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// maxProblems bounds the problems of one package directory: a Manifest that is
// broken altogether has one in each line.
const maxProblems = 32

// A worker reads packages, one at a time.
type worker struct {
	t *tree
	reader
	m      manifest
	items  []item
	unit   *unit // at hand
	seen   seen  // of it
	cpvs   []string
	stocks stocks
	known  bool // what all ebuilds of the unit want is known
	// computed is set when what some of them want was not in the tree's cache.
	computed bool
	// missing are what tree.undefined says, by group.
	missing map[string]string
}

func newWorker(t *tree) *worker {
	return &worker{t: t, reader: newReader(t.root), missing: make(map[string]string)}
}

// undefined asks the tree once for each group.
func (w *worker) undefined(group string) string {
	text, ok := w.missing[group]
	if !ok {
		text = w.t.undefined(group)
		w.missing[group] = text
	}
	return text
}

// A fate says what becomes of one file name in the ebuild at hand.
type fate struct {
	ebuild  int  // 1 + the index of the ebuild that the fields are of
	open    bool // some URI may be mirrored
	fetched bool // some URI is not fetch-restricted
}

// problem records that the package pkg of the unit at hand cannot be known.
func (w *worker) problem(pkg, rel string, line int, msg string) {
	w.report(catalog.OnePackage, pkg, rel, line, msg)
}

// broken records that what the unit at hand may want cannot be known.
func (w *worker) broken(rel string, line int, msg string) {
	w.report(catalog.WholeTree, w.unit.cp(), rel, line, msg)
}

func (w *worker) report(s catalog.Scope, pkg, rel string, line int, msg string) {
	u := w.unit
	if len(u.problems) == maxProblems {
		if u.hidden == 0 || s == catalog.WholeTree {
			u.hiddenScope = s
		}
		u.hidden++
		return
	}
	u.problems = append(u.problems, catalog.Problem{
		Repo: w.t.repo.name, Package: pkg, Scope: s, File: filepath.Join(w.t.repo.path, rel), Line: line, Msg: msg,
	})
}

// protect gives the problems of the unit at hand all names of its Manifest, and
// those that its ebuilds are known to want.
func (w *worker) protect() {
	u := w.unit
	if len(u.problems) == 0 {
		return
	}
	for i := range w.m.dists {
		u.protected = append(u.protected, w.m.dists[i].name)
	}
	for i := range u.problems {
		u.problems[i].Names = u.protected
	}
}

// names lists the directory name of d. What is not there, or is no directory,
// has no names.
func (w *worker) names(d dir, name string) ([]string, error) {
	sub := w.dir(d, name)
	if notThere(sub.err) || notDir(sub.err) {
		return nil, nil
	}
	defer sub.close()
	return w.list(sub)
}

// cached reports whether the directory of a category in the cache has entries
// of the package pn, or any at all if pn is empty. What is no directory among
// the packages is then no stray file: something has taken their place.
func (w *worker) cached(cache dir, pn string) bool {
	names, err := w.list(cache)
	return err == nil && slices.ContainsFunc(names, func(pf string) bool {
		p, _, ok := splitVersion(pf)
		return ok && (pn == "" || p == pn)
	})
}

// ebuilds scans those of units, which are of one category, that have ebuilds.
func (w *worker) ebuilds(units []unit) {
	cat := w.dir(w.t.top, units[0].cat)
	defer cat.close()
	cache := w.dir(w.t.cache, units[0].cat)
	defer cache.close()
	for i := range units {
		u := &units[i]
		w.unit = u
		n := w.lookAtUnit(cat, cache)
		if u.stamp.fits && (n == 0 || w.t.stamps.fromCache || w.takeRecord()) {
			continue
		}
		w.followed = false
		pkg := w.dir(cat, u.pn)
		u.stamp.dir = idOf(pkg)
		names, err := w.list(pkg)
		switch {
		case errors.Is(err, errLink):
			w.problem(u.cp(), pkg.rel, 0, err.Error())
		case err != nil && (!notDir(err) || w.cached(cache, u.pn)):
			w.broken(pkg.rel, 0, err.Error())
		}
		u.manifest = slices.Contains(names, "Manifest")
		names = slices.DeleteFunc(names, func(s string) bool { return !isEbuild(s, u.pn) })
		if len(names) > 0 {
			slices.SortFunc(names, compareFiles)
			u.files = names
			w.scanUnit(pkg, cache)
		}
		pkg.close()
	}
}

// compareFiles orders the ebuilds, or the cache entries, of a package by their
// versions: the first of those that want a file is the one that logs name.
func compareFiles(a, b string) int {
	return catalog.ComparePackages(strings.TrimSuffix(a, ".ebuild"), strings.TrimSuffix(b, ".ebuild"))
}

// rest scans those of units, which are of one category, that ebuilds has left.
func (w *worker) rest(units []unit) {
	cat := w.dir(w.t.top, units[0].cat)
	defer cat.close()
	cache := w.dir(w.t.cache, units[0].cat)
	defer cache.close()
	for i := range units {
		u := &units[i]
		if !w.t.fromCache && len(u.files) > 0 || len(u.files) == 0 && !u.manifest {
			continue
		}
		w.unit = u
		if !u.stamp.fits {
			w.lookAtUnit(cat, cache)
		}
		if u.stamp.fits && w.t.fromCache == w.t.stamps.fromCache && w.takeRecord() {
			continue
		}
		w.followed = false
		pkg := w.dir(cat, u.pn)
		w.scanUnit(pkg, cache)
		pkg.close()
	}
}

// scanUnit scans the unit at hand.
func (w *worker) scanUnit(pkg, cache dir) {
	u := w.unit
	w.m.reset()
	w.seen.reset()
	w.seen.add(u.stamp.dir)
	w.known, w.computed = true, false
	summed := u.manifest
	if u.manifest {
		b, err := w.read(pkg, "Manifest")
		if err != nil {
			w.broken(pkg.join("Manifest"), 0, err.Error())
			summed = false
		}
		w.seen.add(regular.IDOfStat(&w.st))
		w.m.parse(b, func(line int, msg string) {
			w.broken(pkg.join("Manifest"), line, msg)
		})
	}
	for i, file := range u.files {
		w.scanFile(i+1, file, pkg, cache)
	}
	missing := 0
	for i := range w.m.dists {
		d := &w.m.dists[i]
		switch {
		case !d.wanted && w.known:
			u.unreferenced++
			if w.computed {
				// It may as well be a file that was overlooked.
				w.problem(u.cp(), pkg.join("Manifest"), d.line, fmt.Sprintf("no ebuild is known to want %s, but not all of them are in the metadata cache: %s", d.name, w.t.egencache()))
			}
		case d.wanted && d.line == 0 && d.open == nil: // not for us to have
		case d.wanted && d.line == 0 && summed:
			w.problem(d.owner(), pkg.join("Manifest"), 0, fmt.Sprintf("%s has no DIST line: run `pkgdev manifest`", d.name))
		case d.wanted && d.line == 0:
			missing++
		}
	}
	if missing > 0 && !u.manifest {
		w.problem(u.cp(), pkg.join("Manifest"), 0, fmt.Sprintf("no Manifest, so that no checksum is known (files wanted: %d): run `pkgdev manifest`", missing))
	}
	w.protect()
	w.keepStamp()
}

// owner returns the first package that wants d published.
func (d *dist) owner() string { return d.open.Owners[0].Package }

// scanFile scans the ebuild, or the cache entry, of that name. n counts them.
func (w *worker) scanFile(n int, file string, pkg, cache dir) {
	pf := strings.TrimSuffix(file, ".ebuild")
	cpv := w.unit.cat + "/" + pf
	var sum []byte
	if !w.t.fromCache {
		b, err := w.read(pkg, file)
		if err != nil {
			w.problem(cpv, pkg.join(file), 0, err.Error())
		} else {
			s := md5.Sum(b)
			sum = s[:]
		}
		w.seen.add(regular.IDOfStat(&w.st))
	}
	was := regular.IDOfStat(&w.st)
	e, rel, why := w.cacheEntry(pf, cache, sum)
	if why != "" && sum != nil {
		own, err := w.workOut(pf, file, pkg)
		w.seen.unsure = w.seen.unsure || was != regular.IDOfStat(&w.st)
		if err == nil {
			w.scanEntry(n, cpv, pkg.rel, file, own)
			return
		}
		why += ", and " + err.Error()
	}
	if why != "" {
		w.problem(cpv, rel+"/"+pf, 0, why+": "+w.t.egencache())
	}
	if e == nil || len(e.md5) == 0 {
		w.known = false
	}
	if e == nil {
		return
	}
	// What a stale entry lists still counts as wanted.
	w.scanEntry(n, cpv, rel, pf, *e)
}

// workOut finds what an ebuild wants without the cache of its tree.
func (w *worker) workOut(pf, file string, pkg dir) (entry, error) {
	b, err := w.read(pkg, file)
	if err != nil {
		return entry{}, err
	}
	e, err := w.t.own.entry(w.unit.cat, pf, bytes.Clone(b))
	w.computed = w.computed || err == nil
	return e, err
}

// cacheEntry finds the entry of the tree's cache. why says why it must not be
// relied upon.
func (w *worker) cacheEntry(pf string, cache dir, sum []byte) (e *entry, rel, why string) {
	b, err := w.read(cache, pf)
	switch {
	case notThere(err) || notThere(w.t.cache.err):
		w.seen.add(regular.ID{})
		return nil, cache.rel, "no metadata cache entry"
	case err != nil:
		w.seen.unsure = true
		return nil, cache.rel, err.Error()
	}
	w.seen.add(regular.IDOfStat(&w.st))
	p := parseEntry(b)
	switch {
	case len(p.md5) == 0:
		why = "the metadata cache entry has no _md5_"
	case sum != nil:
		why = w.t.own.stale(&p, sum)
	}
	if why != "" {
		p = parseEntry(bytes.Clone(b)) // b is not for long
	}
	return &p, cache.rel, why
}

// isHex reports whether text is the hexadecimal spelling of sum.
func isHex(text, sum []byte) bool {
	var raw [md5.Size]byte
	return len(text) == 2*len(raw) && decodeHex(raw[:], text) && string(raw[:]) == string(sum)
}

// scanEntry adds the files of one package.
func (w *worker) scanEntry(n int, cpv, rel, pf string, e entry) {
	eapi, ok := parseEAPI(e.eapi)
	if !ok {
		w.known = false
		w.problem(cpv, rel+"/"+pf, 0, fmt.Sprintf("EAPI %.40q is not known: a newer version of this program is needed", e.eapi))
		return
	}
	r, err := parseRestrict(e.restrict)
	if err != nil {
		w.problem(cpv, rel+"/"+pf, e.restrictLine, "bad RESTRICT: "+err.Error())
		r.mirror = true // what cannot be understood is not published
	}
	if r.nomirror {
		w.unit.nomirror++
	}
	w.items, err = parseSrcURI(w.items[:0], e.srcURI, eapi, func(msg string) {
		w.problem(cpv, rel+"/"+pf, e.srcLine, "bad SRC_URI: "+msg)
	})
	if err != nil {
		w.known = false
		w.problem(cpv, rel+"/"+pf, e.srcLine, "bad SRC_URI: "+err.Error())
	}
	for i := range w.items {
		it := &w.items[i]
		if it.dist = w.m.find(it.name); it.dist < 0 {
			name, err := catalog.ParseName(string(it.name))
			if err != nil {
				w.problem(cpv, rel+"/"+pf, e.srcLine, "bad SRC_URI: "+err.Error())
				continue
			}
			it.dist = w.m.add(dist{name: name, size: -1})
		}
		w.decide(n, it, r)
	}
	var reason string
	if r.mirror {
		reason = fmt.Sprintf("RESTRICT=%.200s", e.restrict)
	}
	for _, it := range w.items {
		if it.dist >= 0 {
			w.place(it, r, cpv, reason)
		}
	}
}

// decide notes what one URI means for the fate of its file.
func (w *worker) decide(n int, it *item, r restriction) {
	d := &w.m.dists[it.dist]
	d.wanted = true
	f := &d.fate
	if f.ebuild != n {
		*f = fate{ebuild: n}
	}
	f.open = f.open || w.mayMirror(r, it)
	f.fetched = f.fetched || r.mayFetch(it)
}

// mayMirror reports whether the file may be published when it comes from it.
func (w *worker) mayMirror(r restriction, it *item) bool {
	if !r.mirror || it.lift == liftMirror {
		return true
	}
	group, ok := mirrorGroup(string(it.uri))
	return ok && w.t.exempt[group] && r.mayFetch(it)
}

// mayFetch reports whether it may be fetched at all.
func (r restriction) mayFetch(it *item) bool { return !r.fetch || it.lift != liftNone }

// place adds a URI to its distfile. Those that may not be mirrored are left
// out if others may.
func (w *worker) place(it item, r restriction, cpv, reason string) {
	d := &w.m.dists[it.dist]
	f := d.fate
	switch {
	case w.mayMirror(r, &it):
		w.add(&d.open, d, it, cpv)
	case f.open:
	default:
		if w.add(&d.shut, d, it, cpv) {
			d.shut.Reason = reason
			d.shut.Restrict = catalog.RestrictFetch
			if f.fetched {
				d.shut.Restrict = catalog.RestrictMirror
			}
		}
	}
}

// add adds a URI and an owner to the distfile at p, which it makes if there is
// none: then it returns true.
func (w *worker) add(p **catalog.Distfile, d *dist, it item, cpv string) (isNew bool) {
	if isNew = *p == nil; isNew {
		*p = &catalog.Distfile{Name: d.name, Size: d.size, Digests: d.digests, Kind: catalog.Gentoo}
		w.unit.distfiles = append(w.unit.distfiles, *p)
	}
	f := *p
	if n := len(f.Owners); n == 0 || f.Owners[n-1].Package != cpv {
		f.Owners = append(f.Owners, catalog.Owner{Repo: w.t.repo.name, Package: cpv})
	}
	if len(f.Sources) == catalog.MaxSources {
		if !d.crowded {
			w.problem(cpv, w.unit.cp(), 0, fmt.Sprintf("more than %d URIs for %s: the others are not asked", catalog.MaxSources, d.name))
		}
		d.crowded = true
		return isNew
	}
	if !slices.ContainsFunc(f.Sources, func(s catalog.Source) bool { return s.URI == string(it.uri) }) {
		f.Sources = append(f.Sources, w.source(string(it.uri)))
	}
	return isNew
}
