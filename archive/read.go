package archive

import (
	"context"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// readAll reads files that are on disk already, several at once, and records
// what they turn out to be.
func (m *mirror) readAll(ctx context.Context, rs []*plan.Reading) error {
	var bytes int64
	for _, r := range rs {
		bytes += max(r.Size, 0)
	}
	m.v.Events.Phase("read", len(rs), bytes)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := newCommitter(m, stop)
	g := new(errgroup.Group)
	g.SetLimit(runtime.GOMAXPROCS(0))
	var drops dropRecords
	for _, r := range rs {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			a, err := m.readOne(ctx, r, &drops)
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
	for _, rec := range drops.refused {
		if r := m.v.Index.Dropped[rec.Name]; r != nil && r.Refused == "" && r.SHA256 == rec.SHA256 && r.Since.Equal(m.v.Now) {
			continue // it was taken for another content of that name
		}
		b.PutDropped(rec)
	}
	return m.v.Commit(&b)
}

// dropRecords are the records of drop-box files that added nothing.
type dropRecords struct {
	mu      sync.Mutex
	refused []*ledger.Dropped
}

// readOne reads one file. It returns what is to be added, or nil. Its error
// ends the run; a file that cannot be read is a warning. It is called
// concurrently, while the index changes: only add looks at that.
func (m *mirror) readOne(ctx context.Context, r *plan.Reading, drops *dropRecords) (*addition, error) {
	if r.Drop != nil {
		return m.readDrop(ctx, r, drops)
	}
	sums, fi, err := store.Hash(ctx, m.facts.pathOf(r), r.Algs...)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && store.Broken(err):
		return nil, err
	case err != nil:
		if m.unreadable(r, err) && r.Sum.IsZero() && r.Want == nil {
			m.v.Warn("%v", err) // otherwise it is a failure
		}
		return nil, nil
	}
	if got := sums.Get(digest.SHA256); !r.Sum.IsZero() && got != r.Sum {
		if r.Aside {
			m.v.Warn("%s: its SHA256 is %s: it is left alone", m.facts.pathOf(r), got.Hex())
		}
		return nil, nil
	}
	return m.readAddition(r, sums, fi), nil
}

// readAddition makes the addition of a file that was read in place.
func (m *mirror) readAddition(r *plan.Reading, sums digest.Set, fi fs.FileInfo) *addition {
	d := ledger.Distfile{
		Content: layout.Content{Name: r.Name, Digests: sums, Size: fi.Size(), Named: !r.Aside},
		Origin:  ledger.OriginAdopted, Added: m.v.Now, Verified: m.v.Now,
	}
	fits := r.Want != nil && fits(r.Want.Distfile, d.Size, sums)
	a := &addition{Addition: vault.Addition{Have: store.Source{Path: m.facts.pathOf(r), Was: fi, Read: true}, Read: true, New: true}, total: &m.sum.Adopted}
	if fits {
		a.want = r.Want
		d.Named, d.Owner, d.Kind = r.Want.Named, r.Want.Owner(), r.Want.Kind
	} else if r.Part {
		return nil // not what it was kept for: the transfer starts afresh
	}
	if r.Part {
		a.Part, a.Have = m.facts.pathOf(r), store.Source{}
	}
	a.Entry = d
	return a
}

func fits(w *catalog.Distfile, size int64, sums digest.Set) bool {
	return (&ledger.Distfile{Content: layout.Content{Size: size, Digests: sums}}).Satisfies(w)
}

// readDrop examines a file of the drop box: it is taken in when it is what is
// wanted, or when nobody wants anything else by that name.
func (m *mirror) readDrop(ctx context.Context, r *plan.Reading, drops *dropRecords) (*addition, error) {
	rec := &ledger.Dropped{Name: r.Name, Since: m.v.Now}
	key := ledger.NoWant
	if r.Want != nil {
		rec.Want, key = r.Want.ID(), r.Want.ID()
	}
	part := m.v.Store.Parts.Path(r.Name, "local."+key)
	if err := m.v.Store.Room(r.Size, m.o.MinFree); err != nil {
		if m.v.Store.Room(0, m.o.MinFree) != nil {
			return nil, err
		}
		m.unreadable(r, err) // it alone does not fit
		return nil, nil
	}
	sums, fi, err := m.importDrop(ctx, r, part)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil && store.Broken(err):
		return nil, err
	case err != nil:
		m.unreadable(r, err)
		return nil, nil
	}
	rec.SHA256, rec.File = sums.Get(digest.SHA256), regular.IDOf(fi)
	if r.Want != nil && !fits(r.Want.Distfile, fi.Size(), sums) {
		if layout.Growing(m.v.Now, r.Drop.ModTime) {
			return nil, removePart(part) // it has its size, but not yet its bytes
		}
		rec.Refused = refusal(m.facts.pathOf(r), r.Want.Distfile, fi.Size(), sums)
		drops.mu.Lock()
		defer drops.mu.Unlock()
		drops.refused = append(drops.refused, rec)
		return nil, removePart(part)
	}
	a := &addition{Addition: vault.Addition{Part: part, Drop: rec, Read: true, New: true}, want: r.Want, total: &m.sum.Local}
	a.Entry = ledger.Distfile{
		Content: layout.Content{Name: r.Name, Digests: sums, Size: fi.Size(), Named: true},
		Origin:  ledger.OriginLocal, Added: m.v.Now, Verified: m.v.Now,
	}
	if r.Want != nil {
		a.Entry.Named, a.Entry.Owner, a.Entry.Kind = r.Want.Named, r.Want.Owner(), r.Want.Kind
	}
	return a, nil
}

// importDrop copies a file of the drop box to part.
func (m *mirror) importDrop(ctx context.Context, r *plan.Reading, part string) (digest.Set, fs.FileInfo, error) {
	tree, rel := treeOf(r.Drop)
	f, err := tree.Open(rel)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return m.v.Store.Parts.Import(ctx, f, part, r.Algs...)
}

// refusal says how a drop-box file contradicts the catalog.
func refusal(path string, w *catalog.Distfile, size int64, sums digest.Set) string {
	if w.Size >= 0 && size != w.Size {
		return fmt.Sprintf("%s is refused: it has %d bytes, %s wants %d", path, size, w.FirstOwner(), w.Size)
	}
	wanted, got := w.Digests.Mismatch(sums)
	return fmt.Sprintf("%s is refused: it has %s, %s wants %s", path, got, w.FirstOwner(), wanted.Hex())
}
