package verify

import (
	"context"
	"errors"
	"io/fs"

	"distkeep/archive/ledger"
)

// examineRemote asks who keeps the contents whether x is right. What that cannot tell is
// read.
func (r *verifier) examineRemote(ctx context.Context, x *examined) *examined {
	x.remote, x.err = r.v.Remote.Check(ctx, x.sum, x.size, r.pace)
	if errors.Is(x.err, fs.ErrNotExist) {
		x.remote, x.err = "it is gone from "+r.v.Remote.String(), nil
	}
	return x
}

// repairRemote takes what is wrong out of its place, and drops the records.
func (r *verifier) repairRemote(ctx context.Context, x *examined) error {
	d := Damage{Names: x.names(), SHA256: x.sum.Hex(), Size: x.size, Reason: x.remote}
	switch kept, err := r.v.Remote.Aside(ctx, x.sum); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		d.Kept = append(d.Kept, kept)
	}
	var b ledger.Batch
	for _, h := range x.held {
		r.v.Lose(&b, h, x.remote)
	}
	for _, rec := range x.recycled {
		r.v.Recycle.Lose(&b, rec, "damaged in recycle: "+x.remote)
	}
	r.sum.Damaged = append(r.sum.Damaged, d)
	return r.v.Commit(&b)
}
