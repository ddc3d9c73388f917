package archive

import (
	"context"

	"distkeep/archive/requests"
	"distkeep/archive/undo"
	"distkeep/archive/vault"
)

// What people ask for while a run goes on it takes at two steps: what is to stay before
// anything is deleted, and what is to be tried again when the failures are recorded.

// obeyUndo takes off the schedule what people want to keep.
func (r *run) obeyUndo(ctx context.Context) error {
	for _, q := range requests.Take(r.v.Store.RequestsDir(), requests.Undo, r.v.Warn) {
		if _, err := undo.TakeBack(ctx, r.v, q.Names); vault.Broken(err) {
			return err
		} else if err != nil {
			r.v.Warn("as was asked meanwhile: %v", err)
		}
	}
	return nil
}

// obeyRetry makes due what people want to be tried again.
func (r *run) obeyRetry() error {
	for _, q := range requests.Take(r.v.Store.RequestsDir(), requests.Retry, r.v.Warn) {
		if _, err := undo.MakeDue(r.v, q.Names); vault.Broken(err) {
			return err
		} else if err != nil {
			r.v.Warn("as was asked meanwhile: %v", err)
		}
	}
	return nil
}
