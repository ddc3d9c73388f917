package serve

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A content is one that the archive holds under one name.
type content struct {
	layout.Content
	owner string
	// origin is the URL that it came from, without its scheme.
	origin string
	// wanted is set of what a catalog names: whether it is held is not told.
	wanted *wanted
}

// contents are what an archive holds, found by digest, name and origin. They never
// change: a server has one at a time, and takes another one instead of it.
type contents struct {
	all     []content
	layouts layout.Conf
	// Each of these has indexes of all, in the order of what is looked for.
	byDigest map[digest.Algorithm]order
	byName   order // whole names
	byBase   order // last components
	byOrigin order
}

// loadContents reads what the last run exported to a report directory.
func loadContents(reports string, layouts layout.Conf) (*contents, error) {
	var all []content
	for d, err := range report.Distfiles(reports) {
		if err != nil {
			return nil, err
		}
		if d.Recycled {
			continue
		}
		c, err := newContent(d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", reports, err)
		}
		all = append(all, c)
	}
	return newContents(all, layouts), nil
}

func newContent(d *report.Distfile) (content, error) {
	name, err := catalog.ParsePath(d.Name)
	if err != nil {
		return content{}, err
	}
	sum, err := digest.Parse(digest.SHA256, d.SHA256)
	if err != nil {
		return content{}, err
	}
	sums := append(make([]digest.Digest, 0, 1+len(d.Digests)), sum)
	for alg, text := range d.Digests {
		a, ok := digest.ParseAlgorithm(alg)
		if !ok {
			continue // of a newer program
		}
		if sum, err = digest.Parse(a, text); err != nil {
			return content{}, err
		}
		sums = append(sums, sum)
	}
	c := content{owner: d.Owner}
	c.Content = layout.Content{Name: name, Size: d.Size, ModTime: d.Modified, Named: d.Named, Kind: catalog.Kind(d.Kind)}
	c.Digests, _ = digest.NewSet(sums...)
	if _, rest, ok := strings.Cut(d.Origin, "://"); ok {
		c.origin = rest
	}
	return c, nil
}

func newContents(all []content, layouts layout.Conf) *contents {
	c := &contents{all: all, layouts: layouts, byDigest: make(map[digest.Algorithm]order)}
	sums := make(map[digest.Algorithm][]int32)
	names := make([]int32, len(all))
	var origins []int32
	for i := range all {
		names[i] = int32(i)
		if all[i].origin != "" {
			origins = append(origins, int32(i))
		}
		for _, d := range all[i].Digests {
			sums[d.Alg] = append(sums[d.Alg], int32(i))
		}
	}
	c.byName = c.sort(names, func(a, b *content) int { return cmp.Compare(a.Name, b.Name) })
	c.byBase = c.sort(slices.Clone(names), func(a, b *content) int { return cmp.Compare(a.Name.Base(), b.Name.Base()) })
	c.byOrigin = c.sort(origins, func(a, b *content) int { return cmp.Compare(a.origin, b.origin) })
	for alg, indexes := range sums {
		c.byDigest[alg] = c.sort(indexes, func(a, b *content) int { return a.Digests.Get(alg).Compare(b.Digests.Get(alg)) })
	}
	return c
}

// An order has indexes of contents as compare sorts them.
type order struct {
	indexes []int32
	compare func(a, b *content) int
}

func (c *contents) sort(indexes []int32, compare func(a, b *content) int) order {
	slices.SortFunc(indexes, func(i, j int32) int { return cmp.Or(compare(&c.all[i], &c.all[j]), cmp.Compare(i, j)) })
	return order{indexes, compare}
}

// find returns the contents that are equal to want in an order.
func (c *contents) find(o order, want *content) (found []*content) {
	i, _ := slices.BinarySearchFunc(o.indexes, want, func(i int32, want *content) int { return o.compare(&c.all[i], want) })
	for ; i < len(o.indexes) && o.compare(&c.all[o.indexes[i]], want) == 0; i++ {
		found = append(found, &c.all[o.indexes[i]])
	}
	return found
}

// probe is a content to look for by name.
func probe(name string) *content { return &content{Content: layout.Content{Name: catalog.Name(name)}} }

