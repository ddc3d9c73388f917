// Package undo takes back what a run has decided: that a content goes, and that what
// has failed waits.
package undo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"distkeep/archive/export"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
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

// Undo takes names off the schedule of deletions and publishes again what is in
// recycle under them; no names are all names. Afterwards a content is not scheduled for at least the
// deletion delay of the runs, and not for a day when they have none; then, if
// still nobody wants it, it is scheduled as any other. What is to stay for good
// belongs on the whitelist.
//
// What is in recycle is read before it is published. Unless every name is on its
// way out, nothing is changed and the error says why; unless the files in
// recycle are right, nothing is changed and it is one that vault.Broken knows.
// What is in the way of a name keeps that in recycle: then the error names it, and
// the result tells what has become of the others.
func Undo(ctx context.Context, v *vault.Vault, names []catalog.Name) ([]Undone, error) {
	if err := v.Load(ctx); err != nil {
		return nil, err
	}
	undone, err := TakeBack(ctx, v, names)
	if len(undone) == 0 && err != nil {
		return nil, err
	}
	return undone, errors.Join(err, export.Refresh(v, "undo"))
}

// TakeBack is Undo in a vault that is loaded, and exports nothing.
func TakeBack(ctx context.Context, v *vault.Vault, names []catalog.Name) ([]Undone, error) {
	scheduled, recycled, err := onTheWay(v, names)
	if err != nil {
		return nil, err
	}
	back := make([]*vault.Returning, len(recycled))
	for i, r := range recycled {
		back[i] = v.Recycle.Read(ctx, r)
		switch err := back[i].Err; {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			return nil, vault.Damage(fmt.Errorf("undo: %w: nothing is changed: run distkeep verify %s", err, r.Name))
		}
	}
	adds := v.Recycle.Additions(back)
	for chunk := range slices.Chunk(adds, vault.BatchFiles) {
		if err := v.Publish(chunk, nil); err != nil {
			return nil, err
		}
	}
	undone, err := unschedule(v, scheduled, recycled)
	for _, a := range adds {
		if a.Err != nil && !vault.Broken(err) {
			err = errors.Join(err, fmt.Errorf("undo: %s stays in recycle: %w", a.Entry.Name, a.Err))
		}
	}
	return undone, err
}

// onTheWay returns what is scheduled under names, and what is in recycle.
func onTheWay(v *vault.Vault, names []catalog.Name) (scheduled []*ledger.Distfile, recycled []*ledger.Recycled, err error) {
	x := v.Index
	if len(names) == 0 {
		names = allOnTheWay(x)
	}
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
			if sized, _, _ := v.Recycle.File(r); !sized {
				return nil, nil, vault.Damage(fmt.Errorf("undo: %s is not what was put there: see distkeep doctor", v.Recycle.Path(r)))
			}
			recycled = append(recycled, r)
		}
		if found == len(scheduled)+len(recycled) {
			return nil, nil, fmt.Errorf("undo: %s is neither scheduled for deletion nor in recycle", n)
		}
	}
	// Of several contents of one name the last to go comes first, and gets it.
	slices.SortFunc(recycled, func(a, b *ledger.Recycled) int {
		return cmp.Or(b.Since.Compare(a.Since), a.Key().Compare(b.Key()))
	})
	return scheduled, recycled, nil
}

// allOnTheWay are the names of everything that is scheduled or in recycle.
func allOnTheWay(x *ledger.Index) (names []catalog.Name) {
	for k, s := range x.Deletions {
		if !s.Undone {
			names = append(names, k.Name)
		}
	}
	for k := range x.Recycled {
		names = append(names, k.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unschedule records that contents are off the schedule.
func unschedule(v *vault.Vault, scheduled []*ledger.Distfile, recycled []*ledger.Recycled) (us []Undone, err error) {
	var b ledger.Batch
	note := func(k ledger.Key, wasRecycled bool) {
		d := v.Index.Distfiles.Get(k)
		if d == nil {
			return // it could not be published
		}
		b.PutDeletion(&ledger.Deletion{Key: k, Since: v.Now, Owner: d.Owner, Size: d.Size, Undone: true})
		us = append(us, Undone{d.Name, d.SHA256().Hex(), d.Size, wasRecycled, d.Named})
	}
	for _, d := range scheduled {
		note(d.Key(), false)
	}
	for _, r := range recycled {
		note(r.Key(), true)
	}
	return us, v.Commit(&b)
}

// Retry makes the failures of names, or of all names if there are none, due in
// the next run, and returns how many were waiting. A name without a failure is
// an error, and nothing is changed.
func Retry(ctx context.Context, v *vault.Vault, names []catalog.Name) (int, error) {
	if err := v.Load(ctx); err != nil {
		return 0, err
	}
	n, err := MakeDue(v, names)
	if err != nil || n == 0 {
		return n, err
	}
	return n, export.Refresh(v, "retry")
}

// MakeDue is Retry in a vault that is loaded, and exports nothing.
func MakeDue(v *vault.Vault, names []catalog.Name) (int, error) {
	failed := make(map[catalog.Name]bool)
	var b ledger.Batch
	for _, f := range v.Index.Failures {
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
			return 0, fmt.Errorf("retry: %s has no failure", n)
		}
	}
	return b.Len(), v.Commit(&b)
}
