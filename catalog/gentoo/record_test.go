package gentoo

import (
	"testing"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// TestRecordRefused: a record has its checksum and may be hostile all the same. What no
// scan has written is taken for none.
func TestRecordRefused(t *testing.T) {
	t.Parallel()
	sha256, sha512 := digest.SHA256.Sum([]byte("x")), digest.SHA512.Sum([]byte("x"))
	right := digest.Set{sha512, sha256}
	if sha256.Alg < sha512.Alg {
		right = digest.Set{sha256, sha512}
	}
	for name, c := range map[string]struct {
		change func(d *catalog.Distfile)
		owner  int
		ok     bool
	}{
		"as written":               {func(*catalog.Distfile) {}, 0, true},
		"no such owner":            {func(*catalog.Distfile) {}, 1, false},
		"a restriction of its own": {func(d *catalog.Distfile) { d.Restrict = "other" }, 0, false},
		"digests not in order":     {func(d *catalog.Distfile) { d.Digests = digest.Set{right[1], right[0]} }, 0, false},
		"a digest twice":           {func(d *catalog.Distfile) { d.Digests = digest.Set{right[0], right[0]} }, 0, false},
		"no name of a distfile":    {func(d *catalog.Distfile) { d.Name = "a/../b" }, 0, false},
	} {
		d := &catalog.Distfile{Name: "x", Size: 1, Digests: right, Owners: []catalog.Owner{{Package: "a/x-1"}}}
		c.change(d)
		w := &worker{t: &tree{repo: &Repository{name: "r"}}}
		cur := cursor{rest: string(appendDistfile(nil, d, map[string]int{"a/x-1": c.owner}))}
		w.distfile(&cur, new(catalog.Distfile), []string{"a/x-1"})
		if cur.bad == c.ok {
			t.Errorf("%s: it is taken: %v", name, !cur.bad)
		}
	}
}