// withDigest returns the contents with the digest d.
func (c *contents) withDigest(d digest.Digest) []*content {
	o, ok := c.byDigest[d.Alg]
	if !ok {
		return nil
	}
	return c.find(o, &content{Content: layout.Content{Digests: digest.Set{d}}})
}

// named returns the contents that name may mean. dir is the directory that a client
// has put before it, which is part of the name, names a package, or means nothing. What
// is published under the name is meant before others that had it or have it below a
// directory.
func (c *contents) named(dir, name string) []*content {
	for _, whole := range []string{dir + "/" + name, name} {
		if found := published(c.find(c.byName, probe(whole))); len(found) > 0 {
			return found
		}
	}
	found := c.find(c.byBase, probe(name))
	if of := slices.DeleteFunc(slices.Clone(found), func(c *content) bool { return !c.of(dir) }); len(of) > 0 {
		return of
	}
	return found
}

// published returns the content of cs that is published under its name.
func published(cs []*content) []*content {
	if i := slices.IndexFunc(cs, func(c *content) bool { return c.Named }); i >= 0 {
		return cs[i : i+1]
	}
	return nil
}

// of reports whether dir names the package of c, with or without its version.
func (c *content) of(dir string) bool {
	pkg, _, _ := strings.Cut(c.owner, "::")
	pkg, dir = path.Base(pkg), path.Base(dir)
	return pkg == dir || strings.HasPrefix(pkg, dir+"-")
}

// from returns the contents that came from a URL.
func (c *contents) from(url string) []*content {
	_, rest, _ := strings.Cut(url, "://")
	return c.find(c.byOrigin, &content{origin: rest})
}

// at returns the content whose verified file fi is, which is at rel, or nil. same is
// asked about paths that no rule of the archive makes, such as those of a pacman
// repository: whether the file is the one at another path.
func (c *contents) at(rel string, fi fs.FileInfo, same func(rel string) bool) *content {
	found := c.perhapsAt(rel)
	if i := slices.IndexFunc(found, func(x *content) bool { return x.isFile(fi) }); i >= 0 {
		return found[i]
	}
	for _, x := range c.find(c.byBase, probe(path.Base(rel))) {
		if x.isFile(fi) && same(x.CipherPaths()[0]) {
			return x
		}
	}
	return nil
}

// perhapsAt returns the contents that may have the path rel.
func (c *contents) perhapsAt(rel string) (found []*content) {
	last := path.Base(rel)
	if layout.InByCipher(rel) {
		sum, _, ok := layout.ParseByCipher(rel)
		if !ok {
			sum = fromBase64(rel)
		}
		found = c.withDigest(sum)
	}
	for _, l := range c.layouts {
		if name, ok := l.NameOf(rel); ok {
			found = append(found, published(c.find(c.byName, probe(string(name))))...)
		} else if a, ok := l.Algorithm(); ok {
			if sum, err := digest.Parse(a, last); err == nil {
				found = append(found, c.withDigest(sum)...)
			}
		}
	}
	return found
}

// fromBase64 returns the digest of a path that layout.ByCipherBase64 makes, unless it has
// lost a slash.
func fromBase64(rel string) digest.Digest {
	rest, ok := strings.CutPrefix(rel, layout.CipherDir+"/")
	if i := strings.LastIndexByte(rest, '/'); ok && i > 2 {
		if _, sum, ok := strings.Cut(rest[1:i], "/"); ok {
			d, _ := digest.ParseBase64(digest.SHA256, sum)
			return d
		}
	}
	return digest.Digest{}
}

// isFile reports whether fi may be the file of c that was verified. An export of before
// times were in it has none.
func (c *content) isFile(fi fs.FileInfo) bool {
	return !c.ModTime.IsZero() && fi.Size() == c.Size && fi.ModTime().Equal(c.ModTime)
}

// different returns one of each content in cs.
func different(cs []*content) []*content {
	var out []*content
	for _, c := range cs {
		sum := c.Digests.Strongest()
		if !slices.ContainsFunc(out, func(o *content) bool { return o.Digests.Strongest() == sum }) {
			out = append(out, c)
		}
	}
	return out
}
