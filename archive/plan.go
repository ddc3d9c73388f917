package archive

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A want is one content that a package wants.
type want struct {
	*catalog.Distfile
	// named: it has the published name; otherwise an earlier owner has, and
	// this content is kept by digest only.
	named bool
	id    string // see key
}

// key is store.Want of the content, computed when first asked for: most wants
// of most runs are never asked. One goroutine uses a want until it was.
func (w *want) key() string {
	if w.id == "" {
		w.id = store.Want(w.Name, w.Size, w.Digests)
	}
	return w.id
}

// keyOf is the key of a failure that may stand beside that of the transfer.
func (w *want) keyOf(kind string) ledger.FailureKey {
	return ledger.FailureKey{Name: w.Name, Want: (kind + w.key())[:len(w.key())]}
}

func (w *want) failureKey() ledger.FailureKey { return ledger.FailureKey{Name: w.Name, Want: w.key()} }

func (w *want) owner() string {
	if len(w.Owners) == 0 {
		return ""
	}
	return w.Owners[0].String()
}

// A reading is a file on disk whose digests have to be known.
type reading struct {
	path string // absolute
	name catalog.Name
	size int64
	// rel is the path in the published tree, or empty for a .part or a file
	// of the drop box.
	rel string
	// part is set for a whole .part that an interrupted commit left.
	part bool
	// drop is set for a file of the drop box.
	drop *dropFile
	// modTime is that of a file of the published tree when it was looked at.
	modTime time.Time
	// aside: the content does not get the name, which another has.
	aside bool
	// sum is the only content that is of interest here, or zero.
	sum digest.Digest
	// want is the content it may be, or nil.
	want *want
	// lacks are the digests that its record is to have as well.
	lacks []digest.Algorithm
	algs  []digest.Algorithm
}

// key is what one reading is enough of.
func (r *reading) key() string {
	key := r.path + "\x00" + r.modTime.String()
	switch {
	case len(r.lacks) > 0:
		key += "\x00" + fmt.Sprint(r.lacks)
	case r.want != nil:
		key += "\x00" + r.want.key()
	}
	return key
}

// A linking makes a content that the archive has available under one more name.
type linking struct {
	want *want
	from *ledger.Distfile // a held content, or
	back *ledger.Recycled // one in recycle
}

// A fetching is one transfer, for one or more names of the same content.
type fetching struct {
	wants []*want
	algs  []digest.Algorithm
}

// size is that of the content, or -1 where no tree says it.
func (f *fetching) size() int64 {
	size := int64(-1)
	for _, w := range f.wants {
		size = max(size, w.Size)
	}
	return size
}

// A failing is a wanted content that cannot be had, and why.
type failing struct {
	key    ledger.FailureKey
	owner  string
	class  failure.Class
	reason string
}

// A plan is what a run has to do to bring the archive to what the catalog
// wants, as far as it can be told from what is known now: readings come first,
// and a new plan after them.
type plan struct {
	wanted, held vault.Count
	readings     []*reading
	relink       []*ledger.Distfile // held, but not under every path
	lost         []*ledger.Distfile // recorded, but the file is gone or was changed
	links        []*linking
	fetches      []*fetching
	failing      []*failing
	waiting      []*want // failed before; the next try is not due
	stale        []stale
	// unsure are records of which it is not known whether their bytes are
	// there.
	unsure map[ledger.Key]error
}

// A stale link is at a path of a layout that is no longer in use.
type stale struct {
	rel string
	of  *ledger.Distfile
}

// facts are everything that a plan depends on.
type facts struct {
	v       *vault.Vault
	catalog *catalog.Catalog
	drops   map[catalog.Name]*dropFile
	whole   map[string]bool // parts that interrupted commits left
	dirs    map[string]bool // directories of the repositories' views
	ciphers []cipherFile    // what by_cipher has, when the ledger is new
	// read remembers which files were read in vain for which want, so that
	// planning comes to an end.
	read map[string]bool
	// stuck are records that are lost, and whose places are taken by what
	// cannot be moved away.
	stuck map[ledger.Key]bool
	// unread are contents in recycle that cannot be read, readBack those that
	// were read and are right.
	unread   map[ledger.Key]bool
	readBack map[ledger.Key]store.Source
	// failed are the files that could not be read in this run, and why.
	failed   map[string]error
	failedMu sync.Mutex // while readings go on
	// recycled returns what is in the place of a content in recycle. It answers
	// the same for as long as the record is the same.
	recycled func(*ledger.Recycled) layout.File
	// asked is a mark of what is asked for, so that a failure need not wait when
	// that has changed.
	asked func(catalog.Name, []catalog.Source) string
}

