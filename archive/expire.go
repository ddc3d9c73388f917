package archive

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/whitelist"
)

func (m *mirror) whitelisted(name catalog.Name) bool {
	_, ok := m.white.Has(name)
	return ok
}

func (m *mirror) readWhitelist() (err error) {
	if m.white = new(whitelist.List); m.o.Whitelist != nil {
		m.white, err = m.o.Whitelist()
	}
	return err
}

// reread reads again what people may have changed since the run began, hours
// ago perhaps: the whitelist and the drop box. A package that has come to want a
// file since is served by the next run, out of recycle.
func (m *mirror) reread() error {
	white := m.white
	if err := m.readWhitelist(); err != nil {
		m.white = white
		return err
	}
	drops, err := listDrops(m.o.Local, func(string, ...any) {}, m.v.Distfiles, m.v.State)
	if err != nil {
		return err
	}
	m.facts.Drops = drops
	return nil
}

// planExpiry decides what is deleted, and counts what is protected.
func (m *mirror) planExpiry() (*plan.Expiry, error) {
	m.facts.Viewed = make(map[*ledger.Distfile]bool)
	var err error
	if m.facts.ViewsUnknown, err = m.views.Keep(m.facts.Viewed); err != nil {
		return nil, err
	}
	e := plan.Expire(&m.facts.Facts, m.unsure)
	m.sum.Protected = e.Protected
	return e, nil
}

// expire carries out planExpiry.
func (m *mirror) expire(ctx context.Context) error {
	if err := m.reown(); err != nil {
		return err
	}
	rerr := m.reread()
	e, err := m.planExpiry()
	if err != nil {
		return err
	}
	if rerr != nil && m.o.Delete {
		e.Guard = rerr.Error()
	}
	if e.Restore, err = m.rightBack(ctx, e.Restore); err != nil {
		return err
	}
	m.missRecycled()
	if _, err := m.restore(e.Restore); err != nil {
		return err
	}
	var b ledger.Batch
	for _, k := range e.Unschedule {
		if s := m.v.Index.Deletions[k]; !s.Undone {
			m.sum.Unscheduled.Add(s.Size)
		}
		b.DropDeletion(k)
	}
	if err := m.v.Commit(&b); err != nil {
		return err
	}
	if m.sum.Guard = e.Guard; e.Guard != "" || !m.knowsAll() {
		return nil
	}
	for _, d := range e.Schedule {
		b.PutDeletion(&ledger.Deletion{Key: d.Key(), Since: m.v.Now, Owner: d.Owner, Size: d.Size})
		m.sum.Scheduled.Add(d.Size)
	}
	if err := m.v.Commit(&b); err != nil {
		return err
	}
	return m.delete(e.Due, e.Purge)
}

// delete moves contents to recycle and others out of it, and notes the
// repositories that this was decided by. It is the only way out of the archive.
func (m *mirror) delete(due []*ledger.Distfile, purge []*ledger.Recycled) error {
	for chunk := range slices.Chunk(due, vault.BatchFiles) {
		if err := m.reread(); err != nil {
			return err
		}
		if err := m.recycle(m.facts.Spare(chunk)); err != nil {
			return err
		}
	}
	if len(purge) > 0 {
		if err := m.reread(); err != nil {
			return err
		}
	}
	purge, err := m.views.Unlisted(m.facts.Unmissed(purge))
	if err == nil {
		err = m.v.Recycle.Purge(purge)
	}
	if err != nil {
		return err
	}
	for _, r := range purge {
		m.sum.Purged.Add(r.Size)
	}
	return m.rememberRepos()
}

// reown notes who wants what by now, so that the last who did is known when
// nobody does any more.
func (m *mirror) reown() error {
	var b ledger.Batch
	for _, c := range m.facts.Catalog.Distfiles {
		owner := plan.NewWant(c, true).Owner()
		for _, d := range m.v.Index.ByName(c.Name) {
			if d.Owner != owner && d.Satisfies(c) {
				fresh := *d
				fresh.Owner = owner
				b.PutDistfile(&fresh)
			}
		}
	}
	return m.v.Commit(&b)
}

// restore publishes contents in recycle again, which have been read. It returns
// what became of each.
func (m *mirror) restore(rs []*ledger.Recycled) (adds []*addition, err error) {
	taken := make(map[catalog.Name]bool)
	for _, r := range rs {
		a := &addition{Addition: m.facts.readBack[r.Key()].Addition(m.v.Now), total: &m.sum.Restored}
		a.Entry.Named = !taken[r.Name] && m.v.Index.Named(r.Name) == nil
		taken[r.Name] = taken[r.Name] || a.Entry.Named
		adds = append(adds, a)
	}
	for chunk := range slices.Chunk(adds, vault.BatchFiles) {
		if err := m.add(chunk, nil); err != nil {
			return nil, err
		}
	}
	return adds, nil
}

// recycle moves contents out of the published tree.
func (m *mirror) recycle(ds []*ledger.Distfile) error {
	gone, stay, err := m.v.Recycle.Put(ds)
	for _, d := range gone {
		m.sum.Deleted.Add(d.Size)
	}
	m.failFiles(stay)
	return err
}

// rememberRepos notes the repositories of this complete run. One that is
// missing or has shrunk stays as it was until it is retired: a run that deletes
// nothing must not make the next forget.
func (m *mirror) rememberRepos() error {
	last := m.v.Index.Notes.Repositories
	repos := slices.Clone(m.sum.Repositories)
	for _, l := range last {
		if slices.Contains(m.o.Retired, l.Name) {
			continue
		}
		if i := slices.IndexFunc(repos, func(r catalog.RepoStats) bool { return r.Name == l.Name }); i < 0 {
			repos = append(repos, l)
		} else if plan.Shrunk(l, repos[i]) {
			repos[i] = l
		}
	}
	if slices.Equal(repos, last) {
		return nil
	}
	var b ledger.Batch
	m.v.Note(&b, func(n *ledger.Notes) { n.Repositories = repos })
	return m.v.Commit(&b)
}

// abandoned reports whether the views of a repository that this run does not
// have may go: the repository was retired, or has been read and has no such
// view any more.
func (m *mirror) abandoned(repo string) bool {
	if !m.o.Delete || m.sum.Guard != "" || !m.knowsAll() {
		return false
	}
	return slices.Contains(m.o.Retired, repo) ||
		slices.ContainsFunc(m.o.Repositories, func(r catalog.Repository) bool { return r.Name() == repo })
}

func removePart(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
