package archive

import (
	"context"
	"slices"

	"distkeep/archive/deletion"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/takeover"
	"distkeep/archive/vault"
	"distkeep/archive/views"
	"distkeep/catalog"
)

// An expiry decides what is deleted, and carries it out.
type expiry struct {
	*run
	views        *views.Views
	repositories []catalog.Repository
	// unsure are the records of which the plan does not know whether their
	// bytes are there.
	unsure map[ledger.Key]error
	// rescanned says that everything was read after the plan of the run was made, which
	// may not be what it would be now.
	rescanned bool
}

// plan decides what is deleted, and counts what is protected. Nothing is because of a
// package that was not read.
func (x *expiry) plan(ctx context.Context) (*plan.Expiry, error) {
	x.facts.Viewed = make(map[*ledger.Distfile]bool)
	var err error
	if x.facts.ViewsUnknown, err = x.views.Keep(x.facts.Viewed); err != nil {
		return nil, err
	}
	e := plan.Expire(&x.facts.Facts, x.unsure)
	if x.facts.Catalog.Stamped > 0 && len(e.Schedule)+len(e.Due)+len(e.Purge) > 0 {
		if err := x.facts.FullScan(ctx); err != nil {
			return nil, err
		}
		x.rescanned = true
		x.sum.Scanned(x.facts.Catalog)
		return x.plan(ctx)
	}
	x.sum.Protected, x.sum.ProtectedFiles = len(e.Protected), nil
	for _, d := range e.Protected {
		x.sum.ProtectedFiles = append(x.sum.ProtectedFiles, report.ProtectedFile{Name: string(d.Name), SHA256: d.SHA256().Hex(), By: x.facts.Catalog.Protector(d.Name, d.Owner)})
	}
	return e, nil
}

// carryOut deletes what is due, and takes back what is wanted again.
func (x *expiry) carryOut(ctx context.Context) error {
	if err := x.reown(); err != nil {
		return err
	}
	memory, err := takeover.Recall(x.v)
	if err != nil {
		return err
	}
	rerr := x.facts.Reread()
	e, err := x.plan(ctx)
	if err != nil {
		return err
	}
	if rerr != nil && x.facts.Delete {
		e.Guard = rerr.Error()
	}
	if err := memory.Outdate(x.facts.Catalog.Distfiles, e.Wishes.Keeps); err != nil {
		return err
	}
	if e.Restore, err = x.facts.ReadBack(ctx, e.Restore, x.fails.Add); err != nil {
		return err
	}
	x.fails.MissRecycled()
	if err := x.restore(e.Restore); err != nil {
		return err
	}
	var b ledger.Batch
	for _, k := range e.Unschedule {
		if s := x.v.Index.Deletions[k]; !s.Undone {
			x.sum.Unscheduled.Add(s.Size)
		}
		b.DropDeletion(k)
	}
	if err := x.v.Commit(&b); err != nil {
		return err
	}
	if x.sum.Guard = e.Guard; e.Guard != "" || !x.facts.KnowsAll() {
		return nil
	}
	for _, d := range e.Schedule {
		b.PutDeletion(&ledger.Deletion{Key: d.Key(), Since: memory.Since(d.Key()), Owner: d.Owner, Size: d.Size})
		x.sum.Scheduled.Add(d.Size)
	}
	if err := x.v.Commit(&b); err != nil {
		return err
	}
	done, err := deletion.Delete(x.v, x.facts, x.views, e.Due, e.Purge)
	x.sum.Deleted, x.sum.Purged = done.Deleted, done.Purged
	x.fails.Files(done.Stay)
	if err == nil && x.facts.Delete {
		err = memory.Forget()
	}
	return err
}

// reown notes who wants what by now, so that the last who did is known when
// nobody does any more.
func (x *expiry) reown() error {
	var b ledger.Batch
	for _, c := range x.facts.Catalog.Distfiles {
		owner := plan.NewWant(c, true).Owner()
		for _, d := range x.v.Index.ByName(c.Name) {
			if d.Owner != owner && d.Satisfies(c) {
				fresh := *d
				fresh.Owner = owner
				b.PutDistfile(&fresh)
			}
		}
	}
	return x.v.Commit(&b)
}

// restore publishes contents in recycle again, which have been read.
func (x *expiry) restore(rs []*ledger.Recycled) error {
	back := make([]*vault.Returning, len(rs))
	for i, r := range rs {
		back[i] = x.facts.Back[r.Key()]
	}
	var adds []*addition
	for _, a := range x.v.Recycle.Additions(back) {
		adds = append(adds, &addition{Addition: *a, total: &x.sum.Restored})
	}
	return x.addAll(adds)
}

// abandoned reports whether the views of a repository that this run does not
// have may go: the repository was retired, or has been read and has no such
// view any more.
func (x *expiry) abandoned(repo string) bool {
	if !x.facts.Delete || x.sum.Guard != "" || !x.facts.KnowsAll() {
		return false
	}
	return slices.Contains(x.facts.Retired, repo) ||
		slices.ContainsFunc(x.repositories, func(r catalog.Repository) bool { return r.Name() == repo })
}
