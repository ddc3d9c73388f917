package archive

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/archive/views"
	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
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
	// Fetch configures the transfers. Events, Room, Now and Quarantine are set
	// by Mirror.
	Fetch fetch.Options
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
}

// A mirror is one run of Mirror.
type mirror struct {
	v       *vault.Vault
	o       MirrorOptions
	white   *whitelist.List
	facts   *facts
	fetcher *fetch.Fetcher
	views   *views.Views
	sum     *report.Summary
	failing map[ledger.FailureKey]*plan.Failing
	// tried are the failures of transfers of this run.
	tried map[ledger.FailureKey]*fetch.Error
	// waited are those not tried because their time has not come.
	waited map[ledger.FailureKey]bool
	// lost are the records of this run whose file was not there, by name.
	lost map[catalog.Name][]*ledger.Distfile
	// unsure are the records of which the plan does not know whether their
	// bytes are there.
	unsure map[ledger.Key]error
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
	m := newMirror(v, o)
	// What is wrong with the options is said before anything is done.
	err := m.newFetcher()
	if err != nil {
		return nil, err
	}
	defer m.fetcher.Close()
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	err = m.mend()
	if err == nil {
		err = m.run(ctx)
	}
	if ferr := m.finish(ctx, err); err == nil {
		err = ferr
	}
	return m.sum, err
}

func newMirror(v *vault.Vault, o MirrorOptions) *mirror {
	m := &mirror{
		v: v, o: o,
		sum: &report.Summary{
			Command: "mirror", Start: v.Now, Deleting: o.Delete,
			DeletionDelay: o.DeletionDelay, RecycleDelay: o.RecycleDelay,
		},
		failing: make(map[ledger.FailureKey]*plan.Failing),
		tried:   make(map[ledger.FailureKey]*fetch.Error),
		waited:  make(map[ledger.FailureKey]bool),
		lost:    make(map[catalog.Name][]*ledger.Distfile),
	}
	m.views = views.New(v, views.Options{
		Repositories: o.Repositories, MinFree: o.MinFree, PublishMissing: o.PublishMissing, MissingGrace: o.MissingGrace, Failed: m.failCheck,
	})
	return m
}

// failCheck makes a failure of a content that does not pass the check of a view.
func (m *mirror) failCheck(d *catalog.Distfile, err error) {
	w := plan.NewWant(d, true)
	m.failing[w.KeyOf("check")] = &plan.Failing{Key: w.KeyOf("check"), Owner: w.Owner(), Class: failure.Digest, Reason: err.Error()}
}

// prepare reads everything that the run decides by.
func (m *mirror) prepare(ctx context.Context) error {
	if err := m.readWhitelist(); err != nil {
		return err
	}
	m.v.Events.Phase("scan", len(m.o.Repositories), 0)
	// The archive is looked at while the trees are scanned.
	lctx, stop := context.WithCancel(ctx)
	defer stop()
	var f *facts
	var lerr error
	var looking sync.WaitGroup
	looking.Go(func() { f, lerr = m.look(lctx) })
	cat, err := catalog.Collect(ctx, m.o.Repositories)
	if err != nil {
		stop()
	}
	looking.Wait()
	if err != nil {
		return err
	}
	scanned(m.sum, cat)
	if lerr != nil {
		return lerr
	}
	f.Catalog, f.Asked = cat, m.fetcher.Asked
	m.facts = f
	f.Dirs = m.views.Dirs()
	return nil
}

func scanned(s *report.Summary, cat *catalog.Catalog) {
	s.Repositories = cat.Repos
	s.Complete = cat.Complete()
	s.Conflicts, s.Notes = len(cat.Conflicts), cat.Notes
	s.Restricted = len(cat.Restricted)
	for _, p := range cat.Problems {
		if p.Scope == catalog.OnePackage {
			s.Unknown = append(s.Unknown, p.Error())
		} else {
			s.Problems = append(s.Problems, p.Error())
		}
	}
}

// mend ends what a crash interrupted.
func (m *mirror) mend() error {
	if err := m.mendRecycle(); err != nil {
		return err
	}
	whole, err := m.v.Store.Parts.Sweep(m.v.Now)
	if err != nil {
		return err
	}
	for _, p := range whole {
		m.facts.whole[p] = true
	}
	return nil
}

