package catalog

import (
	"cmp"
	"context"
	"slices"
	"time"

	"distkeep/catalog/digest"
)

// A Catalog is the merged result of scanning the repositories of one run.
type Catalog struct {
	// Repos are the scans' figures in the order given.
	Repos []RepoStats
	// Distfiles may be mirrored. They are sorted by name, and each name
	// occurs once.
	Distfiles []*Distfile
	// Shadowed are contents that are archived by content only: their name
	// belongs to an earlier owner, or they are Unnamed. Sorted by name.
	Shadowed []*Distfile
	// Restricted must not be mirrored. Sorted by name.
	Restricted []*Distfile
	// Conflicts has one entry for each of Shadowed that asks for its name.
	Conflicts []Conflict
	// Problems are those of all scans.
	Problems []Problem
	// Notes are those of all scans, each behind the name of its repository.
	Notes []string

	// Stamped counts the packages that were not read, see Scan.Stamped.
	Stamped int
	// ReadAgain is when the first of them are read again, see Scan.ReadAgain.
	ReadAgain time.Time

	// again makes the same catalog, but reads everything.
	again     func(ctx context.Context) (*Catalog, error)
	protected protection
	// part is what Cut has left, and elsewhere are the names that it has taken out, sorted.
	part      Part
	elsewhere []Name
	// maintainers are those of the scans by repository.
	maintainers map[string]func(pkg string) []string
}

// RepoStats are the figures of one repository.
type RepoStats struct {
	Name         string `json:"name"`
	Kind         Kind   `json:"kind"`
	Packages     int    `json:"packages"`
	Distfiles    int    `json:"distfiles"` // distinct names, restricted ones included, and unnamed contents
	URIs         int    `json:"uris"`
	Unreferenced int    `json:"unreferenced"`
	Problems     int    `json:"problems"`
	// Protected are the names that only packages which cannot be known may
	// want.
	Protected int `json:"protected"`
	// Timestamp is when the tree was made, by what whoever makes it puts into it
	// at short intervals, and Commit is when its newest commit came. Either is
	// zero where the tree does not say.
	Timestamp time.Time `json:"timestamp"`
	Commit    time.Time `json:"commit"`
}

// A Conflict is one name with two contents.
type Conflict struct {
	// Kept has the name; Shadowed is archived by content only.
	Kept, Shadowed *Distfile
}

// Complete reports whether every repository was understood but for single
// packages, whose files are [Catalog.Protected]: only then may anything be
// scheduled for deletion.
func (c *Catalog) Complete() bool {
	return !slices.ContainsFunc(c.Problems, func(p Problem) bool { return p.Scope == WholeTree })
}

// Barred returns the distfile of that name that must not be published, whoever
// supplies it, or nil.
func (c *Catalog) Barred(name Name) *Distfile {
	i, ok := slices.BinarySearchFunc(c.Restricted, name, func(d *Distfile, n Name) int { return cmp.Compare(d.Name, n) })
	for ; ok && i < len(c.Restricted) && c.Restricted[i].Name == name; i++ {
		if d := c.Restricted[i]; !d.byHand() {
			return d
		}
	}
	return nil
}

// Collect scans repositories one after the other, each of which uses all
// processors, and merges the results. Its error is that of the first
// repository that cannot be scanned at all, or of ctx.
func Collect(ctx context.Context, repos []Repository) (*Catalog, error) {
	scans := make([]*Scan, 0, len(repos))
	stamped := false
	for _, r := range repos {
		s, err := r.Scan(ctx)
		if err != nil {
			return nil, err
		}
		scans = append(scans, s)
		stamped = stamped || s.Stamped > 0
	}
	if !stamped {
		return Merge(scans), nil
	}
	// Some repositories can be scanned once only, and Merge changes what they said.
	once := make([]*Scan, len(scans))
	for i, s := range scans {
		if s.Stamped == 0 {
			once[i] = s.clone()
		}
	}
	c := Merge(scans)
	c.again = func(ctx context.Context) (*Catalog, error) { return reread(ctx, repos, once) }
	return c, nil
}

// FullScan returns the catalog of the same repositories, in which Stamped is 0: what was
// not read is read now. It may be called once.
func (c *Catalog) FullScan(ctx context.Context) (*Catalog, error) {
	if c.again == nil {
		return c, nil
	}
	return c.again(ctx)
}

// reread merges the scans there are with full ones of the other repositories.
func reread(ctx context.Context, repos []Repository, scans []*Scan) (*Catalog, error) {
	for i, r := range repos {
		if scans[i] != nil {
			continue
		}
		s, err := r.(Stamped).FullScan(ctx)
		if err != nil {
			return nil, err
		}
		scans[i] = s
	}
	return Merge(scans), nil
}

// clone returns a copy that stays as it is when s is merged.
func (s *Scan) clone() *Scan {
	c := *s
	c.Distfiles = make([]*Distfile, len(s.Distfiles))
	for i, d := range s.Distfiles {
		copied := *d
		copied.Sources, copied.Owners = slices.Clip(d.Sources), slices.Clip(d.Owners)
		d.Sources, d.Owners = copied.Sources, copied.Owners
		c.Distfiles[i] = &copied
	}
	return &c
}

