package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/whitelist"
)

// An expiry is what a run may let go of. It is made from the catalog and the
// ledger alone.
type expiry struct {
	schedule   []*ledger.Distfile // newly unwanted
	unschedule []ledger.Key       // wanted again, or gone
	restore    []*ledger.Recycled // on the whitelist since they went
	due        []*ledger.Distfile // scheduled for long enough
	purge      []*ledger.Recycled // in recycle for long enough
	guard      string             // why schedule, due and purge must wait
}

// planExpiry decides what is let go of.
func (m *mirror) planExpiry() (*expiry, error) {
	e := new(expiry)
	x := m.v.Index
	kept := m.keptRecords()
	viewed, err := m.keepViewed(kept)
	if err != nil {
		return nil, err
	}
	for k, s := range x.Deletions {
		if d := x.Distfiles[k]; d == nil || kept[d] {
			e.unschedule = append(e.unschedule, s.Key)
		}
	}
	slices.SortFunc(e.unschedule, keyLess)
	for _, r := range x.Recycled {
		if m.whitelisted(r.Name) && m.facts.restorable(r) {
			e.restore = append(e.restore, r)
		}
	}
	// Of several contents of one name the last to go comes first, and gets it.
	slices.SortFunc(e.restore, func(a, b *ledger.Recycled) int {
		return cmp.Or(b.Since.Compare(a.Since), keyLess(a.Key(), b.Key()))
	})
	if !m.o.Delete {
		return e, nil
	}
	var due vault.Count
	for k, d := range x.Distfiles {
		if kept[d] {
			continue
		}
		switch s := x.Deletions[k]; {
		case m.unsure[k] != nil:
		case s != nil && s.Holds(m.v.Now, m.o.DeletionDelay):
		case (s == nil || s.Undone) && m.o.DeletionDelay > 0:
			e.schedule = append(e.schedule, d)
		case s == nil || ledger.Elapsed(m.v.Now, s.Since, m.o.DeletionDelay):
			e.due = append(e.due, d)
			due.Add(d.Size)
		}
	}
	e.purge = m.purgeable()
	byKey := func(a, b *ledger.Distfile) int { return keyLess(a.Key(), b.Key()) }
	slices.SortFunc(e.schedule, byKey)
	slices.SortFunc(e.due, byKey)
	guard, err := m.guard(due)
	e.guard = cmp.Or(guard, viewed)
	return e, err
}

// purgeable are the contents that have been in recycle for long enough.
func (m *mirror) purgeable() (rs []*ledger.Recycled) {
	for _, r := range m.v.Index.Recycled {
		if ledger.Elapsed(m.v.Now, r.Since, m.o.RecycleDelay) {
			rs = append(rs, r)
		}
	}
	rs = m.unmissed(rs)
	slices.SortFunc(rs, func(a, b *ledger.Recycled) int { return keyLess(a.Key(), b.Key()) })
	return rs
}

// keptRecords are the records that somebody wants: a package, the whitelist, or
// the drop box, and those that a package which cannot be known may want. A content that still holds the published name of a wanted one
// is kept as well: it goes when its successor has come.
func (m *mirror) keptRecords() map[*ledger.Distfile]bool {
	x := m.v.Index
	kept := m.wantedRecords()
	for _, w := range m.facts.catalog.Distfiles {
		for _, d := range x.ByName(w.Name) {
			if d.Named || !w.Digests.Verifiable() {
				kept[d] = true
			}
		}
	}
	m.sum.Protected = 0
	for _, d := range x.Distfiles {
		switch {
		case kept[d]:
		case m.whitelisted(d.Name) || m.facts.drops[d.Name].keeps(x, d):
			kept[d] = true
		case m.facts.catalog.Protected(d.Name, d.Owner):
			kept[d] = true
			m.sum.Protected++
		}
	}
	return kept
}

// wantedRecords are the records that are what a package wants.
func (m *mirror) wantedRecords() map[*ledger.Distfile]bool {
	x := m.v.Index
	wanted := make(map[*ledger.Distfile]bool, len(x.Distfiles))
	for _, ws := range [][]*catalog.Distfile{m.facts.catalog.Distfiles, m.facts.catalog.Shadowed} {
		for _, w := range ws {
			for _, d := range x.ByName(w.Name) {
				if d.Satisfies(w) {
					wanted[d] = true
				}
			}
		}
	}
	return wanted
}

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
	m.facts.drops = drops
	return nil
}

// spare takes out of ds what somebody has put on the whitelist or into the drop
// box while the run deleted other files.
func (m *mirror) spare(ds []*ledger.Distfile) []*ledger.Distfile {
	return slices.DeleteFunc(slices.Clone(ds), func(d *ledger.Distfile) bool {
		return m.whitelisted(d.Name) || m.facts.drops[d.Name].keeps(m.v.Index, d)
	})
}