// mendRecycle ends the moves to recycle and out of it that a crash interrupted.
func (m *mirror) mendRecycle() error {
	pending, err := m.v.Recycle.Mend()
	m.failFiles(pending)
	return err
}

// run does the work. Its error ends the run early.
func (m *mirror) run(ctx context.Context) error {
	if err := m.beginLayouts(); err != nil {
		return err
	}
	p, err := m.plan(ctx)
	if err != nil {
		return err
	}
	if err := m.link(p); err != nil {
		return err
	}
	if err := m.transfer(ctx, p); err != nil {
		return err
	}
	if m.sum.Views, err = m.views.Publish(ctx); err != nil {
		return err
	}
	if err := m.unlinkFormer(p); err != nil {
		return err
	}
	if err := m.moveLayouts(); err != nil {
		return err
	}
	if err := m.expireDrops(ctx); err != nil {
		return err
	}
	if err := m.expire(ctx); err != nil {
		return err
	}
	return m.views.Prune(m.abandoned)
}

// plan reads the files that have to be read until the plan has no more of
// them, and returns that plan.
func (m *mirror) plan(ctx context.Context) (*plan.Plan, error) {
	for {
		p := plan.Make(&m.facts.Facts)
		if len(p.Readings) > 0 {
			if err := m.readAll(ctx, p.Readings); err != nil {
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
			if err := m.dropLost(p.Lost); err != nil {
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
		m.unsure = p.Unsure
		m.sum.Wanted, m.sum.Held, m.sum.Waiting = p.Wanted, p.Held, len(p.Waiting)
		for _, f := range p.Failing {
			m.failing[f.Key] = f
		}
		for _, w := range p.Waiting {
			m.waited[w.Key()] = true
		}
		return p, nil
	}
}

// dropWhole removes the parts of interrupted commits. All that are of use were
// recorded, and the archive has the bytes under another name.
func (m *mirror) dropWhole() error {
	for path := range m.facts.whole {
		if err := removePart(path); err != nil {
			return err
		}
	}
	clear(m.facts.whole)
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
	for chunk := range slices.Chunk(adds, vault.BatchFiles) {
		if err := m.add(chunk, nil); err != nil {
			return err
		}
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

// linked makes an addition of a linking.
func (m *mirror) linked(l *plan.Linking) *addition {
	a := &addition{Addition: vault.Addition{New: true}, want: l.Want}
	if l.Back != nil {
		a.Addition, a.total = m.facts.readBack[l.Back.Key()].Addition(m.v.Now), &m.sum.Restored
	} else {
		a.Entry = *l.From
		a.total = &m.sum.Linked
		if l.From.Name != l.Want.Name {
			a.Entry.Origin, a.Entry.Added = ledger.OriginLink, m.v.Now
		}
	}
	a.Entry.Named = l.Want.Named || l.From != nil && l.From.Name == l.Want.Name && l.From.Named
	a.Entry.Name = l.Want.Name
	a.Entry.Owner, a.Entry.Kind = l.Want.Owner(), l.Want.Kind
	return a
}

// knowsAll reports whether the catalog has everything that is wanted: only then
// may what it does not have be deleted.
func (m *mirror) knowsAll() bool { return m.facts.KnowsAll() }

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
	if vault.Broken(err) && m.v.Store.StateRoom(store.LedgerRoom) != nil {
		return nil // nothing can be written; what is recorded is true
	}
	steps := []func() error{
		func() error { return m.recordFailures(err == nil) },
		func() error {
			export.Totals(s, m.v.Index, s.Start)
			s.Layouts = export.Layouts(m.v)
			return export.Contents(m.v)
		},
	}
	if err == nil {
		steps = append(steps, m.publish)
	}
	steps = append(steps, func() error { s.Took = m.v.Options.Now().Sub(m.v.Began); return m.recordRun() })
	var errs []error
	for _, step := range steps {
		err := step()
		if errs = append(errs, err); vault.Broken(err) {
			break // the others would only say so again
		}
	}
	return errors.Join(errs...)
}

// recordRun writes the run record.
func (m *mirror) recordRun() error {
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
	return export.Lists(m.v, m.sum)
}