// makePlan changes nothing.
func makePlan(v *facts) *plan {
	p := &plan{unsure: make(map[ledger.Key]error)}
	b := &planner{facts: v, plan: p, transfers: make(map[string]*fetching), seen: make(map[ledger.Key]bool, len(v.v.Index.Distfiles)), barren: make(map[digest.Digest]bool), planned: make(map[string]bool)}
	conflicts := make(map[*catalog.Distfile]*catalog.Distfile, len(v.catalog.Conflicts))
	for _, c := range v.catalog.Conflicts {
		conflicts[c.Shadowed] = c.Kept
	}
	for _, d := range v.catalog.Distfiles {
		b.want(newWant(d, true))
	}
	for _, d := range v.catalog.Shadowed {
		w := newWant(d, false)
		b.want(w)
		if kept := conflicts[d]; kept != nil {
			b.fail(w.keyOf("conflict"), w, failure.Conflict, conflictReason(kept, d))
		}
	}
	b.dropped()
	b.unwanted()
	b.foreign()
	b.formerLayouts()
	return p
}

func newWant(d *catalog.Distfile, named bool) *want {
	return &want{Distfile: d, named: named}
}

type planner struct {
	*facts
	*plan
	// transfers joins the names of one content that is to be fetched.
	transfers map[string]*fetching
	// seen are the records that packages want.
	seen map[ledger.Key]bool
	// bySize is made when first asked for.
	bySize map[int64][]*ledger.Distfile
	// barren are digests that only records have whose files are not there: a
	// content may have thousands of names.
	barren map[digest.Digest]bool
	// planned are the keys of the readings.
	planned map[string]bool
}

// want decides what has to be done for one wanted content.
func (b *planner) want(w *want) {
	b.wanted.Add(w.Size)
	for _, d := range b.v.Index.ByName(w.Name) {
		switch {
		case d.Satisfies(w.Distfile):
			if b.have(d, w) {
				return
			}
		case len(w.Digests) == 0:
			b.held.Add(d.Size) // nothing to hold against it: the name is kept
			return
		case d.Relation(w.Distfile) == digest.Unknown && w.Digests.Verifiable():
			// Verified by digests that this tree does not publish.
			if rel := b.v.Shelf.Sound(&d.Content); rel != "" && b.readOnce(&reading{path: b.v.Store.Path(rel), rel: rel, name: w.Name, size: d.Size, want: w}) {
				return
			}
		}
	}
	if !w.Digests.Verifiable() {
		b.fail(w.failureKey(), w, failure.Digest, unverifiableReason(w))
		return
	}
	if !b.publishable(w) || b.onDisk(w) || b.elsewhere(w) {
		return
	}
	if f := b.drops[w.Name]; f != nil && b.readDrop(f, w) {
		return
	}
	if f := b.v.Index.Failures[w.failureKey()]; f != nil && !b.due(f, w) {
		b.waiting = append(b.waiting, w)
		return
	}
	b.fetch(w)
}

// due reports whether what has failed is to be tried in this run: when its pause is
// over, or when something that decides is not what it was.
func (b *planner) due(f *ledger.Failure, w *want) bool {
	return !f.Next.After(b.v.Now) || f.Last.After(b.v.Now) || !failure.Class(f.Class).Permanent() || f.Asked != b.asked(w.Name, w.Sources)
}

// publishable reports whether w, which does not have its name yet, can have it
// here. What is in the way is for the operator to move.
func (b *planner) publishable(w *want) bool {
	if !w.named {
		return true
	}
	if err := b.v.Store.Layouts().Check(w.Name); err != nil {
		b.fail(w.failureKey(), w, failure.Policy, err.Error())
		return false
	}
	for _, l := range b.v.Store.Layouts() {
		rel, ok := l.Path(w.Name, w.Digests)
		if !ok {
			continue
		}
		if dir := b.viewDir(rel); dir != "" {
			b.fail(w.failureKey(), w, failure.Policy, "the directory "+dir+" is that of another repository: publish that below a directory of its own")
			return false
		}
		switch f, _ := b.v.Disk.Get(rel); f.Blocked {
		case layout.ByDir:
			b.fail(w.failureKey(), w, failure.Local, b.v.Store.Path(rel)+" is a directory: move it away")
			return false
		case layout.ByFile:
			b.fail(w.failureKey(), w, failure.Local, b.v.Store.Path(rel)+": a file is in the place of a directory: move it away")
			return false
		}
	}
	return true
}

// have reports whether the held content d serves w without a transfer. When
// its file is gone or was changed, it is lost and have is false.
func (b *planner) have(d *ledger.Distfile, w *want) bool {
	b.seen[d.Key()] = true
	if b.v.Shelf.Sound(&d.Content) == "" {
		if b.stuck[d.Key()] {
			return true // that is a failure already
		}
		if b.reread(d, reading{want: w}) || b.doubted(d) {
			return true
		}
		b.lost = append(b.lost, d)
		return false
	}
	if b.learn(d, b.v.Store.Layouts().Algorithms()) {
		return true
	}
	if w.named && !d.Named || w.Kind.Base64() && !d.Kind.Base64() {
		if !b.publishable(w) {
			return true
		}
		b.links = append(b.links, &linking{want: w, from: d})
		return true
	}
	b.held.Add(d.Size)
	if w.named && !b.v.Shelf.Linked(&d.Content) && b.publishable(w) && !b.strays(d) {
		b.relink = append(b.relink, d)
	}
	return true
}

