package vault

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// A Depot has the bytes of the contents of an archive. The vault decides what is
// published, in recycle and gone, and records it; a depot makes that true. One
// goroutine at a time calls the methods that change something; what they have done is
// durable when they return, and done again it does no harm.
type Depot interface {
	// Publish makes the depot have the bytes of items, under all their paths where it
	// has paths. What is wrong with a single item is in its Err. The error means that
	// nothing may be recorded. The bytes of next, which a later call is to publish, may
	// be made durable with them.
	Publish(items, next []*store.Item) error
	// Keep makes contents safe in recycle, before they are recorded there. Those whose
	// bytes are gone are in missing, those that cannot be put there in stuck, with the
	// reason.
	Keep(cs []*layout.Content) (missing []*layout.Content, stuck map[*layout.Content]error, err error)
	// Unpublish removes the paths of a content that is in recycle, but for those that
	// keep says others need.
	Unpublish(c *layout.Content, keep func(rel string) bool) error
	// Purge removes contents from recycle for good, but for those whose bytes others have
	// in the same place, which are published or in recycle: it asks others for them, one
	// content after the other.
	Purge(cs []*layout.Content, others Others) error
	// Recycled tells what is in recycle in the place of c. It reads no bytes.
	Recycled(c *layout.Content) layout.File
	// Read returns the digests of a content in recycle, algs among them, and its size.
	// Its error wraps fs.ErrNotExist where there is nothing. The source is its file,
	// where that is one to link.
	Read(ctx context.Context, c *layout.Content, algs ...digest.Algorithm) (digest.Set, int64, store.Source, error)
	// SetAside moves what is in recycle in the place of c, and is not that, to where a
	// person can look at it. label begins its name there.
	SetAside(c *layout.Content, label string) error
	// String says where it is.
	String() string
}

// Others returns the contents that are published, and those that are in recycle, with the
// bytes of one that goes.
type Others = func(c *layout.Content) (published, recycled []*layout.Content)

// A Remote is a Depot in another place that knows contents by their SHA-256 alone. Its
// errors wrap fs.ErrNotExist where there is no such content.
type Remote interface {
	Depot
	// Held returns an error when somebody else may have taken the archive over.
	Held() error
	// Check compares what is there with the digest and size of a content and says what
	// is wrong, or "". read, if not nil, is called before every n bytes that have to be
	// read for it.
	Check(ctx context.Context, sum digest.Digest, size int64, read func(ctx context.Context, n int) error) (wrong string, err error)
	// Aside moves what is in the place of a content, and is not that, out of it, and
	// returns where it is now.
	Aside(ctx context.Context, sum digest.Digest) (kept string, err error)
	// All calls f with every content that is there, and odd with where something else
	// is in such a place.
	All(ctx context.Context, f func(sum digest.Digest, size int64, at time.Time) error, odd func(where string)) error
	// NameOf returns the name that a content was written under, or "".
	NameOf(ctx context.Context, sum digest.Digest) (string, error)
	// Kept calls f with each content of each snapshot. Contents that snapshots have are not
	// removed.
	Kept(ctx context.Context, f func(snapshot, name string, sum digest.Digest, size int64)) error
	// Remove removes a content for good.
	Remove(ctx context.Context, sum digest.Digest) error
}

// inFiles is a Depot of the published tree and recycle, directories of one file
// system: the paths of a content are hard links to one file.
type inFiles struct{ s *store.Store }

// InFiles returns the depot that the files of an archive are.
func InFiles(s *store.Store) Depot { return inFiles{s} }

func (h inFiles) Publish(items, next []*store.Item) error { return h.s.Tree.Commit(items, next) }

func (h inFiles) Keep(cs []*layout.Content) ([]*layout.Content, map[*layout.Content]error, error) {
	return h.s.Recycle.Keep(cs)
}

func (h inFiles) Unpublish(c *layout.Content, keep func(rel string) bool) error {
	return h.s.Recycle.Unpublish(c, keep)
}

func (h inFiles) Purge(cs []*layout.Content, others Others) error {
	for _, c := range cs {
		path := h.s.RecyclePath(c)
		if _, recycled := others(c); slices.ContainsFunc(recycled, func(o *layout.Content) bool { return h.s.RecyclePath(o) == path }) {
			continue
		}
		if err := h.s.Recycle.Purge(c); err != nil {
			return err
		}
	}
	return nil
}

func (h inFiles) Recycled(c *layout.Content) layout.File { return store.LookAt(h.s.RecyclePath(c)) }

func (h inFiles) Read(ctx context.Context, c *layout.Content, algs ...digest.Algorithm) (digest.Set, int64, store.Source, error) {
	path := h.s.RecyclePath(c)
	sums, fi, err := h.s.Hash(ctx, path, algs...)
	if err != nil {
		return nil, 0, store.Source{}, err
	}
	return sums, fi.Size(), store.Source{Path: path, Was: fi, Read: true}, nil
}

func (h inFiles) SetAside(c *layout.Content, label string) error {
	rs, err := Replicas([]string{h.s.RecyclePath(c)})
	if err != nil {
		return err
	}
	for _, is := range rs {
		if _, err := h.s.Quarantine.SetAside(label, is.Info, is.Paths); err != nil {
			return fmt.Errorf("%s: %w", is.Paths[0], err)
		}
	}
	return nil
}

func (h inFiles) String() string { return h.s.Published() }

// recorded are the files of an archive whose depot has no paths: each record has its
// file at all its paths, and there is nothing else.
type recorded struct{ m *Memory }

// Get implements layout.Files.
func (r recorded) Get(rel string) (layout.File, bool) {
	for d := range r.at(rel) {
		if paths, err := r.m.Shelf.Layouts.Paths(&d.Content); err == nil && slices.Contains(paths, rel) || slices.Contains(d.CipherPaths(), rel) {
			return layout.File{Size: d.Size, ModTime: d.ModTime}, true
		}
	}
	return layout.File{Size: -1}, false
}

// at are the records that may have the path rel.
func (r recorded) at(rel string) iter.Seq[*ledger.Distfile] {
	x := r.m.Index
	return func(yield func(*ledger.Distfile) bool) {
		if sum, name, ok := layout.ParseByCipher(rel); ok {
			if d := x.Distfiles.Get(ledger.Key{Name: name, SHA256: sum}); d != nil && !yield(d) {
				return
			}
			for _, d := range x.WithSum(sum) { // the path has only the base of a name
				if !yield(d) {
					return
				}
			}
			return
		}
		for _, l := range r.m.Shelf.Layouts {
			if name, ok := l.NameOf(rel); ok {
				if d := x.Named(name); d != nil && !yield(d) {
					return
				}
			} else if sum := l.Promise(rel); !sum.IsZero() {
				for _, d := range x.WithSum(sum) {
					if !yield(d) {
						return
					}
				}
			}
		}
	}
}

// All implements layout.Files: nothing is there that no record tells of.
func (r recorded) All(func(rel string, file layout.File) bool) {}
