package plan

import (
	"fmt"
	"path/filepath"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// Facts are everything that a plan depends on. Maps that are nil are empty; the
// funcs answer the same until somebody says that what they know of has changed.
type Facts struct {
	Options
	// Now is the time of the run.
	Now time.Time
	// Published and State are the directories of the archive. They stand in
	// reasons alone.
	Published, State string
	Catalog          *catalog.Catalog
	Index            *ledger.Index
	// Shelf is the listing of the published tree, and the layouts.
	Shelf layout.Shelf
	// Drops is the drop box.
	Drops map[catalog.Name]*Drop
	// Whitelisted reports whether the whitelist has a name.
	Whitelisted func(catalog.Name) bool
	// Part reports whether an interrupted commit has left the whole content.
	Part func(ledger.FailureKey) bool
	// Dirs are the directories of the repositories' views.
	Dirs map[string]bool
	// Viewed are the contents that a published index names although the
	// catalog is beyond it, and ViewsUnknown is why that cannot be told, or
	// empty. Only Expire asks for them.
	Viewed       map[*ledger.Distfile]bool
	ViewsUnknown string
	// Remembered are the names of files at paths by content, as another program
	// knew them.
	Remembered map[string]catalog.Name
	// Ciphers are the files below by_cipher, when the ledger is new.
	Ciphers []Cipher
	// Strays are the files of a size, or those of a name where the size is
	// negative, that lie where no layout would have them.
	Strays func(size int64, base string) []*layout.Stray
	// Recycled returns what is in the place of a content in recycle.
	Recycled func(*ledger.Recycled) layout.File
	// There reports whether there is anything at all at a path.
	There func(rel string) bool
	// Asked is a mark of what is asked for, so that a failure need not wait
	// when that has changed.
	Asked func(catalog.Name, []catalog.Source) string

	// What follows was found out in the run.

	// Read are the keys of the readings that were made, so that planning comes
	// to an end.
	Read map[string]bool
	// Wrong are the files of the published tree that do not hold what is wanted
	// under their names, and why.
	Wrong map[string]string
	// Tried are the wants that were to be fetched, with or without success.
	Tried map[ledger.FailureKey]bool
	// Failed are the files of the published tree, and FailedDrops those of the
	// drop box, that could not be read, and why.
	Failed      map[string]error
	FailedDrops map[catalog.Name]error
	// Stuck are records that are lost, and whose places are taken by what
	// cannot be moved away.
	Stuck map[ledger.Key]bool
	// Unread are contents in recycle that cannot be read.
	Unread map[ledger.Key]bool
}

// Options say what may be deleted, and when.
type Options struct {
	// Delete allows to schedule what nobody wants, to delete what has been
	// scheduled for DeletionDelay, and to remove it from recycle after
	// RecycleDelay.
	Delete        bool
	DeletionDelay time.Duration
	RecycleDelay  time.Duration
	// MaxDelete is the part of all files, and of all bytes, that may be
	// deleted in one run.
	MaxDelete float64
	// Partial says that the catalog has only a part of what is wanted.
	Partial bool
	// Single says that somebody waits for what the catalog has: nothing else is
	// looked at.
	Single bool
	// Retired names repositories that are gone on purpose.
	Retired []string
}

// KnowsAll reports whether the catalog has everything that is wanted: only then
// may what it does not have be deleted.
func (f *Facts) KnowsAll() bool { return f.Catalog.Complete() && !f.Partial }

// path is the absolute path of rel.
func (f *Facts) path(rel string) string { return filepath.Join(f.Published, rel) }

// A Want is one content that a package wants.
type Want struct {
	*catalog.Distfile
	// Named: it has the published name; otherwise an earlier owner has, and
	// this content is kept by digest only.
	Named bool
	id    string // see ID
}

// NewWant returns the want of d.
func NewWant(d *catalog.Distfile, named bool) *Want { return &Want{Distfile: d, Named: named} }

// ID is ledger.Want of the content, computed when first asked for: most wants
// of most runs are never asked. One goroutine uses a want until it was.
func (w *Want) ID() string {
	if w.id == "" {
		w.id = ledger.Want(w.Name, w.Size, w.Digests)
	}
	return w.id
}

// Key is the key of the failure to get w.
func (w *Want) Key() ledger.FailureKey { return ledger.FailureKey{Name: w.Name, Want: w.ID()} }

// KeyOf is the key of a failure that may stand beside that of the transfer.
func (w *Want) KeyOf(kind string) ledger.FailureKey {
	return ledger.FailureKey{Name: w.Name, Want: (kind + w.ID())[:len(w.ID())]}
}

// Owner is the first package that wants it, or empty.
func (w *Want) Owner() string {
	if len(w.Owners) == 0 {
		return ""
	}
	return w.Owners[0].String()
}

// Begin begins the record of w. What brings the bytes completes it with their
// digests, size and origin.
func (w *Want) Begin(now time.Time) ledger.Distfile {
	return ledger.Distfile{
		Content: layout.Content{Name: w.Name, Named: w.Named, Kind: w.Kind},
		Owner:   w.Owner(), Added: now, Verified: now,
	}
}

// A Reading is a file on disk whose digests have to be known.
type Reading struct {
	Name catalog.Name
	Size int64
	// Rel is the path in the published tree, or empty for a part or a file of
	// the drop box.
	Rel string
	// Part is set for the whole content of Want that an interrupted commit
	// left.
	Part bool
	// Drop is set for a file of the drop box.
	Drop *Drop
	// Stray is set for a file that no layout would have where it is.
	Stray *layout.Stray
	// ModTime is that of a file of the published tree when it was looked at.
	ModTime time.Time
	// Foreign: somebody else can write to the file, or it cannot be linked.
	Foreign bool
	// Only: nothing is taken but the content of Want.
	Only bool
	// Aside: the content does not get the name, which another has.
	Aside bool
	// Sum is the only content that is of interest here, or zero.
	Sum digest.Digest
	// Promise is what its path says that it holds, or zero. Other bytes are left.
	Promise digest.Digest
	// Want is the content it may be, or nil.
	Want *Want
	// Lacks are the digests that its record is to have as well, Algs all that
	// are to be computed.
	Lacks, Algs []digest.Algorithm
}

// Begin begins the record of what is read: of its want, if that is what was found.
func (r *Reading) Begin(now time.Time, wanted bool) ledger.Distfile {
	if wanted {
		return r.Want.Begin(now)
	}
	return ledger.Distfile{Content: layout.Content{Name: r.Name, Named: !r.Aside}, Added: now, Verified: now}
}

// Key is what one reading is enough of.
func (r *Reading) Key() string {
	key := r.Rel + "\x00" + r.ModTime.String()
	switch {
	case r.Part:
		key = "part\x00" + string(r.Name) + key
	case r.Drop != nil:
		key = "drop\x00" + string(r.Name) + key
	case r.Stray != nil:
		key = "stray\x00" + r.Stray.Path + key
	}
	switch {
	case len(r.Lacks) > 0:
		key += "\x00" + fmt.Sprint(r.Lacks)
	case r.Want != nil:
		key += "\x00" + r.Want.ID()
	}
	return key
}

// A Linking makes a content that the archive has available under one more name.
type Linking struct {
	Want *Want
	From *ledger.Distfile // a held content, or
	Back *ledger.Recycled // one in recycle
}

// A Fetching is one transfer, for one or more names of the same content.
type Fetching struct {
	Wants []*Want
	Algs  []digest.Algorithm
}

// Size is that of the content, or -1 where no tree says it.
func (f *Fetching) Size() int64 {
	size := int64(-1)
	for _, w := range f.Wants {
		size = max(size, w.Size)
	}
	return size
}

// Sources are those of all names of the content, each URI once.
func (f *Fetching) Sources() []catalog.Source {
	if len(f.Wants) == 1 {
		return f.Wants[0].Sources
	}
	var ss []catalog.Source
	known := make(map[string]bool)
	for _, w := range f.Wants {
		for _, s := range w.Sources {
			if !known[s.URI] {
				known[s.URI] = true
				ss = append(ss, s)
			}
		}
	}
	return ss
}

// A Failing is a wanted content that cannot be had, and why.
type Failing struct {
	Key    ledger.FailureKey
	Owner  string
	Class  failure.Class
	Reason string
}

// A Misfit is a file of the published tree under the name of what is wanted that
// has other bytes.
type Misfit struct {
	Rel    string
	Want   *Want
	Size   int64
	Reason string
}

// A Stale link is at a path of a layout that is no longer in use.
type Stale struct {
	Rel string
	Of  *ledger.Distfile
}