// readOnce plans to read a file unless that was done before for the same want.
func (b *planner) readOnce(r *reading) bool {
	if f, ok := b.v.Disk.Get(r.rel); ok && r.rel != "" {
		r.modTime = f.ModTime
	}
	if key := r.key(); b.read[key] || b.planned[key] {
		return false
	} else {
		b.planned[key] = true
	}
	r.algs = slices.Concat(r.lacks, b.algorithms(r.want))
	b.readings = append(b.readings, r)
	return true
}

// learn plans to read the file of d for digests that its record lacks.
func (b *planner) learn(d *ledger.Distfile, algs []digest.Algorithm) bool {
	lacks := slices.DeleteFunc(slices.Clone(algs), func(a digest.Algorithm) bool { return !a.Computable() || !d.Digests.Get(a).IsZero() })
	if len(lacks) == 0 {
		return false
	}
	rel := b.v.Shelf.Sound(&d.Content)
	return rel != "" && b.readOnce(&reading{path: b.v.Store.Path(rel), rel: rel, name: d.Name, size: d.Size, aside: !d.Named, sum: d.SHA256(), lacks: lacks})
}

// usual are the digests of most trees. They are computed of files that no tree
// names, so that they are known when one wants the content under another name.
var usual = []digest.Algorithm{digest.BLAKE2B, digest.SHA512}

// algorithms are those to compute when content is read for w: what the tree
// publishes, and what the layouts need.
func (b *planner) algorithms(w *want) []digest.Algorithm {
	as := b.v.Store.Layouts().Algorithms()
	if w == nil {
		as = append(as, usual...)
	} else {
		as = append(as, w.Digests.Algorithms()...)
		// The other contents of this name, so that they can be told apart.
		for _, d := range b.v.Index.ByName(w.Name) {
			as = append(as, d.Digests.Algorithms()...)
		}
	}
	return as
}

// elsewhere looks for the wanted content under another name and in recycle.
func (b *planner) elsewhere(w *want) bool {
	for _, s := range w.Digests {
		if !s.Alg.Strong() {
			continue
		}
		if b.barren[s] {
			continue
		}
		b.barren[s] = true
		for _, d := range b.v.Index.WithSum(s) {
			fits := d.Name != w.Name && d.Satisfies(w.Distfile)
			if fits && b.learn(d, b.v.Store.Layouts().Algorithms()) {
				delete(b.barren, s)
				return true
			}
			if b.v.Shelf.Sound(&d.Content) == "" {
				continue
			}
			delete(b.barren, s)
			if fits {
				b.links = append(b.links, &linking{want: w, from: d})
				return true
			}
		}
	}
	if b.incomparable(w) {
		return true
	}
	if r := b.v.Index.RecycledFor(w.Distfile); r != nil && b.restorable(r) {
		b.links = append(b.links, &linking{want: w, back: r})
		return true
	}
	return false
}

// incomparable plans to read the held contents of the size of w that have no digest
// which tells whether they are the wanted one: then they do.
func (b *planner) incomparable(w *want) (any bool) {
	if w.Size < 0 || !w.Digests.Strongest().Alg.Strong() {
		return false
	}
	if b.bySize == nil {
		b.bySize = make(map[int64][]*ledger.Distfile)
		for _, d := range b.v.Index.Distfiles {
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

// restorable reports whether recycle may still have the verified file of r: its
// time is not asked for, which a backup may not have kept. Whoever publishes it
// reads it before.
func (v *facts) restorable(r *ledger.Recycled) bool {
	f := v.recycled(r)
	return f.Err == nil && f.Size == r.Size && !v.unread[r.Key()]
}

func (b *planner) fetch(w *want) {
	sum := w.Digests.Strongest()
	if sum.Alg.Strong() {
		if f := b.transfers[sum.String()]; f != nil && (f.size() == w.Size || f.size() < 0 || w.Size < 0) {
			f.wants = append(f.wants, w)
			f.algs = append(f.algs, w.Digests.Algorithms()...)
			return
		}
	}
	f := &fetching{wants: []*want{w}, algs: b.algorithms(w)}
	b.transfers[sum.String()] = f
	b.fetches = append(b.fetches, f)
}

func (b *planner) fail(key ledger.FailureKey, w *want, class failure.Class, reason string) {
	b.failing = append(b.failing, &failing{key, w.owner(), class, reason})
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

func unverifiableReason(w *want) string {
	if len(w.Digests) == 0 {
		return "the tree has no digest for it: update the Manifest"
	}
	names := make([]string, len(w.Digests))
	for i, d := range w.Digests {
		names[i] = d.Alg.String()
	}
	return "the tree has only digests that cannot be computed here: " + strings.Join(names, " ")
}
