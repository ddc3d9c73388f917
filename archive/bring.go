package archive

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"distkeep/archive/demand"
	"distkeep/archive/export"
	"distkeep/archive/generations"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/relayout"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// linger is how long an archive stays open when nobody waits for anything: opening it
// costs what a small run does, and clients ask for one file after the other.
const linger = 10 * time.Second

// Bring brings into the archive what somebody waits for at o.Desk, and returns when
// nobody has for a while, or when ctx ends: then what is missing is left to others.
//
// It is no run: what it brings is planned, committed and exported as in one, but nothing
// else is looked at, it has no record, and what cannot be had is no failure of the
// archive before a run has found that out. Of o, it heeds what is about transfers.
func Bring(ctx context.Context, vo vault.Options, o MirrorOptions) (err error) {
	b := &bringer{o: o, signal: make(chan struct{}, 1), todo: make(map[*demand.File]*plan.Want)}
	v, err := vault.OpenBy(vo, func(v *vault.Vault) error { return b.open(ctx, v) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	defer b.close()
	// What is there already is committed in any case.
	if err := b.load(context.WithoutCancel(ctx), v); err != nil {
		return err
	}
	err = b.work(ctx)
	if ctx.Err() != nil && !vault.Broken(err) {
		return nil
	}
	return err
}

// A bringer is one Bring. Transfers begin when the archive is locked, before what it holds
// is known: mirror, which is of that, comes after.
type bringer struct {
	*mirror
	o         MirrorOptions
	fetcher   *fetch.Fetcher
	attendant *attendant
	// todo are the files to be committed when they are there.
	todo map[*demand.File]*plan.Want

	mu     sync.Mutex
	signal chan struct{}
	steps  []step
}

// A step is that a transfer has begun or, with a result, ended.
type step struct {
	file *demand.File
	req  *fetch.Request
	res  *fetch.Result
}

// open locks the archive, opens its ledger, and begins with the transfers between.
func (b *bringer) open(ctx context.Context, v *vault.Vault) (err error) {
	if b.fetcher, err = newFetcher(v, b.o.Fetch, b.o.MinFree, b.o.Desk); err != nil {
		return err
	}
	b.attendant = attend(ctx, &attendant{
		desk: b.o.Desk, v: v, fetcher: b.fetcher,
		begun: func(f *demand.File, r *fetch.Request) { b.add(step{f, r, nil}) },
		ended: func(f *demand.File, r fetch.Result) { b.add(step{f, r.Request, &r}) },
	})
	if err := v.OpenLedger(); err != nil {
		b.close()
		return err
	}
	return nil
}

func (b *bringer) close() {
	b.attendant.end()
	b.fetcher.Close()
}

func (b *bringer) add(s step) {
	b.mu.Lock()
	b.steps = append(b.steps, s)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
}

// load reads what the archive holds.
func (b *bringer) load(ctx context.Context, v *vault.Vault) error {
	facts, err := survey.Make(ctx, v, survey.Options{
		Local: b.o.Local, Whitelist: b.o.Whitelist, Options: plan.Options{Partial: true, Single: true},
	})
	if err != nil {
		return err
	}
	r := newRun(v, facts, "serve")
	r.attendant = b.attendant
	b.mirror = &mirror{
		run: r, o: b.o, fetcher: b.fetcher, lost: &losses{run: r, gone: make(map[catalog.Name][]*ledger.Distfile)},
		misfits: &misfits{run: r}, expiry: &expiry{run: r},
	}
	facts.Asked = b.fetcher.Asked
	if _, err := v.Recycle.Mend(); err != nil {
		return err
	}
	return relayout.Begin(v)
}

// work commits what comes until nothing does any more. What was committed is told also
// when that ends on the way.
func (b *bringer) work(ctx context.Context) (err error) {
	defer func() {
		if !vault.Broken(err) {
			err = errors.Join(err, b.tell())
		}
	}()
	idle, lists := time.NewTimer(linger), time.NewTicker(listsEvery)
	defer idle.Stop()
	defer lists.Stop()
	for {
		if err := b.take(ctx); err != nil {
			return err
		}
		if idle.Stop(); len(b.todo) == 0 {
			idle.Reset(linger)
		}
		select {
		case <-b.signal:
			continue
		case <-lists.C:
			if err := b.tell(); err != nil {
				return err
			}
			continue
		case <-idle.C:
		case <-ctx.Done():
			b.attendant.halt()
			return b.take(ctx)
		}
		return nil
	}
}

// take plans what has begun, and commits what has ended.
func (b *bringer) take(ctx context.Context) error {
	b.mu.Lock()
	steps := b.steps
	b.steps = nil
	b.mu.Unlock()
	b.v.Now = b.v.Options.Now().UTC().Truncate(time.Second)
	b.facts.Now = b.v.Now
	begun := slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return s.res != nil })
	if len(begun) > 0 {
		if err := b.plan(ctx, begun); err != nil {
			return err
		}
	}
	var adds []*addition
	of := make(map[*addition]*demand.File)
	for _, s := range steps {
		if s.res == nil {
			continue
		}
		w := b.todo[s.file]
		switch delete(b.todo, s.file); {
		case w == nil:
			if err := b.v.Store.Parts.Remove(s.req.Part); err != nil {
				return err
			}
		case s.res.Err != nil:
			b.attendant.failed(s.file, s.res.Err)
		default:
			a := b.arrived(w, s.res)
			adds, of[a] = append(adds, a), s.file
		}
	}
	if len(adds) == 0 {
		return nil
	}
	err := b.run.add(adds, nil)
	for _, a := range adds {
		if !a.Done {
			b.o.Desk.Drop(of[a], errors.Join(a.Err, err))
		}
	}
	return err
}

// plan decides whether what somebody waits for is to be had by its transfer. What the
// archive has in another way needs none.
func (b *bringer) plan(ctx context.Context, begun []step) error {
	c := new(catalog.Catalog)
	files := make(map[string]*demand.File)
	for _, s := range begun {
		files[demand.Key(s.file.Distfile)] = s.file
		if s.file.Named {
			c.Distfiles = append(c.Distfiles, s.file.Distfile)
		} else {
			c.Shadowed = append(c.Shadowed, s.file.Distfile)
		}
	}
	b.facts.Catalog = c
	p, err := b.mirror.plan(ctx)
	if err == nil {
		err = b.link(p)
	}
	if err != nil {
		return err
	}
	for _, f := range p.Fetches {
		for _, w := range f.Wants {
			b.todo[files[demand.Key(w.Distfile)]] = w
		}
	}
	for _, w := range p.Waiting { // for a run, which would ask without need
		b.todo[files[demand.Key(w.Distfile)]] = w
	}
	for _, f := range files {
		if b.todo[f] != nil {
			continue
		}
		b.attendant.cancel(f)
		if i := slices.IndexFunc(b.v.Index.ByName(f.Name), func(d *ledger.Distfile) bool { return d.Satisfies(f.Distfile) }); i >= 0 {
			b.o.Desk.Held(f.Distfile, b.v.Index.ByName(f.Name)[i].SHA256())
			continue
		}
		class := failure.Local
		for _, x := range p.Failing {
			if x.Key.Name == f.Name {
				class = x.Class
			}
		}
		b.o.Desk.Fail(f, class)
	}
	return nil
}

// tell exports what was brought, to readers and to archives downstream.
func (b *bringer) tell() error {
	if !b.v.Restated {
		return nil
	}
	if err := generations.Publish(b.v, b.o.Signers...); err != nil {
		return err
	}
	return export.Refresh(b.v, "serve")
}