// Merge makes one catalog of scans. The first repository, and in it the first
// package, that wants a name decides which content has it: a later owner with
// the same content is added to it, one with another content makes a conflict.
// Digests of equal contents are united, and so are their sources.
//
// Two contents of one name of which no digest can be compared, not even by way
// of a third, are taken for different ones: that costs at most one more link.
//
// A name that any package allows to be mirrored is mirrored, by that package's
// sources.
func Merge(scans []*Scan) *Catalog {
	c := &Catalog{maintainers: make(map[string]func(string) []string)}
	c.protected.repos = make(map[string]bool, len(scans))
	var all []claim
	for i, s := range scans {
		c.Stamped += s.Stamped
		if s.Stamped > 0 && (c.ReadAgain.IsZero() || s.ReadAgain.Before(c.ReadAgain)) {
			c.ReadAgain = s.ReadAgain
		}
		st := RepoStats{Name: s.Repo, Kind: s.Kind, Packages: s.Packages, Unreferenced: s.Unreferenced, Problems: len(s.Problems), Timestamp: s.Timestamp, Commit: s.Commit}
		all = slices.Grow(all, len(s.Distfiles))
		for _, d := range s.Distfiles {
			st.URIs += len(d.Sources)
			d.Sources = d.Sources[:min(len(d.Sources), MaxSources)]
			all = append(all, claim{d, int32(i), int32(len(all))})
		}
		c.protected.repos[s.Repo] = true
		for _, n := range s.Notes {
			c.Notes = append(c.Notes, s.Repo+": "+n)
		}
		c.Repos = append(c.Repos, st)
		c.maintainers[s.Repo] = s.Maintainers
		c.Problems = append(c.Problems, s.Problems...)
	}
	slices.SortFunc(all, func(a, b claim) int {
		if c := cmp.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return cmp.Compare(a.seq, b.seq)
	})
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].Name == all[from].Name {
			to++
		}
		c.merge(all[from:to])
		from = to
	}
	for i, s := range scans {
		c.protect(&c.Repos[i], s, all, int32(i))
	}
	return c
}

// A claim is what a package of a repository wants, in the order of all that do.
type claim struct {
	*Distfile
	repo, seq int32
}

// merge decides which contents are archived of those that packages want under one
// name, and counts them.
func (c *Catalog) merge(claims []claim) {
	var open, shut, unnamed []*Distfile
	last := int32(-1) // the repository that the name was counted for
	for _, w := range claims {
		if w.Unnamed || w.repo != last {
			c.Repos[w.repo].Distfiles++
		}
		if !w.Unnamed {
			last = w.repo
		}
		switch {
		case w.Restrict != "":
			shut = join(shut, w.Distfile)
		case w.Unnamed:
			unnamed = join(unnamed, w.Distfile)
		default:
			open = join(open, w.Distfile)
		}
	}
	for _, d := range unnamed {
		if i := slices.IndexFunc(open, func(h *Distfile) bool { return h.Same(d) == digest.Same }); i >= 0 {
			unite(open[i], d)
		} else {
			c.Shadowed = append(c.Shadowed, d)
		}
	}
	if len(open) == 0 {
		c.Restricted = append(c.Restricted, shut...)
		return
	}
	c.Distfiles = append(c.Distfiles, open[0])
	for _, d := range open[1:] {
		c.Shadowed = append(c.Shadowed, d)
		c.Conflicts = append(c.Conflicts, Conflict{open[0], d})
	}
}

// protect takes over the problems of a scan, and counts the names that nothing but a
// package with a problem may want. all are the claims in the order of names.
func (c *Catalog) protect(st *RepoStats, s *Scan, all []claim, repo int32) {
	seen := make(map[Name]bool)
	for i := range s.Problems {
		c.protected.add(&s.Problems[i])
		for _, n := range s.Problems[i].Names {
			if seen[n] {
				continue
			}
			seen[n] = true
			from, to := Span(all, 0, n, func(w claim) Name { return w.Name })
			if !slices.ContainsFunc(all[from:to], func(w claim) bool { return !w.Unnamed && w.repo == repo }) {
				st.Protected++
			}
		}
	}
}

// join adds d to the contents known under its name.
func join(have []*Distfile, d *Distfile) []*Distfile {
	i := slices.IndexFunc(have, func(h *Distfile) bool {
		r := h.Same(d)
		both := len(h.Digests) > 0 && len(d.Digests) > 0
		return r == digest.Same || r == digest.Weak || r == digest.Unknown && !both
	})
	if i < 0 {
		return append(have, d)
	}
	h := have[i]
	unite(h, d)
	// With the digests of d, later contents that could not be compared
	// before may turn out to be this one.
	for j := i + 1; j < len(have); j++ {
		if r := h.Same(have[j]); r == digest.Same || r == digest.Weak {
			unite(h, have[j])
			have = slices.Delete(have, j, j+1)
			j = i
		}
	}
	return have
}

// unite adds to h what d says about the same content.
func unite(h, d *Distfile) {
	h.Digests = h.Digests.Union(d.Digests)
	if h.Size < 0 {
		h.Size = d.Size
	}
	for _, s := range d.Sources {
		if len(h.Sources) == MaxSources {
			break
		}
		if !slices.ContainsFunc(h.Sources, func(t Source) bool { return t.URI == s.URI }) {
			h.Sources = append(h.Sources, s)
		}
	}
	h.Owners = append(h.Owners, d.Owners...)
}

// MaxSources bounds the sources of one content: more than any archive asks. A tree
// may name any number of them, each package anew; what is beyond the bound is left
// out.
const MaxSources = 1024
