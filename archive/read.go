package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// readings are files on disk that are read, and recorded as what they turn out to
// be.
type readings struct {
	*run
	minFree int64

	mu      sync.Mutex
	refused []*ledger.Dropped // files of the drop box that add nothing
}

// all reads several files at once.
func (rd *readings) all(ctx context.Context, rs []*plan.Reading) error {
	var bytes int64
	for _, r := range rs {
		bytes += max(r.Size, 0)
	}
	rd.v.Events.Phase("read", len(rs), bytes)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := newCommitter(rd.run, stop, nil)
	g := new(errgroup.Group)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, r := range rs {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			a, err := rd.one(ctx, r)
			if a != nil {
				c.in <- []*addition{a}
			}
			return err
		})
	}
	err := g.Wait()
	if cerr := c.close(); cerr != nil {
		return cerr
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	var b ledger.Batch
	for _, rec := range rd.refused {
		if r := rd.v.Index.Dropped[rec.Name]; r != nil && r.Refused == "" && r.SHA256 == rec.SHA256 && r.Since.Equal(rd.v.Now) {
			continue // it was taken for another content of that name
		}
		b.PutDropped(rec)
	}
	return rd.v.Commit(&b)
}

// one reads one file. It returns what is to be added, or nil. Its error
// ends the run; a file that cannot be read is a warning. It is called
// concurrently, while the index changes: only add looks at that.
func (rd *readings) one(ctx context.Context, r *plan.Reading) (*addition, error) {
	if r.Drop != nil {
		return rd.drop(ctx, r)
	}
	sums, fi, part, err := rd.file(ctx, r)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && store.Broken(err):
		return nil, err
	case err != nil:
		if rd.facts.Unreadable(r, err) && r.Sum.IsZero() && r.Want == nil {
			rd.v.Warn("%v", err) // otherwise it is a failure
		}
		return nil, nil
	}
	a := rd.addition(r, sums, fi)
	if got := sums.Get(digest.SHA256); !r.Sum.IsZero() && got != r.Sum {
		if r.Aside {
			rd.v.Warn("%s: its SHA256 is %s: it is left alone", rd.facts.PathOf(r), got.Hex())
		}
		a = nil
	}
	if got := sums.Get(r.Promise.Alg); !r.Promise.IsZero() && got != r.Promise {
		rd.v.Warn("%s: its %s is left alone, it is not what its path says: see distkeep doctor", rd.facts.PathOf(r), got)
		a = nil
	}
	switch {
	case part == "":
	case a == nil:
		return nil, rd.v.Store.Parts.Remove(part)
	default:
		a.Part, a.Have = part, store.Source{}
	}
	return a, nil
}

// file reads one file, and copies it to a part on the way when it cannot be
// linked into the archive.
func (rd *readings) file(ctx context.Context, r *plan.Reading) (sums digest.Set, fi fs.FileInfo, part string, err error) {
	path := rd.facts.PathOf(r)
	if !r.Foreign || r.Part || !r.Sum.IsZero() {
		sums, fi, err = rd.v.Store.HashOnce(ctx, path, r.Algs...)
		return sums, fi, "", err
	}
	if err := rd.v.Store.Room(r.Size, rd.minFree); err != nil {
		if rd.v.Store.Room(0, rd.minFree) == nil {
			err = errors.New(err.Error()) // it alone does not fit
		}
		return nil, nil, "", err
	}
	part = rd.v.Store.Parts.Path(r.Name, "adopt."+digest.SHA256.Sum([]byte(path)).Hex()[:16])
	sums, fi, err = rd.v.Store.Parts.TakeCopy(ctx, path, part, r.Algs...)
	return sums, fi, part, err
}

