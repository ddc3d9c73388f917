package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"distkeep/archive/demand"
	"distkeep/archive/export"
	"distkeep/archive/generations"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/lists"
	"distkeep/archive/plan"
	"distkeep/archive/relayout"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/archive/views"
	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/whitelist"
)

// MirrorOptions say what Mirror works from and what it may do.
type MirrorOptions struct {
	// Repositories are scanned in this order: the first that wants a name
	// decides its content.
	Repositories []catalog.Repository
	// Whitelist reads the list of what to keep although no package wants it.
	// It is asked at the beginning, and again before anything is deleted. Nil
	// keeps nothing.
	Whitelist func() (*whitelist.List, error)
	// Local is the directory distfiles-local; empty means that there is none.
	Local string
	// LocalExpiry is how long a file stays in Local once it is in the archive.
	LocalExpiry time.Duration
	// Desk, if not nil, is where people wait for files: they are fetched before
	// others, also while nothing else is.
	Desk *demand.Desk
	// Scanned, if not nil, is told what the repositories have.
	Scanned func(c *catalog.Catalog)
	// Fetch configures the transfers. Events, Room, Now and Quarantine are set
	// by Mirror.
	Fetch fetch.Options
	// AdoptFrom are directories to look for what is missing in. They stay as they
	// are.
	AdoptFrom []string
	// MinFree is how many bytes must stay free.
	MinFree int64

	// Delete allows to schedule what nobody wants, to delete what has been
	// scheduled for DeletionDelay, and to remove it from recycle after
	// RecycleDelay. Without it nothing is.
	Delete        bool
	DeletionDelay time.Duration
	RecycleDelay  time.Duration
	// MaxDelete is the part of all files, and of all bytes, that may be
	// deleted in one run: 0.1 is a tenth.
	MaxDelete float64
	// Partial says that the repositories name only a part of what is wanted:
	// nothing is scheduled or deleted then, and the history stays as it is.
	Partial bool
	// Retired names repositories that are gone on purpose.
	Retired []string
	// PublishMissing puts the index of a view into place although files that
	// it names are missing, when each of them has been for MissingGrace.
	PublishMissing bool
	MissingGrace   time.Duration
	// ExportNow, when something comes of it during the transfers, has the lists of
	// readers exported at once; they are every few minutes in any case.
	ExportNow <-chan struct{}
	// Meanwhile, if not nil, is called after that. What it cannot do is told.
	Meanwhile func() error
	// Signers sign the generation that the run publishes.
	Signers []note.Signer
	// Certify, if not nil, lets the run do nothing when nothing has changed since the
	// last one: see package certificate.
	Certify *Certify
}

// A mirror is one run of Mirror.
type mirror struct {
	*run
	o       MirrorOptions
	fetcher *fetch.Fetcher
	views   *views.Views
	lost    *losses
	misfits *misfits
	expiry  *expiry
	idle    bool // it had nothing to do
}

// Mirror makes the archive hold what the packages of the repositories want,
// and deletes what nobody wants, as far as o allows.
//
// Single distfiles that cannot be had are failures in the Summary, not errors.
// The Summary is nil when nothing could be done because of what was asked for.
// Otherwise it says how far the run came, and what it did is kept: the error is
// one that vault.Broken knows when the archive is full or damaged, and the cause
// of ctx when that ended the run.
func Mirror(ctx context.Context, v *vault.Vault, o MirrorOptions) (*report.Summary, error) {
	w := newWitness(v, &o)
	if s, err := w.unchanged(ctx); s != nil || err != nil {
		return s, err
	}
	whole, serr := v.Store.Parts.Sweep(v.Now)
	m, err := prepare(ctx, v, o)
	if err != nil {
		return nil, err
	}
	defer m.close()
	if err = m.mend(whole); err == nil {
		err = serr
	}
	if err == nil {
		err = m.steps(ctx)
	}
	if ferr := m.finish(ctx, err); err == nil {
		err = ferr
	}
	if err == nil {
		err = w.certify(ctx, m)
	}
	return m.sum, err
}

