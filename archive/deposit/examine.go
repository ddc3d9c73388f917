package deposit

import (
	"context"

	"distkeep/archive/bucket"
	"distkeep/archive/doctor"
	"distkeep/archive/vault"
)

// Examine compares what readers find in b with what is known of that, by one listing. What
// is not published yet is no fault: the next run does it.
func Examine(ctx context.Context, v *vault.Vault, b *bucket.Bucket) ([]doctor.Beside, error) {
	how, err := b.Publishing(ctx)
	if err != nil {
		return nil, err
	}
	p, err := newPublication(v, b)
	if err != nil {
		return nil, err
	}
	x := &inspection{publication: p, how: how}
	for rel, e := range p.is {
		if e.how == inDoubt {
			x.find(doctor.FindPending, rel, "a process was killed that changed it", "end that; the next run does, too")
		}
	}
	if err := x.publication.compare(how); err != nil {
		return nil, err
	}
	err = x.list(ctx)
	return x.found, err
}

// An inspection finds what is wrong with what readers find.
type inspection struct {
	*publication
	how   bucket.Publishing
	found []doctor.Beside
	// strangers are paths of what somebody else has put there.
	strangers []string
	mended    bool
}

// list compares with what is there.
func (x *inspection) list(ctx context.Context) error {
	there := make(map[string]bool)
	err := x.b.Exposed(ctx, "", func(rel, etag string) error {
		there[rel] = true
		is := x.is[rel]
		switch {
		case is == nil && !x.known: // the next run knows more
		case is == nil:
			x.strangers = append(x.strangers, rel)
			x.find(doctor.FindUnknown, rel, "nothing that is published has this path", "move it to aside/")
		case is.etag != "" && is.etag != etag && is.how != inDoubt:
			is.how = inDoubt
			x.find(doctor.FindWrongLink, rel, "somebody has changed it", "publish it again")
		}
		return nil
	})
	if err != nil {
		return err
	}
	for rel, is := range x.is {
		if !there[rel] && is.how != inDoubt {
			is.how = inDoubt
			x.find(doctor.FindMissingLink, rel, "it is not there", "publish it again")
		}
	}
	return nil
}

func (x *inspection) find(kind, rel, problem, remedy string) {
	x.found = append(x.found, doctor.Beside{Kind: kind, Path: x.b.URLOfExposed(rel), Problem: problem, Remedy: remedy, Mend: x.mend})
}

// mend puts everything right at the first call.
func (x *inspection) mend(ctx context.Context) error {
	if x.mended {
		return nil
	}
	x.mended = true
	for _, rel := range x.strangers {
		if err := x.b.WithdrawAside(ctx, rel); err != nil {
			return err
		}
	}
	if err := x.publication.compare(x.how); err != nil {
		return err
	}
	return x.carryOut(ctx)
}
