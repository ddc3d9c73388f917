// Package plan decides what has to be done to an archive: facts in, plan out. It
// looks at no disk, asks no clock and changes nothing, the facts included, so that
// every decision of a run can be stated as a table, and what a dry run prints is
// the plan that a run executes.
//
// The rules that callers may rely on:
//
//   - Make plans how to get what is wanted. Its readings come first: what a file
//     on disk holds decides about much else, so that a plan with readings is
//     followed by another one once they were read and noted in Facts.Read. Then
//     come the lost records, and then everything else.
//   - Expire plans what goes. Unless deletions are allowed, the catalog is
//     complete and no guard objects, it names nothing that goes.
//   - What cannot be read, now or by anybody, is unknown. Nothing is forgotten,
//     fetched again or deleted because of what is unknown.
//   - Paths are relative to the published tree. Those in reasons, which people
//     read, are absolute.
//
// Begin reading at Facts, then Make, the way in, and Expire, the way out.
package plan

import (
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A Plan is what a run has to do to bring the archive to what the catalog
// wants, as far as it can be told from what is known now: readings come first,
// and a new plan after them.
type Plan struct {
	// Wanted is everything that packages want, Held what needs nothing.
	Wanted, Held layout.Count
	Readings     []*Reading
	Relink       []*ledger.Distfile // held, but not under every path
	Lost         []*ledger.Distfile // recorded, but the file is gone or was changed
	Links        []*Linking
	Fetches      []*Fetching
	Failing      []*Failing
	Waiting      []*Want // failed before; the next try is not due
	// Doubtful may be what is fetched under their names for others: that is to be
	// seen first. A plan that has some is followed by another one.
	Doubtful []*Want
	// Conflicts is the number of names that are wanted for two contents.
	Conflicts int
	Stale     []Stale
	Misfits   []*Misfit
	// Unnamed are files at paths by content that nobody wants and no record explains.
	// A plan with readings does not have them.
	Unnamed []string
	// Unsure are records of which it is not known whether their bytes are
	// there, and why.
	Unsure map[ledger.Key]error
}

// Make plans how to get what the catalog wants.
func Make(f *Facts) *Plan {
	p := &Plan{Unsure: make(map[ledger.Key]error)}
	b := &planner{Facts: f, Plan: p, transfers: make(map[digest.Digest]*Fetching), byName: make(map[catalog.Name][]*Fetching), awaited: make(map[digest.Digest]bool), inodes: make(map[layout.Inode]bool), seen: make([]bool, len(f.Index.Distfiles)), barren: make(map[digest.Digest]bool), planned: make(map[string]bool), named: sorted{list: f.Catalog.Distfiles}}
	conflicts := make(map[*catalog.Distfile]*catalog.Distfile, len(f.Catalog.Conflicts))
	for _, c := range f.Catalog.Conflicts {
		conflicts[c.Shadowed] = c.Kept
	}
	for _, d := range f.Catalog.Distfiles {
		b.want(NewWant(d, true))
	}
	for _, d := range f.Catalog.Shadowed {
		w := NewWant(d, false)
		kept := conflicts[d]
		switch {
		case kept == nil:
			b.want(w)
		case b.one(kept, d):
			if w.Kind.Base64() {
				b.want(w) // for its spelling below by_cipher
			}
		case b.doubtful(w):
			b.Doubtful = append(b.Doubtful, w)
		default:
			b.want(w)
			b.Conflicts++
			b.fail(w.KeyOf("conflict"), w, failure.Conflict, conflictReason(kept, d))
		}
	}
	if f.Single {
		return p
	}
	b.dropped()
	b.unwanted()
	b.foreign()
	b.formerLayouts()
	return p
}

type planner struct {
	*Facts
	*Plan
	// transfers joins the names of one content that is to be fetched.
	transfers map[digest.Digest]*Fetching
	byName    map[catalog.Name][]*Fetching
	// seen tells of each record whether a package wants it.
	seen []bool
	// bySize is made when first asked for.
	bySize map[int64][]*ledger.Distfile
	// barren are digests that only records have whose files are not there: a
	// content may have thousands of names.
	barren map[digest.Digest]bool
	// planned are the keys of the readings, inodes their files, and awaited the
	// digests that they may show to be there: what has the same waits for them.
	planned map[string]bool
	inodes  map[layout.Inode]bool
	awaited map[digest.Digest]bool
	// ciphers are the files below by_cipher when the ledger is new.
	ciphers map[layout.Inode]bool
	// named is what packages want under its name.
	named sorted
}

// want decides what has to be done for one wanted content.
func (b *planner) want(w *Want) {
	b.Wanted.Add(w.Size)
	for i, to := b.Index.Span(w.Name); i < to; i++ {
		switch d := b.Index.Distfiles[i]; {
		case d.Satisfies(w.Distfile):
			b.seen[i] = true
			if b.have(d, w) {
				return
			}
		case len(w.Digests) == 0:
			b.Held.Add(d.Size) // nothing to hold against it: the name is kept
			return
		case d.Relation(w.Distfile) == digest.Unknown && w.Digests.Verifiable():
			// Verified by digests that this tree does not publish.
			if d.Named && !w.Named { // it keeps its name whatever it turns out to be
				if b.learn(d, w.Digests.Algorithms()) {
					return
				}
			} else if rel := b.Shelf.Sound(&d.Content); rel != "" && b.readOnce(&Reading{Rel: rel, Name: w.Name, Size: d.Size, Want: w}) {
				return
			}
		}
	}
	if !w.Digests.Verifiable() {
		b.fail(w.Key(), w, failure.Digest, unverifiableReason(w))
		return
	}
	if !b.publishable(w) || b.onDisk(w) || b.elsewhere(w) {
		return
	}
	if f := b.Drops[w.Name]; f != nil && b.readDrop(f, w) {
		return
	}
	if b.stray(w) {
		return
	}
	if f := b.Index.Failures[w.Key()]; f != nil && !b.due(f, w) {
		b.Waiting = append(b.Waiting, w)
		return
	}
	if !b.Tried[w.Key()] { // once a run is enough
		b.fetch(w)
	}
}

// one reports whether the archive has found out that two wanted contents of one
// name, which the trees do not allow to compare, are one.
func (b *planner) one(x, y *catalog.Distfile) bool {
	return slices.ContainsFunc(b.Index.ByName(x.Name), func(d *ledger.Distfile) bool { return d.Satisfies(x) && d.Satisfies(y) })
}

// doubtful reports whether w may be what is to be fetched under its name already:
// then that is checked against the digests of w as well.
func (b *planner) doubtful(w *Want) bool {
	for _, f := range b.byName[w.Name] {
		for _, o := range f.Wants {
			if o.Name == w.Name && o.Same(w.Distfile) == digest.Unknown {
				f.Algs = append(f.Algs, w.Digests.Algorithms()...)
				return true
			}
		}
	}
	return false
}

// due reports whether what has failed is to be tried in this run: when its pause is
// over, or when something that decides is not what it was.
func (b *planner) due(f *ledger.Failure, w *Want) bool {
	return !f.Next.After(b.Now) || f.Last.After(b.Now) || !failure.Class(f.Class).Permanent() || f.Asked != b.Asked(w.Name, w.Sources)
}

// publishable reports whether w, which does not have its name yet, can have it
// here. What is in the way is for the operator to move.
func (b *planner) publishable(w *Want) bool {
	if !w.Named {
		return true
	}
	if err := b.Shelf.Layouts.Check(w.Name); err != nil {
		b.fail(w.Key(), w, failure.Policy, err.Error())
		return false
	}
	for _, l := range b.Shelf.Layouts {
		rel, ok := l.Path(w.Name, w.Digests)
		if !ok {
			continue
		}
		if dir := b.viewDir(rel); dir != "" {
			b.fail(w.Key(), w, failure.Policy, "the directory "+dir+" is that of another repository: publish that below a directory of its own")
			return false
		}
		switch f, _ := b.Shelf.Files.Get(rel); f.Blocked {
		case layout.ByDir:
			b.fail(w.Key(), w, failure.Local, b.path(rel)+" is a directory: move it away")
			return false
		case layout.ByFile:
			b.fail(w.Key(), w, failure.Local, b.path(rel)+": a file is in the place of a directory: move it away")
			return false
		}
	}
	return true
}

// have reports whether the held content d serves w without a transfer. When
// its file is gone or was changed, it is lost and have is false.
func (b *planner) have(d *ledger.Distfile, w *Want) bool {
	if b.Shelf.Sound(&d.Content) == "" {
		if b.Stuck[d.Key()] {
			return true // that is a failure already
		}
		if b.reread(d, Reading{Want: w}) || b.doubted(d) {
			return true
		}
		b.Lost = append(b.Lost, d)
		return false
	}
	if b.learn(d, b.Shelf.Layouts.Algorithms()) {
		return true
	}
	if w.Named && !d.Named || w.Kind.Base64() && !d.Kind.Base64() {
		if !b.publishable(w) {
			return true
		}
		b.Links = append(b.Links, &Linking{Want: w, From: d})
		return true
	}
	b.Held.Add(d.Size)
	if w.Named && !b.Shelf.Linked(&d.Content) && b.publishable(w) {
		b.Relink = append(b.Relink, d)
	}
	return true
}

// readOnce plans to read a file unless that was done before for the same want.
func (b *planner) readOnce(r *Reading) bool {
	if r.Stray != nil {
		r.ModTime, r.Foreign = r.Stray.ModTime, r.Stray.Foreign
		b.inodes[r.Stray.Inode] = true
	} else if f, ok := b.Shelf.Files.Get(r.Rel); ok && r.Rel != "" {
		r.ModTime, r.Foreign = f.ModTime, f.Foreign
		b.inodes[f.Inode] = true
	}
	if key := r.Key(); b.Read[key] || b.planned[key] {
		return false
	} else {
		b.planned[key] = true
	}
	r.Algs = slices.Concat(r.Lacks, b.algorithms(r.Want))
	b.Readings = append(b.Readings, r)
	return true
}

// learn plans to read the file of d for digests that its record lacks.
func (b *planner) learn(d *ledger.Distfile, algs []digest.Algorithm) bool {
	lacks := slices.DeleteFunc(slices.Clone(algs), func(a digest.Algorithm) bool { return !a.Computable() || !d.Digests.Get(a).IsZero() })
	if len(lacks) == 0 {
		return false
	}
	rel := b.Shelf.Sound(&d.Content)
	return rel != "" && b.readOnce(&Reading{Rel: rel, Name: d.Name, Size: d.Size, Aside: !d.Named, Sum: d.SHA256(), Lacks: lacks})
}

// algorithms are those to compute when content is read for w: what the tree
// publishes, and what the layouts need.
func (b *planner) algorithms(w *Want) []digest.Algorithm {
	as := b.Shelf.Layouts.Algorithms()
	if w == nil {
		as = append(as, digest.Usual...)
	} else {
		as = append(as, w.Digests.Algorithms()...)
		// The other contents of this name, so that they can be told apart.
		for _, d := range b.Index.ByName(w.Name) {
			as = append(as, d.Digests.Algorithms()...)
		}
	}
	return as
}

// elsewhere looks for the wanted content under another name and in recycle.
func (b *planner) elsewhere(w *Want) bool {
	for _, s := range w.Digests {
		if !s.Alg.Strong() {
			continue
		}
		if b.barren[s] {
			continue
		}
		b.barren[s] = true
		for _, d := range b.Index.WithSum(s) {
			fits := d.Name != w.Name && d.Satisfies(w.Distfile)
			if fits && b.learn(d, b.Shelf.Layouts.Algorithms()) {
				delete(b.barren, s)
				return true
			}
			if b.Shelf.Sound(&d.Content) == "" {
				continue
			}
			delete(b.barren, s)
			if fits {
				b.Links = append(b.Links, &Linking{Want: w, From: d})
				return true
			}
		}
	}
	if b.incomparable(w) {
		return true
	}
	if r := b.Index.RecycledFor(w.Distfile); r != nil && b.Restorable(r) {
		b.Links = append(b.Links, &Linking{Want: w, Back: r})
		return true
	}
	return false
}

// incomparable plans to read the held contents of the size of w that have no digest
// which tells whether they are the wanted one: then they do.
func (b *planner) incomparable(w *Want) (any bool) {
	if w.Size < 0 || !w.Digests.Strongest().Alg.Strong() {
		return false
	}
	if b.bySize == nil {
		b.bySize = make(map[int64][]*ledger.Distfile)
		for _, d := range b.Index.Distfiles {
			b.bySize[d.Size] = append(b.bySize[d.Size], d)
		}
	}
	for _, d := range b.bySize[w.Size] {
		if r := d.Relation(w.Distfile); (r == digest.Unknown || r == digest.Weak) && b.learn(d, w.Digests.Algorithms()) {
			any = true
		}
	}
	return any
}

// Restorable reports whether recycle may still have the verified file of r: its
// time is not asked for, which a backup may not have kept. Whoever publishes it
// reads it before.
func (v *Facts) Restorable(r *ledger.Recycled) bool {
	f := v.Recycled(r)
	return f.Err == nil && f.Size == r.Size && !v.Unread[r.Key()]
}

func (b *planner) fetch(w *Want) {
	sum := w.Digests.Strongest()
	if sum.Alg.Strong() {
		if f := b.transfers[sum]; f != nil && (f.Size() == w.Size || f.Size() < 0 || w.Size < 0) {
			f.Wants = append(f.Wants, w)
			f.Algs = append(f.Algs, w.Digests.Algorithms()...)
			b.byName[w.Name] = append(b.byName[w.Name], f)
			return
		}
	}
	f := &Fetching{Wants: []*Want{w}, Algs: b.algorithms(w)}
	b.transfers[sum] = f
	b.Fetches = append(b.Fetches, f)
	b.byName[w.Name] = append(b.byName[w.Name], f)
}

func (b *planner) fail(key ledger.FailureKey, w *Want, class failure.Class, reason string) {
	b.Failing = append(b.Failing, &Failing{key, w.Owner(), class, reason})
}

func conflictReason(kept, shadowed *catalog.Distfile) string {
	return "name is taken: " + describe(kept) + " has it; " + describe(shadowed) + " is kept below by_cipher only"
}

func describe(d *catalog.Distfile) string {
	s := "nobody"
	if len(d.Owners) > 0 {
		s = d.Owners[0].String()
	}
	sum := d.Digests.Strongest()
	if sum.IsZero() {
		return s + " (no digest)"
	}
	return s + " (" + sum.String() + ")"
}

func unverifiableReason(w *Want) string {
	if len(w.Digests) == 0 {
		return "the tree has no digest for it: update the Manifest"
	}
	names := make([]string, len(w.Digests))
	for i, d := range w.Digests {
		names[i] = d.Alg.String()
	}
	return "the tree has only digests that cannot be computed here: " + strings.Join(names, " ")
}