// prepare reads everything that the run decides by.
func prepare(ctx context.Context, v *vault.Vault, o MirrorOptions) (*mirror, error) {
	if err := v.NeedLedger(); err != nil {
		return nil, err
	}
	// What is wrong with the options is said before anything is done.
	fetcher, err := newFetcher(v, o.Fetch, o.MinFree, o.Desk)
	if err != nil {
		return nil, err
	}
	waiting := attend(ctx, &attendant{desk: o.Desk, v: v, fetcher: fetcher})
	facts, err := survey.Make(ctx, v, survey.Options{
		Repositories: o.Repositories, Whitelist: o.Whitelist, Local: o.Local, AdoptFrom: o.AdoptFrom,
		Options: plan.Options{
			Delete: o.Delete, DeletionDelay: o.DeletionDelay, RecycleDelay: o.RecycleDelay,
			MaxDelete: o.MaxDelete, Partial: o.Partial, Retired: o.Retired,
		},
	})
	if err == nil {
		err = publishable(v, o.Repositories)
	}
	if err != nil {
		waiting.end()
		fetcher.Close()
		return nil, err
	}
	if o.Scanned != nil {
		o.Scanned(facts.Catalog)
	}
	for _, name := range facts.NoSuchRepos() {
		v.Warn("there is no repository %s to retire, and there was none in the last complete run", name)
	}
	r := newRun(v, facts, "mirror")
	r.attendant, r.meanwhile = waiting, o.Meanwhile
	r.sum.Deleting, r.sum.DeletionDelay, r.sum.RecycleDelay = o.Delete, o.DeletionDelay, o.RecycleDelay
	m := &mirror{run: r, o: o, fetcher: fetcher, lost: &losses{run: r, gone: make(map[catalog.Name][]*ledger.Distfile)}, misfits: &misfits{run: r}}
	m.views = views.New(v, views.Options{
		Repositories: o.Repositories, MinFree: o.MinFree, PublishMissing: o.PublishMissing, MissingGrace: o.MissingGrace, Failed: r.fails.Check,
	})
	m.expiry = &expiry{run: r, views: m.views, repositories: o.Repositories}
	facts.Asked, facts.Dirs = fetcher.Asked, m.views.Dirs()
	return m, nil
}

// publishable returns an error when a repository is published as a directory of files,
// and the archive has no files.
func publishable(v *vault.Vault, repos []catalog.Repository) error {
	for _, r := range repos {
		if vr, ok := r.(catalog.Viewer); ok && v.Remote != nil && len(vr.Views()) > 0 {
			return fmt.Errorf("%s is published as a directory of files, and %s has none", r.Name(), v.Remote)
		}
	}
	return nil
}

// close ends the transfers.
func (m *mirror) close() {
	m.attendant.end()
	m.fetcher.Close()
}

// mend ends what a crash interrupted, which has left whole parts.
func (m *mirror) mend(whole []string) error {
	pending, err := m.v.Recycle.Mend()
	m.fails.Files(pending)
	if err != nil {
		return err
	}
	if err := m.v.Disk.LetIn(); err != nil {
		m.v.Warn("%v", err)
	}
	for _, p := range whole {
		m.facts.Whole[p] = true
	}
	return nil
}

// steps does the work. Its error ends the run early.
func (m *mirror) steps(ctx context.Context) error {
	if err := relayout.Begin(m.v); err != nil {
		return err
	}
	p, err := m.plan(ctx)
	if err != nil {
		return err
	}
	m.tellFound(p)
	if err := m.link(p); err != nil {
		return err
	}
	if err := m.misfits.remove(); err != nil {
		return err
	}
	if err := m.fetchAll(ctx, p); err != nil {
		return err
	}
	if m.sum.Views, err = m.views.Publish(ctx); err != nil {
		return err
	}
	if err := (formerLinks{m.run}).unlink(p); err != nil {
		return err
	}
	if err := relayout.Move(m.v); err != nil {
		return err
	}
	if err := (&dropBox{m.run, m.o.LocalExpiry}).expire(ctx); err != nil {
		return err
	}
	if err := m.obeyUndo(ctx); err != nil {
		return err
	}
	if err := m.expiry.carryOut(ctx); err != nil {
		return err
	}
	return m.views.Prune(m.expiry.abandoned)
}

// fetchAll fetches what is missing. What was doubtful is planned anew once what it
// may be is there.
func (m *mirror) fetchAll(ctx context.Context, p *plan.Plan) error {
	held := m.sum.Held
	for {
		if len(p.Doubtful) > 0 { // a plan follows
			for _, f := range p.Fetches {
				for _, w := range f.Wants {
					m.facts.Tried[w.Key()] = true
				}
			}
		}
		if err := (&transfers{m.run, m.fetcher, m.lost, m.o.ExportNow}).fetch(ctx, p); err != nil || len(p.Doubtful) == 0 {
			return err
		}
		if m.sum.Parked.Files > 0 {
			for _, w := range p.Doubtful {
				m.fails.Waits(w)
			}
			return nil
		}
		var err error
		if p, err = m.plan(ctx); err != nil {
			return err
		}
		m.sum.Held = held
		if err := m.link(p); err != nil {
			return err
		}
	}
}

// plan reads the files that have to be read until the plan has no more of
// them, and returns that plan.
func (m *mirror) plan(ctx context.Context) (*plan.Plan, error) {
	for {
		p := plan.Make(&m.facts.Facts)
		if err := m.misfits.keep(p.Misfits); err != nil {
			return nil, err
		}
		if len(p.Readings) > 0 {
			if err := (&readings{run: m.run, minFree: m.o.MinFree}).all(ctx, p.Readings); err != nil {
				return nil, err
			}
			for _, r := range p.Readings {
				m.facts.Read[r.Key()] = true
			}
			continue
		}
		if len(p.Lost)+len(p.Unsure) > 0 {
			if err := m.facts.Vanished(); err != nil {
				return nil, vault.Damage(err)
			}
		}
		if len(p.Lost) > 0 {
			if err := m.lost.drop(p.Lost); err != nil {
				return nil, err
			}
			continue
		}
		if again, err := m.readBack(ctx, p); err != nil {
			return nil, err
		} else if again {
			continue
		}
		if err := m.dropWhole(); err != nil {
			return nil, err
		}
		m.expiry.unsure = p.Unsure
		m.sum.Wanted, m.sum.Held, m.sum.Waiting, m.sum.Conflicts = p.Wanted, p.Held, len(p.Waiting), p.Conflicts
		for _, f := range p.Failing {
			m.fails.Add(f)
		}
		for _, w := range p.Waiting {
			m.fails.Waits(w)
		}
		return p, nil
	}
}

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
	right, err := m.facts.ReadBack(ctx, rs, m.fails.Add)
	return len(right) < len(rs), err
}

