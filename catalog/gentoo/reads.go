package gentoo

import (
	"path/filepath"
	"strings"

	"distkeep/catalog"
)

var _ catalog.Local = (*Repository)(nil)

// Reads returns where Scan looks: in the tree, in a few files of its masters, and in
// the cache of our own.
func (r *Repository) Reads() (places []catalog.Place, ok bool) {
	if r.opts.Generate != nil {
		return nil, false
	}
	places = append(places, catalog.Place{Path: r.path, Skip: passedOver})
	for _, rel := range []string{"metadata/md5-cache", ".git/logs/HEAD"} {
		places = append(places, catalog.Place{Path: filepath.Join(r.path, rel)})
	}
	for _, m := range r.opts.Masters {
		places = append(places, catalog.Place{Path: filepath.Join(m, "metadata/layout.conf")})
		for _, dir := range []string{"profiles", "eclass"} {
			places = append(places, catalog.Place{Path: filepath.Join(m, dir), Skip: deep})
		}
	}
	if r.opts.Cache != "" {
		places = append(places, catalog.Place{Path: filepath.Join(r.opts.Cache, r.name)})
	}
	return places, true
}

// passedOver reports whether no scan looks at rel: levels below those of packages, and
// what packages have beside their ebuilds. The metadata cache is a place of its own.
func passedOver(rel string) bool {
	top, rest, _ := strings.Cut(rel, "/")
	_, rest, below := strings.Cut(rest, "/")
	switch {
	case strings.HasPrefix(top, "."):
		return true
	case !below:
		return false
	}
	return top == "metadata" || top == "profiles" || top == "eclass" || rest == "files" || strings.Contains(rest, "/")
}

func deep(rel string) bool { return strings.Contains(rel, "/") }
