package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// A wrongError says what is wrong with the bytes of a file.
type wrongError struct{ error }

// readRecycled reads the file of r in recycle and returns it. Its error is a
// wrongError when the bytes are not those of r.
func (m *mirror) readRecycled(ctx context.Context, r *ledger.Recycled) (store.Source, error) {
	none := store.Source{}
	path := m.recyclePath(r)
	sums, fi, err := store.Hash(ctx, path, m.store.Layouts().Algorithms()...)
	switch {
	case ctx.Err() != nil:
		return none, context.Cause(ctx)
	case err != nil:
		return none, err
	case fi.Size() != r.Size:
		return none, wrongError{fmt.Errorf("%s has %d bytes, want %d", path, fi.Size(), r.Size)}
	}
	if sum := sums.Get(digest.SHA256); sum != r.SHA256() {
		return none, wrongError{fmt.Errorf("%s has SHA256 %s, want %s", path, sum.Hex(), r.SHA256().Hex())}
	}
	r.Digests = r.Digests.Union(sums) // a layout may be newer than the record
	return store.Source{Path: path, Was: fi, Read: true}, nil
}

// readBack reads what p takes out of recycle, once in a run: what has been there
// for weeks is not published unread. again tells that some of it is wrong, and
// that the plan does not hold any more.
func (m *mirror) readBack(ctx context.Context, p *plan) (again bool, err error) {
	var rs []*ledger.Recycled
	for _, l := range p.links {
		if l.back != nil && !m.view.read[m.recyclePath(l.back)] {
			m.view.read[m.recyclePath(l.back)] = true
			rs = append(rs, l.back)
		}
	}
	right, err := m.rightBack(ctx, rs)
	return len(right) < len(rs), err
}

// rightBack reads contents in recycle, several at once, and returns those that
// are right. The others go to quarantine, and their records with them.
func (m *mirror) rightBack(ctx context.Context, rs []*ledger.Recycled) (right []*ledger.Recycled, err error) {
	if len(rs) == 0 {
		return nil, nil
	}
	var total Count
	for _, r := range rs {
		total.add(r.Size)
	}
	m.Archive.o.Events.phase("read", total.Files, total.Bytes)
	files, errs := make([]store.Source, len(rs)), make([]error, len(rs))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, r := range rs {
		g.Go(func() error {
			files[i], errs[i] = m.readRecycled(ctx, r)
			m.Archive.o.Events.read(int(r.Size))
			return nil
		})
	}
	_ = g.Wait() // errors are noted with the files
	var b ledger.Batch
	for i, r := range rs {
		switch err := errs[i]; {
		case err == nil:
			m.view.readBack[r.Key()] = files[i]
			right = append(right, r)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case store.Broken(err):
			return nil, brokenIf(err)
		case errors.As(err, new(wrongError)) || errors.Is(err, fs.ErrNotExist):
			m.warn("%v: it is not published", err)
			if err := m.dropRecycled(&b, r, "damaged."); errors.Is(err, store.ErrStuck) {
				m.warn("%v", err)
				m.view.unread[r.Key()] = true
			} else if err != nil {
				return nil, brokenIf(err)
			}
		default:
			// What cannot be read now may be another time.
			m.view.unread[r.Key()] = true
			f := unreadFailing(&r.Distfile, err)
			m.failing[f.key] = f
		}
	}
	return right, m.commit(&b)
}

// dropRecycled moves the file of r in recycle, which is not what was put there,
// to quarantine and forgets r.
func (m *mirror) dropRecycled(b *ledger.Batch, r *ledger.Recycled, label string) error {
	copies, err := replicas([]string{m.recyclePath(r)})
	if err != nil {
		return err
	}
	for _, c := range copies {
		if _, err := m.store.SetAside(label+r.SHA256().Hex(), c.fi, c.paths); err != nil {
			return fmt.Errorf("%s: %w", c.paths[0], err)
		}
	}
	b.DropRecycled(r.Key())
	m.forget(b, &r.Distfile, "damaged in recycle, and moved to quarantine")
	return nil
}
