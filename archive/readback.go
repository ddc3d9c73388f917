package archive

import (
	"context"
	"errors"
	"io/fs"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/vault"
)

// readBack reads what p takes out of recycle, once in a run. again tells that some
// of it is wrong, and that the plan does not hold any more.
func (m *mirror) readBack(ctx context.Context, p *plan.Plan) (again bool, err error) {
	var rs []*ledger.Recycled
	for _, l := range p.Links {
		if l.Back != nil && !m.facts.Read[m.v.Recycle.Path(l.Back)] {
			m.facts.Read[m.v.Recycle.Path(l.Back)] = true
			rs = append(rs, l.Back)
		}
	}
	right, err := m.rightBack(ctx, rs)
	return len(right) < len(rs), err
}

// rightBack reads contents in recycle and returns those that are right.
func (m *mirror) rightBack(ctx context.Context, rs []*ledger.Recycled) (right []*ledger.Recycled, err error) {
	back, err := m.v.Recycle.ReadBack(ctx, rs)
	if err != nil {
		return nil, err
	}
	for _, r := range back {
		switch {
		case r.Err == nil:
			m.facts.readBack[r.Key()] = r
			right = append(right, r.Recycled)
		case errors.Is(r.Err, vault.ErrWrong), errors.Is(r.Err, fs.ErrNotExist):
		default:
			// What cannot be read now may be another time.
			if m.facts.Unread[r.Key()] = true; !errors.Is(r.Err, store.ErrStuck) {
				m.fail(plan.UnreadFailing(&r.Distfile, r.Err))
			}
		}
	}
	return right, nil
}
