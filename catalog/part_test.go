package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distkeep/catalog/digest"
)

func TestParsePart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Part{
		"1/1": {1, 1}, "2/3": {2, 3}, "256/256": {256, 256},
		"": {}, "1": {}, "0/2": {}, "3/2": {}, "-1/2": {}, "1/2/3": {}, "1/0": {}, "0/0": {}, "257/257": {}, " 1/2": {}, "1/+2": {}, "1/99999999999": {},
	} {
		got, err := ParsePart(text)
		if got != want || (err == nil) != (want.Of > 0) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
		if err == nil && got.String() != text {
			t.Errorf("%q is spelt %q", text, got)
		}
	}
}

// divided makes the same catalog again and again: contents with a digest and without, two names of
// one content, names with two contents, what is unnamed and what is restricted.
func divided(t *testing.T) *Catalog {
	t.Helper()
	sums := func(i int) digest.Set {
		s, _ := digest.NewSet(digest.SHA512.Sum(fmt.Append(nil, i)), digest.MD5.Sum(fmt.Append(nil, i)))
		return s
	}
	s := &Scan{Repo: "a", Kind: Gentoo}
	o := &Scan{Repo: "b", Kind: Gentoo}
	add := func(s *Scan, d Distfile) {
		d.Size, d.Owners = -1, []Owner{{Repo: s.Repo, Package: fmt.Sprintf("p-%d", len(s.Distfiles))}}
		s.Distfiles = append(s.Distfiles, &d)
	}
	for i := range 40 {
		name := func(format string) Name { return Name(fmt.Sprintf(format, i)) }
		add(s, Distfile{Name: name("file-%d"), Digests: sums(i)})
		add(s, Distfile{Name: name("again-%d"), Digests: sums(i)})
		add(s, Distfile{Name: name("none-%d")})
		add(s, Distfile{Name: name("shut-%d"), Digests: sums(1000 + i), Restrict: RestrictMirror})
		add(o, Distfile{Name: name("file-%d"), Digests: sums(2000 + i)})
		add(o, Distfile{Name: name("aside-%d"), Digests: sums(3000 + i), Unnamed: true})
	}
	s.Problems = []Problem{{Repo: "a", Package: "unknown", Scope: OnePackage, Names: []Name{"u1", "u2", "u3"}}}
	c := Merge([]*Scan{s, o})
	c.again = func(context.Context) (*Catalog, error) { return divided(t), nil }
	return c
}

// TestCut: the parts of a catalog are the whole, and have nothing in common; all names of a
// content are in one, whatever else is there.
func TestCut(t *testing.T) {
	t.Parallel()
	type key struct {
		name Name
		sum  digest.Digest
		list int
	}
	list := func(c *Catalog) map[key]bool {
		keys := make(map[key]bool)
		for i, ds := range [][]*Distfile{c.Distfiles, c.Shadowed, c.Restricted} {
			if !slices.IsSortedFunc(ds, func(a, b *Distfile) int { return strings.Compare(string(a.Name), string(b.Name)) }) {
				t.Errorf("list %d is not sorted", i)
			}
			for _, d := range ds {
				keys[key{d.Name, d.Digests.Strongest(), i}] = true
			}
		}
		return keys
	}
	whole := divided(t)
	all := list(whole)
	if len(all) != 6*40 || len(whole.Conflicts) != 40 {
		t.Fatalf("%d contents, %d conflicts", len(all), len(whole.Conflicts))
	}
	if got := list(divided(t).Cut(Part{})); !cmp.Equal(got, all) {
		t.Error("the zero part is not the whole")
	}
	const n = 3
	seen, part := make(map[key]int), make(map[digest.Digest]int)
	counts := make([][2]int, n+1)
	conflicts := 0
	for k := 1; k <= n; k++ {
		c := divided(t).Cut(Part{k, n})
		got := list(c)
		for x := range got {
			seen[x]++
			if before, ok := part[x.sum]; ok && before != k && !x.sum.IsZero() {
				t.Errorf("%s is in parts %d and %d", x.name, before, k)
			}
			part[x.sum] = k
		}
		if len(got) < len(all)/n/2 {
			t.Errorf("part %d has %d of %d", k, len(got), len(all))
		}
		for _, x := range c.Conflicts {
			if conflicts++; !slices.Contains(c.Shadowed, x.Shadowed) {
				t.Errorf("the conflict about %s is another part's", x.Shadowed.Name)
			}
		}
		for i, r := range c.Repos {
			counts[k][i] = r.Distfiles
			if want := 1 - i; r.Protected != want {
				t.Errorf("%s protects %d names in part %d, want %d", r.Name, r.Protected, k, want)
			}
		}
		if !c.Protected("u1", "") || len(c.Problems) != 1 {
			t.Error("what is protected is not in every part")
		}
		full, err := c.FullScan(t.Context())
		if err != nil || !cmp.Equal(list(full), got) {
			t.Errorf("read again, part %d is another (%v)", k, err)
		}
	}
	for x := range all {
		if seen[x] != 1 {
			t.Errorf("%v is in %d parts", x, seen[x])
		}
	}
	if len(seen) != len(all) || conflicts != 40 {
		t.Errorf("%d contents and %d conflicts in all", len(seen), conflicts)
	}
	for i, want := range []int{4 * 40, 2 * 40} {
		if sum := counts[1][i] + counts[2][i] + counts[3][i]; sum != want {
			t.Errorf("repository %d has %d distfiles in its parts, want %d", i, sum, want)
		}
	}
}

// TestElsewhere: for each name, wanted or not, one part decides.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	const n = 3
	parts := make([]*Catalog, n)
	for k := range parts {
		parts[k] = divided(t).Cut(Part{k + 1, n})
	}
	whole := divided(t)
	names := []Name{"nobody", "wants", "these", "aside-1"}
	for _, ds := range [][]*Distfile{whole.Distfiles, whole.Restricted} {
		for _, d := range ds {
			names = append(names, d.Name)
		}
	}
	for _, name := range names {
		if whole.Elsewhere(name) {
			t.Errorf("%s is elsewhere than in the whole", name)
		}
		var ours []int
		for k, c := range parts {
			if !c.Elsewhere(name) {
				ours = append(ours, k)
			}
		}
		if len(ours) != 1 {
			t.Errorf("%s is decided by %d parts", name, len(ours))
			continue
		}
		wanted := func(c *Catalog) bool {
			return slices.ContainsFunc(slices.Concat(c.Distfiles, c.Restricted), func(d *Distfile) bool { return d.Name == name })
		}
		if wanted(whole) && !wanted(parts[ours[0]]) {
			t.Errorf("%s is wanted by another part than the one that decides", name)
		}
	}
}
