package catalog

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"distkeep/catalog/digest"
)

// A Part is one of several into which a catalog is divided, so that several workers
// share it. The zero Part is all of it.
type Part struct {
	// Number is from 1 to Of.
	Number, Of int
}

// MaxParts bounds the parts of a catalog.
const MaxParts = 256

// ParsePart reads K/N, the K-th of N parts.
func ParsePart(text string) (Part, error) {
	number, of, ok := strings.Cut(text, "/")
	k, kerr := strconv.ParseUint(number, 10, 16)
	n, nerr := strconv.ParseUint(of, 10, 16)
	if !ok || kerr != nil || nerr != nil || k < 1 || k > n || n > MaxParts {
		return Part{}, fmt.Errorf("%q is not K/N, the K-th of N parts, which are at most %d", text, MaxParts)
	}
	return Part{int(k), int(n)}, nil
}

// String spells p as ParsePart reads it, the whole as "".
func (p Part) String() string {
	if p.Whole() {
		return ""
	}
	return fmt.Sprintf("%d/%d", p.Number, p.Of)
}

// Whole reports whether p is all of a catalog.
func (p Part) Whole() bool { return p.Of == 0 }

// Has reports whether a content belongs to p, by the digest to name it by, or by name
// where none is known. So a content that has several names belongs to one part, as
// long as what is known of it under each of them begins with the same digest.
func (p Part) Has(sums digest.Set, name Name) bool {
	return p.Whole() || p == PartOf(sums, name, p.Of)
}

// PartOf returns the one of several parts that has a content, the whole if there are none.
func PartOf(sums digest.Set, name Name, of int) Part {
	if of == 0 {
		return Part{}
	}
	d := sums.Strongest()
	if d.IsZero() {
		d = digest.SHA256.Sum([]byte(name))
	}
	return Part{1 + int(binary.BigEndian.Uint64(d.Raw())%uint64(of)), of}
}

// Cut leaves of c what belongs to p, and returns it. What is not about single distfiles
// stays: problems, and what is protected because of them.
func (c *Catalog) Cut(p Part) *Catalog {
	if p.Whole() {
		return c
	}
	has := func(d *Distfile) bool { return p.Has(d.Digests, d.Name) }
	for _, ds := range [][]*Distfile{c.Distfiles, c.Restricted} {
		for _, d := range ds {
			if !has(d) {
				c.elsewhere = append(c.elsewhere, d.Name)
			}
		}
	}
	slices.Sort(c.elsewhere)
	others := func(d *Distfile) bool { return !has(d) }
	c.Distfiles = slices.DeleteFunc(c.Distfiles, others)
	c.Shadowed = slices.DeleteFunc(c.Shadowed, others)
	c.Restricted = slices.DeleteFunc(c.Restricted, others)
	c.Conflicts = slices.DeleteFunc(c.Conflicts, func(x Conflict) bool { return others(x.Shadowed) })
	c.recount(p)
	if again := c.again; again != nil {
		c.again = func(ctx context.Context) (*Catalog, error) {
			full, err := again(ctx)
			if err == nil {
				full = full.Cut(p)
			}
			return full, err
		}
	}
	c.part = p
	return c
}

// recount makes the figures by which a repository is judged those of the part p.
func (c *Catalog) recount(p Part) {
	of := make(map[string]*RepoStats, len(c.Repos))
	for i := range c.Repos {
		r := &c.Repos[i]
		of[r.Name] = r
		r.Distfiles = 0
		// Which contents they would be nobody knows.
		r.Protected = (r.Protected + p.Of - 1) / p.Of
	}
	for _, ds := range [][]*Distfile{c.Distfiles, c.Shadowed, c.Restricted} {
		for _, d := range ds {
			for i, o := range d.Owners {
				first := !slices.ContainsFunc(d.Owners[:i], func(before Owner) bool { return before.Repo == o.Repo })
				if r := of[o.Repo]; r != nil && first {
					r.Distfiles++
				}
			}
		}
	}
}

// Elsewhere reports whether another part of the catalog decides what has a name: a
// content that is wanted under it or, where no package wants that, the name itself.
func (c *Catalog) Elsewhere(name Name) bool {
	if c.part.Whole() {
		return false
	}
	if _, wanted := slices.BinarySearch(c.elsewhere, name); wanted {
		return true
	}
	for _, ds := range [][]*Distfile{c.Distfiles, c.Restricted} {
		if _, ours := slices.BinarySearchFunc(ds, name, func(d *Distfile, n Name) int { return cmp.Compare(d.Name, n) }); ours {
			return false
		}
	}
	return !c.part.Has(nil, name)
}
