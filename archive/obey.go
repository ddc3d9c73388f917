package archive

import (
	"context"
	"slices"

	"distkeep/archive/requests"
	"distkeep/archive/undo"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// What people ask for while a run goes on it takes at two steps: what is to stay before
// anything is deleted, and what is to be tried again when the failures are recorded.

// obeyUndo takes off the schedule what people want to keep.
func (r *run) obeyUndo(ctx context.Context) error {
	return r.obey(ctx, requests.Undo, func(names []catalog.Name) error {
		_, err := undo.TakeBack(ctx, r.v, names)
		return err
	})
}

// obeyRetry makes due what people want to be tried again.
func (r *run) obeyRetry(ctx context.Context) error {
	return r.obey(ctx, requests.Retry, func(names []catalog.Name) error {
		_, err := undo.MakeDue(r.v, names)
		return err
	})
}

// obey carries out the requests of a kind, each name by itself: since it was asked for,
// one of them may have become pointless.
func (r *run) obey(ctx context.Context, do string, carryOut func(names []catalog.Name) error) error {
	return requests.Obey(r.v.Store.RequestsDir(), do, r.v.Warn, func(q *requests.Request) error {
		each := [][]catalog.Name{q.Names}
		if len(q.Names) > 0 {
			each = slices.Collect(slices.Chunk(q.Names, 1))
		}
		for _, names := range each {
			switch err := carryOut(names); {
			case vault.Broken(err):
				return err
			case err != nil && ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				r.v.Warn("as was asked meanwhile: %v", err)
			}
		}
		return nil
	})
}