// guard returns why nothing may be let go of in this run, or "".
func (m *mirror) guard(due vault.Count) (string, error) {
	if !m.knowsAll() {
		return "", nil // said by Complete; expire looks at it
	}
	if g := m.clockGuard(); g != "" {
		return g, nil
	}
	for _, l := range m.v.Index.Notes.Repositories {
		if slices.Contains(m.o.Retired, l.Name) {
			continue
		}
		i := slices.IndexFunc(m.sum.Repositories, func(r catalog.RepoStats) bool { return r.Name == l.Name })
		if i < 0 {
			return fmt.Sprintf("repository %s, which the last complete run had, is missing: name it with --repo, or say --retire-repo %s if it is gone for good", l.Name, l.Name), nil
		}
		if r := m.sum.Repositories[i]; shrunk(l, r) {
			return fmt.Sprintf("repository %s has %d distfiles and had %d in the last complete run: if that is right, say --retire-repo %s once", l.Name, r.Distfiles, l.Distfiles, l.Name), nil
		}
	}
	total := m.total()
	if f := share(int64(due.Files), int64(total.Files)); f > m.o.MaxDelete {
		return fmt.Sprintf("%d of %d files are due for deletion, %.1f %%: if that is right, run once with a larger --max-delete", due.Files, total.Files, 100*f), nil
	}
	if f := share(due.Bytes, total.Bytes); f > m.o.MaxDelete {
		return fmt.Sprintf("%d of %d bytes are due for deletion, %.1f %%: if that is right, run once with a larger --max-delete", due.Bytes, total.Bytes, 100*f), nil
	}
	return "", nil
}

func (m *mirror) total() (c vault.Count) {
	for _, d := range m.v.Index.Distfiles {
		c.Add(d.Size)
	}
	return c
}

func share(part, whole int64) float64 {
	if part == 0 || whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
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
		e.guard = rerr.Error()
	}
	if e.restore, err = m.rightBack(ctx, e.restore); err != nil {
		return err
	}
	m.missRecycled()
	if _, err := m.restore(e.restore); err != nil {
		return err
	}
	var b ledger.Batch
	for _, k := range e.unschedule {
		if s := m.v.Index.Deletions[k]; !s.Undone {
			m.sum.Unscheduled.Add(s.Size)
		}
		b.DropDeletion(k)
	}
	if err := m.v.Commit(&b); err != nil {
		return err
	}
	if m.sum.Guard = e.guard; e.guard != "" || !m.knowsAll() {
		return nil
	}
	for _, d := range e.schedule {
		b.PutDeletion(&ledger.Deletion{Key: d.Key(), Since: m.v.Now, Owner: d.Owner, Size: d.Size})
		m.sum.Scheduled.Add(d.Size)
	}
	if err := m.v.Commit(&b); err != nil {
		return err
	}
	return m.letGo(e.due, e.purge)
}

// letGo moves contents to recycle and others out of it, and notes the
// repositories that this was decided by. It is the only way out of the archive.
func (m *mirror) letGo(due []*ledger.Distfile, purge []*ledger.Recycled) error {
	for chunk := range slices.Chunk(due, vault.BatchFiles) {
		if err := m.reread(); err != nil {
			return err
		}
		if err := m.recycle(m.spare(chunk)); err != nil {
			return err
		}
	}
	if len(purge) > 0 {
		if err := m.reread(); err != nil {
			return err
		}
	}
	purge, err := m.unviewed(m.unmissed(purge))
	if err == nil {
		err = m.v.Purge(purge)
	}
	if err != nil {
		return err
	}
	for _, r := range purge {
		m.sum.Purged.Add(r.Size)
	}
	return m.rememberRepos()
}

// unmissed are those of rs that nobody could miss. A run has taken what is wanted
// out of recycle before it comes here, but a cleaning has not, and people change
// the whitelist and the drop box at any time. What goes here is gone for good.
func (m *mirror) unmissed(rs []*ledger.Recycled) (left []*ledger.Recycled) {
	if len(rs) == 0 {
		return nil
	}
	names, sums := make(map[catalog.Name][]*catalog.Distfile), make(map[digest.Digest]bool)
	for _, ws := range [][]*catalog.Distfile{m.facts.catalog.Distfiles, m.facts.catalog.Shadowed} {
		for _, w := range ws {
			names[w.Name] = append(names[w.Name], w)
			for _, d := range w.Digests {
				sums[d] = true
			}
		}
	}
	for _, r := range rs {
		wanted := slices.ContainsFunc(names[r.Name], func(w *catalog.Distfile) bool {
			return r.Satisfies(w) || !w.Digests.Verifiable()
		})
		// It may be wanted under another name.
		only := len(m.v.Index.WithSum(r.SHA256())) == 0
		wanted = wanted || only && slices.ContainsFunc(r.Digests, func(d digest.Digest) bool { return sums[d] })
		wanted = wanted || m.facts.catalog.Protected(r.Name, r.Owner)
		if !wanted && !m.whitelisted(r.Name) && !m.facts.drops[r.Name].keeps(m.v.Index, &r.Distfile) {
			left = append(left, r)
		}
	}
	return left
}

// reown notes who wants what by now, so that the last who did is known when
// nobody does any more.
func (m *mirror) reown() error {
	var b ledger.Batch
	for _, c := range m.facts.catalog.Distfiles {
		owner := (&want{Distfile: c}).owner()
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
		a := &addition{Addition: vault.Addition{Entry: r.Distfile, Have: m.facts.readBack[r.Key()], New: true}, total: &m.sum.Restored}
		a.Entry.Origin, a.Entry.Added, a.Entry.Verified = ledger.OriginRecycle, m.v.Now, m.v.Now
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
	gone, stay, err := m.v.Recycle(ds)
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
		} else if shrunk(l, repos[i]) {
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

// shrunk reports whether a tree lost more than half of its files since last:
// its packagers did not do that.
func shrunk(last, now catalog.RepoStats) bool {
	return (now.Distfiles+now.Protected)*2 < last.Distfiles
}

func removePart(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func oneLine(s string) string { return report.OneLine(s) }
