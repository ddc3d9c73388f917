package serve

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"sync"
)

// places are the paths of all contents, in their order, for who lists an archive that has
// no directories. They are found at the first question.
type places struct {
	once sync.Once
	all  []place
}

// A place is one path of a content: the nth that paths returns.
type place struct {
	content int32
	nth     uint8
}

// paths are those of the i-th content: below by_cipher, and in each layout, or "" where
// it has none.
func (c *contents) paths(i int) []string {
	x := c.get(i)
	paths := x.CipherPaths()
	for _, l := range c.layouts {
		if x.Named {
			paths = append(paths, x.Path(l))
		}
	}
	return paths
}

// pathOf is the path of a place.
func (c *contents) pathOf(p place) string { return c.paths(int(p.content))[p.nth] }

// placed returns the places of all contents, in the order of their paths.
func (c *contents) placed() []place {
	c.places.once.Do(func() {
		type at struct {
			path string
			place
		}
		all := make([]at, 0, len(c.at)*(1+len(c.layouts)))
		for i := range c.at {
			for nth, path := range c.paths(i) {
				if path != "" {
					all = append(all, at{path, place{int32(i), uint8(nth)}})
				}
			}
		}
		slices.SortFunc(all, func(a, b at) int { return cmp.Or(strings.Compare(a.path, b.path), cmp.Compare(a.content, b.content)) })
		all = slices.CompactFunc(all, func(a, b at) bool { return a.path == b.path })
		c.places.all = make([]place, len(all))
		for i, a := range all {
			c.places.all[i] = a.place
		}
	})
	return c.places.all
}

// firstFrom is the number of the first place whose path is not before path.
func (c *contents) firstFrom(path string) int {
	all := c.placed()
	return sort.Search(len(all), func(i int) bool { return c.pathOf(all[i]) >= path })
}

// children are the names in the directory rel, those of directories with a slash at
// the end, in no order. There are none where no content has a path below it.
func (c *contents) children(rel string) (names []string) {
	prefix := rel + "/"
	if rel == "." {
		prefix = ""
	}
	all := c.placed()
	for i := c.firstFrom(prefix); i < len(all); {
		rest, ok := strings.CutPrefix(c.pathOf(all[i]), prefix)
		if !ok {
			break
		}
		name, _, dir := strings.Cut(rest, "/")
		if i++; dir {
			name += "/"
			i = c.firstFrom(prefix + strings.TrimSuffix(name, "/") + "0") // what is behind a slash
		}
		if name[0] != '.' {
			names = append(names, name)
		}
	}
	return names
}

// hasDir reports whether a content has a path below rel.
func (c *contents) hasDir(rel string) bool {
	all, i := c.placed(), c.firstFrom(rel+"/")
	return i < len(all) && strings.HasPrefix(c.pathOf(all[i]), rel+"/")
}
