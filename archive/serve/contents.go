package serve

import (
	"bytes"
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
	// shard is which of several has it.
	shard string
	// wanted is set of what a catalog names: whether it is held is not told.
	wanted *wanted
}

// contents are what an archive holds, found by digest, name and origin. They never
// change: a server has one at a time, and takes another one instead of it.
type contents struct {
	records
	layouts layout.Conf
	wanted  []wanted // of each record, or nil
	// Each of these has the numbers of records in the order of what is looked for.
	byDigest map[digest.Algorithm]order
	byName   order // whole names
	byBase   order // last components
	byOrigin order
	places   places
}

// loadContents reads what the last run exported to a report directory.
func loadContents(reports string, layouts layout.Conf) (*contents, error) {
	c := &contents{layouts: layouts}
	for d, err := range report.Distfiles(reports) {
		if err != nil {
			return nil, err
		}
		if d.Recycled {
			continue
		}
		x, err := newContent(d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", reports, err)
		}
		c.add(&x)
	}
	return c.sorted(), nil
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
	c := content{owner: d.Owner, shard: d.Shard}
	c.Content = layout.Content{Name: name, Size: d.Size, ModTime: d.Modified, Named: d.Named, Kind: catalog.Kind(d.Kind)}
	c.Digests, _ = digest.NewSet(sums...)
	if _, rest, ok := strings.Cut(d.Origin, "://"); ok {
		c.origin = rest
	}
	return c, nil
}

// sorted makes the orders of c, which has all that it will have.
func (c *contents) sorted() *contents {
	all := make([]int32, len(c.at))
	var origins []int32
	sums := make(map[digest.Algorithm][]int32)
	for i := range all {
		all[i] = int32(i)
		if len(c.origin(i)) > 0 {
			origins = append(origins, int32(i))
		}
		for alg := range c.sums(i) {
			sums[alg] = append(sums[alg], int32(i))
		}
	}
	c.byBase = c.order(slices.Clone(all), func(i int) []byte { return base(c.name(i)) })
	c.byName = c.order(all, c.name)
	c.byOrigin = c.order(origins, c.origin)
	c.byDigest = make(map[digest.Algorithm]order, len(sums))
	for alg, indexes := range sums {
		c.byDigest[alg] = c.order(indexes, func(i int) []byte { return c.sum(i, alg) })
	}
	return c
}

// An order has the numbers of records, by their keys.
type order struct {
	indexes []int32
	key     func(i int) []byte
}

func (c *contents) order(indexes []int32, key func(i int) []byte) order {
	slices.SortFunc(indexes, func(i, j int32) int {
		return cmp.Or(bytes.Compare(key(int(i)), key(int(j))), cmp.Compare(i, j))
	})
	return order{slices.Clip(indexes), key}
}

// find returns the contents with a key.
func (c *contents) find(o order, key string) (found []*content) {
	want := []byte(key)
	i, _ := slices.BinarySearchFunc(o.indexes, want, func(i int32, want []byte) int { return bytes.Compare(o.key(int(i)), want) })
	for ; i < len(o.indexes) && bytes.Equal(o.key(int(o.indexes[i])), want); i++ {
		n := int(o.indexes[i])
		x := c.get(n)
		if c.wanted != nil {
			x.wanted = &c.wanted[n]
		}
		found = append(found, x)
	}
	return found
}

// withDigest returns the contents with the digest d.
func (c *contents) withDigest(d digest.Digest) []*content {
	o, ok := c.byDigest[d.Alg]
	if !ok {
		return nil
	}
	return c.find(o, string(d.Raw()))
}

// named returns the contents that name may mean. dir is the directory that a client
// has put before it, which is part of the name, names a package, or means nothing. What
// is published under the name is meant before others that had it or have it below a
// directory.
func (c *contents) named(dir, name string) []*content {
	for _, whole := range []string{dir + "/" + name, name} {
		if found := published(c.find(c.byName, whole)); len(found) > 0 {
			return found
		}
	}
	found := c.find(c.byBase, name)
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
	return c.find(c.byOrigin, rest)
}

// verifiedAt returns the content whose verified file fi is, which is at rel, or nil. same is
// asked about paths that no rule of the archive makes, such as those of a pacman
// repository: whether the file is the one at another path.
func (c *contents) verifiedAt(rel string, fi fs.FileInfo, same func(rel string) bool) *content {
	found := c.perhapsAt(rel)
	if i := slices.IndexFunc(found, func(x *content) bool { return x.isFile(fi) }); i >= 0 {
		return found[i]
	}
	for _, x := range c.find(c.byBase, path.Base(rel)) {
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
			found = append(found, published(c.find(c.byName, string(name)))...)
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
