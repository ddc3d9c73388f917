package gentoo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// packages lists what may be package directories, sorted.
func (t *tree) packages(ctx context.Context) ([]unit, error) {
	cats, err := t.categories()
	if err != nil {
		return nil, err
	}
	t.replacedCategories()
	return t.list(ctx, t.top, cats, func(cat string, names []string) []unit {
		var us []unit
		for _, pn := range names {
			if validPackage(pn) {
				us = append(us, unit{cat: cat, pn: pn})
			}
		}
		return us
	})
}

// replacedCategories finds categories that the cache has and something else
// than a directory has taken the place of.
func (t *tree) replacedCategories() {
	w := t.workers[0]
	for _, cat := range t.cacheCats {
		d := w.dir(t.top, cat)
		if notDir(d.err) {
			cache := w.dir(t.cache, cat)
			if w.cached(cache, "") {
				t.problem(cat, d.err.Error())
			}
			cache.close()
		}
		d.close()
	}
}

// list lists the directories cats of at, on all workers, and returns the units
// made of what is in them, sorted.
func (t *tree) list(ctx context.Context, at dir, cats []string, units func(cat string, names []string) []unit) ([]unit, error) {
	jobs := make([][]unit, len(cats))
	for i, c := range cats {
		jobs[i] = []unit{{cat: c}}
	}
	var mu sync.Mutex
	var all []unit
	failed := make(map[string]error)
	err := t.each(ctx, jobs, func(w *worker, u []unit) {
		cat := u[0].cat
		names, err := w.names(at, cat)
		us := units(cat, names)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, us...)
		failed[cat] = err
	})
	for _, cat := range cats {
		if err := failed[cat]; err != nil {
			t.problem(at.join(cat), err.Error())
		}
	}
	slices.SortFunc(all, compareUnits)
	return all, err
}

func compareUnits(a, b unit) int {
	return cmp.Or(cmp.Compare(a.cat, b.cat), cmp.Compare(a.pn, b.pn))
}

// categories returns the directories that are to be searched for packages,
// sorted: those that profiles/categories of the repository and of its masters
// list. Where such a list is not at hand, they are those of the cache and all that
// look like one as well: to overlook a category is to give up its files.
func (t *tree) categories() ([]string, error) {
	cats, listed, err := readCategories(t.root)
	if err != nil {
		t.problem("", fmt.Sprintf("repository %s: %v", t.repo.path, err))
	}
	cats = sortedSet(append(cats, t.masters.categories...))
	t.cacheCats = t.cacheCategories()
	names, err := t.workers[0].list(t.top)
	if err != nil {
		return nil, err
	}
	names = sortedSet(slices.DeleteFunc(names, func(n string) bool { return !isCategoryShaped(n) }))
	if !listed || !t.masters.listed {
		return sortedSet(slices.Concat(cats, t.cacheCats, names)), nil
	}
	unlisted := func(n string) bool { _, ok := slices.BinarySearch(cats, n); return !ok }
	t.cacheCats = slices.DeleteFunc(t.cacheCats, unlisted)
	if i := slices.IndexFunc(names, unlisted); i >= 0 {
		t.scan.Notes = append(t.scan.Notes, fmt.Sprintf("%s is in no list of categories, so that nothing in it counts (directories like it: %d)",
			names[i], len(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !unlisted(n) }))))
	}
	return cats, nil
}

// cacheCategories returns the categories that the cache has, sorted.
func (t *tree) cacheCategories() []string {
	if t.cache.err != nil {
		return nil
	}
	names, err := t.workers[0].list(t.cache)
	if err != nil {
		t.problem(cacheDir, err.Error())
	}
	return sortedSet(slices.DeleteFunc(names, func(s string) bool { return !validCategory(s) }))
}

// cachePackages lists the packages of a tree without ebuilds by its cache.
// Those of dirs that the cache does not know stay: they may have Manifests.
func (t *tree) cachePackages(ctx context.Context, dirs []unit) ([]unit, error) {
	units, err := t.list(ctx, t.cache, t.cacheCats, func(cat string, names []string) []unit {
		var us []unit
		index := make(map[string]int)
		slices.SortFunc(names, compareFiles)
		for _, pf := range names {
			pn, _, ok := splitVersion(pf)
			if !ok {
				continue // Manifest.gz, for one
			}
			i, ok := index[pn]
			if !ok {
				i = len(us)
				index[pn] = i
				us = append(us, unit{cat: cat, pn: pn})
			}
			us[i].files = append(us[i].files, pf)
		}
		return us
	})
	if err != nil {
		return nil, err
	}
	known := len(units)
	for _, d := range dirs {
		if i, ok := slices.BinarySearchFunc(units[:known], d, compareUnits); ok {
			d.files = units[i].files
			units[i] = d
		} else {
			units = append(units, d)
		}
	}
	slices.SortFunc(units, compareUnits)
	return units, nil
}

// isEbuild reports whether name is the file name of an ebuild of package pn,
// PMS 3.2.
func isEbuild(name, pn string) bool {
	s, ok := strings.CutSuffix(name, ".ebuild")
	if !ok {
		return false
	}
	s, ok = strings.CutPrefix(s, pn)
	return ok && strings.HasPrefix(s, "-") && isVersion(s[1:])
}