// addition makes the addition of a file that was read in place, or returns nil where
// that is of no use.
func (rd *readings) addition(r *plan.Reading, sums digest.Set, fi fs.FileInfo) *addition {
	wanted := r.Want != nil && fits(r.Want.Distfile, fi.Size(), sums)
	a := &addition{Addition: vault.Addition{Have: store.Source{Path: rd.facts.PathOf(r), Was: fi, Read: true}, Read: true, New: true}, total: &rd.sum.Adopted}
	switch {
	case wanted:
		if a.want = r.Want; r.Only {
			rd.finds.fit(r)
		}
	case r.Part:
		return nil // not what it was kept for: the transfer starts afresh
	case r.Only:
		if r.Rel != "" && r.Want.Named {
			rd.facts.Misfit(r, contradiction(r.Want.Distfile, fi.Size(), sums))
		}
		return nil
	}
	if r.Part {
		a.Part, a.Have = rd.facts.PathOf(r), store.Source{}
	}
	a.Entry = r.Begin(rd.v.Now, wanted)
	a.Entry.Digests, a.Entry.Size, a.Entry.Origin = sums, fi.Size(), ledger.OriginAdopted
	return a
}

func fits(w *catalog.Distfile, size int64, sums digest.Set) bool {
	return (&ledger.Distfile{Content: layout.Content{Size: size, Digests: sums}}).Satisfies(w)
}

// drop examines a file of the drop box: it is taken in when it is what is
// wanted, or when nobody wants anything else by that name.
func (rd *readings) drop(ctx context.Context, r *plan.Reading) (*addition, error) {
	rec := &ledger.Dropped{Name: r.Name, Since: rd.v.Now}
	key := ledger.NoWant
	if r.Want != nil {
		rec.Want, key = r.Want.ID(), r.Want.ID()
	}
	part := rd.v.Store.Parts.Path(r.Name, "local."+key)
	if err := rd.v.Store.Room(r.Size, rd.minFree); err != nil {
		if rd.v.Store.Room(0, rd.minFree) != nil {
			return nil, err
		}
		rd.facts.Unreadable(r, err) // it alone does not fit
		return nil, nil
	}
	sums, fi, err := rd.importDrop(ctx, r, part)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && store.Broken(err):
		return nil, err
	case err != nil:
		rd.facts.Unreadable(r, err)
		return nil, nil
	}
	rec.SHA256, rec.File = sums.Get(digest.SHA256), regular.IDOf(fi)
	if r.Want != nil && !fits(r.Want.Distfile, fi.Size(), sums) {
		if layout.Growing(rd.v.Now, r.Drop.ModTime) {
			return nil, rd.v.Store.Parts.Remove(part) // it has its size, but not yet its bytes
		}
		rec.Refused = refusal(rd.facts.PathOf(r), r.Want.Distfile, fi.Size(), sums)
		rd.mu.Lock()
		defer rd.mu.Unlock()
		rd.refused = append(rd.refused, rec)
		return nil, rd.v.Store.Parts.Remove(part)
	}
	a := &addition{Addition: vault.Addition{Part: part, Drop: rec, Read: true, New: true}, want: r.Want, total: &rd.sum.Local}
	a.Entry = r.Begin(rd.v.Now, r.Want != nil)
	a.Entry.Digests, a.Entry.Size, a.Entry.Origin = sums, fi.Size(), ledger.OriginLocal
	return a, nil
}

// importDrop copies a file of the drop box to part.
func (rd *readings) importDrop(ctx context.Context, r *plan.Reading, part string) (digest.Set, fs.FileInfo, error) {
	f, err := survey.OpenDrop(r.Drop)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return rd.v.Store.Parts.Import(ctx, f, part, r.Algs...)
}

// refusal says how a drop-box file contradicts the catalog.
func refusal(path string, w *catalog.Distfile, size int64, sums digest.Set) string {
	return path + " is refused: " + contradiction(w, size, sums)
}

// contradiction says how a content is not what is wanted.
func contradiction(w *catalog.Distfile, size int64, sums digest.Set) string {
	if w.Size >= 0 && size != w.Size {
		return fmt.Sprintf("it has %d bytes, %s wants %d", size, w.FirstOwner(), w.Size)
	}
	wanted, got := w.Digests.Mismatch(sums)
	return fmt.Sprintf("it has %s, %s wants %s", got, w.FirstOwner(), wanted.Hex())
}
