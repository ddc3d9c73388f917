package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"distkeep/archive/ledger"
	"distkeep/catalog"
)

// An Undone is a content that was on its way out and is not any more.
type Undone struct {
	Name   catalog.Name `json:"name"`
	SHA256 string       `json:"sha256"`
	Size   int64        `json:"size"`
	// Recycled says that it was in recycle already; otherwise it was
	// scheduled.
	Recycled bool `json:"recycled"`
	// Named is false when another content has the name by now: then it is
	// below by_cipher only.
	Named bool `json:"named"`
}

// change opens the view of a change that is no run and scans nothing.
func (a *Archive) change(ctx context.Context, command string) (*mirror, error) {
	m := a.newMirror(MirrorOptions{})
	m.sum.Command = command
	v, err := m.look(ctx, "")
	if err != nil {
		return nil, err
	}
	v.catalog = new(catalog.Catalog)
	m.view = v
	return m, nil
}

// Undo takes names off the schedule of deletions and publishes again what is in
// recycle under them. Afterwards a content is not scheduled for at least the
// deletion delay of the runs, and not for a day when they have none; then, if
// still nobody wants it, it is scheduled as any other. What is to stay for good
// belongs on the whitelist.
//
// What is in recycle is read before it is published. Unless every name is on its
// way out, nothing is changed and the error wraps ErrConfig; unless the files in
// recycle are right, nothing is changed and it wraps ErrBroken. What is in the
// way of a name keeps that in recycle: then the error names it, and tells with
// the result what has become of the others.
func (a *Archive) Undo(ctx context.Context, names []catalog.Name) ([]Undone, error) {
	m, err := a.change(ctx, "undo")
	if err != nil {
		return nil, err
	}
	x := m.view.index
	var scheduled []*ledger.Distfile
	var recycled []*ledger.Recycled
	for _, n := range names {
		found := len(scheduled) + len(recycled)
		for _, d := range x.ByName(n) {
			if s := x.Deletions[d.Key()]; s != nil && !s.Undone && !slices.Contains(scheduled, d) {
				scheduled = append(scheduled, d)
			}
		}
		for _, r := range x.Recycled {
			if r.Name != n || slices.Contains(recycled, r) {
				continue
			}
			if !m.view.restorable(r) {
				return nil, mark(ErrBroken, fmt.Errorf("undo: %s is not what was put there: see distkeep doctor", m.recyclePath(r)))
			}
			recycled = append(recycled, r)
		}
		if found == len(scheduled)+len(recycled) {
			return nil, mark(ErrConfig, fmt.Errorf("undo: %s is neither scheduled for deletion nor in recycle", n))
		}
	}
	// Of several contents of one name the last to go comes first, and gets it.
	slices.SortFunc(recycled, func(a, b *ledger.Recycled) int {
		if c := b.Since.Compare(a.Since); c != 0 {
			return c
		}
		return keyLess(a.Key(), b.Key())
	})
	for _, r := range recycled {
		var err error
		m.view.readBack[r.Key()], err = m.readRecycled(ctx, r)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, mark(ErrBroken, fmt.Errorf("undo: %w: nothing is changed: run distkeep verify %s", err, r.Name))
		}
	}
	adds, err := m.restore(recycled)
	if err != nil {
		return nil, err
	}
	undone, err := m.undone(scheduled, recycled)
	if rerr := m.refresh(); err == nil {
		err = rerr
	}
	for _, a := range adds {
		if a.err != nil && !errors.Is(err, ErrBroken) {
			err = errors.Join(err, mark(ErrConfig, fmt.Errorf("undo: %s stays in recycle: %w", a.entry.Name, a.err)))
		}
	}
	return undone, err
}

// undone records that contents are off the schedule.
func (m *mirror) undone(scheduled []*ledger.Distfile, recycled []*ledger.Recycled) (us []Undone, err error) {
	var b ledger.Batch
	note := func(k ledger.Key, wasRecycled bool) {
		d := m.view.index.Distfiles[k]
		if d == nil {
			return // it could not be published
		}
		b.PutDeletion(&ledger.Deletion{Key: k, Since: m.now, Owner: d.Owner, Size: d.Size, Undone: true})
		us = append(us, Undone{d.Name, d.SHA256().Hex(), d.Size, wasRecycled, d.Named})
	}
	for _, d := range scheduled {
		note(d.Key(), false)
	}
	for _, r := range recycled {
		note(r.Key(), true)
	}
	return us, m.commit(&b)
}

// Retry makes the failures of names, or of all names if there are none, due in
// the next run, and returns how many were waiting. A name without a failure is
// an error that wraps ErrConfig, and nothing is changed.
func (a *Archive) Retry(ctx context.Context, names []catalog.Name) (int, error) {
	m, err := a.change(ctx, "retry")
	if err != nil {
		return 0, err
	}
	failed := make(map[catalog.Name]bool)
	var b ledger.Batch
	for _, f := range m.view.index.Failures {
		failed[f.Name] = true
		if len(names) > 0 && !slices.Contains(names, f.Name) || f.Next.IsZero() {
			continue
		}
		due := *f
		due.Next = time.Time{}
		b.PutFailure(&due)
	}
	for _, n := range names {
		if !failed[n] {
			return 0, mark(ErrConfig, fmt.Errorf("retry: %s has no failure", n))
		}
	}
	n := b.Len()
	if err := m.commit(&b); err != nil || n == 0 {
		return n, err
	}
	return n, m.refresh()
}