// dropWhole removes the parts of interrupted commits. All that are of use were
// recorded, and the archive has the bytes under another name.
func (m *mirror) dropWhole() error {
	for path := range m.facts.Whole {
		if err := m.v.Store.Parts.Remove(path); err != nil {
			return err
		}
	}
	clear(m.facts.Whole)
	return nil
}

// link makes the links that need no transfer.
func (m *mirror) link(p *plan.Plan) error {
	var adds []*addition
	for _, d := range p.Relink {
		adds = append(adds, &addition{Addition: vault.Addition{Entry: *d}, count: &m.sum.Relinked})
	}
	for _, l := range p.Links {
		adds = append(adds, m.linked(l))
	}
	if err := m.addAll(adds); err != nil {
		return err
	}
	damaged := make(map[catalog.Name][]*ledger.Distfile)
	for _, a := range adds[:len(p.Relink)] {
		if errors.Is(a.Err, store.ErrDamaged) {
			damaged[a.Entry.Name] = append(damaged[a.Entry.Name], &a.Entry)
		}
	}
	if len(damaged) == 0 {
		return nil
	}
	for _, w := range m.facts.Catalog.Distfiles {
		for _, d := range damaged[w.Name] {
			if d.Satisfies(w) {
				m.sum.Held = layout.Count{Files: m.sum.Held.Files - 1, Bytes: m.sum.Held.Bytes - d.Size}
			}
		}
	}
	return nil
}

// finish records what became of the run and exports what readers read. err is
// what ended the run early, or nil.
func (m *mirror) finish(ctx context.Context, err error) error {
	s := m.sum
	switch {
	case vault.Broken(err):
		s.Broken = err.Error()
	case ctx.Err() != nil:
		s.Interrupted = true
	}
	if vault.Broken(err) && m.v.Store.StateRoom(m.v.Ledger().Need(runRecord)) != nil {
		return nil // nothing can be written; what is recorded is true
	}
	steps := []func() error{
		func() error { return m.fails.Record(err == nil) },
		func() error { return m.obeyRetry(ctx) },
		m.forget,
		func() error {
			export.Totals(s, m.v.Index, s.Start)
			s.Layouts = export.Layouts(m.v)
			s.Rooms = export.Rooms(m.v, m.o.MinFree)
			return export.Contents(m.v)
		},
	}
	if err == nil {
		steps = append(steps,
			func() error { return generations.Publish(m.v, m.o.Signers...) },
			lists.New(m.v, &m.facts.Facts).Publish)
	}
	steps = append(steps, func() error { m.idle = err == nil && m.hadNothingToDo(); return nil })
	steps = append(steps, func() error { s.Took = m.v.Options.Now().Sub(m.v.Began); return m.recordRun(err == nil) })
	var errs []error
	for _, step := range steps {
		err := step()
		if errs = append(errs, err); vault.Broken(err) {
			break // the others would only say so again
		}
	}
	return errors.Join(errs...)
}

// runRecord is more than the end of a run has to record.
const runRecord = 1 << 20

// forget drops the records of what was done that are too old to be asked for.
func (m *mirror) forget() error {
	var b ledger.Batch
	if err := m.v.Ledger().DropOldSuccesses(&b, m.v.Now); err != nil {
		return vault.Damage(err)
	}
	return m.v.Commit(&b)
}

// recordRun writes the run record. ended says that the run came to its end.
func (m *mirror) recordRun(ended bool) error {
	if err := export.Lineage(m.v, m.sum, ended); err != nil {
		return err
	}
	report.Fill(m.sum)
	text, err := json.Marshal(m.sum)
	if err != nil {
		return err
	}
	var b ledger.Batch
	b.PutRun(&ledger.Run{Start: m.sum.Start, Summary: text})
	if err := m.v.Ledger().DropOldRuns(&b, m.v.Now); err != nil {
		return vault.Damage(err)
	}
	m.v.Note(&b, func(n *ledger.Notes) { plan.NoteClock(n, m.v.Now) })
	if err := m.v.Commit(&b); err != nil {
		return err
	}
	if err := export.Restricted(m.v, m.facts.Catalog.Restricted); err != nil {
		return err
	}
	if err := export.Lists(m.v, m.sum); err != nil {
		return err
	}
	return report.AddRun(m.v.Store.ReportDir(), report.RunOf(m.sum), m.v.Store.Replace)
}
