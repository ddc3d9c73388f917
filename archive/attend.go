package archive

import (
	"context"
	"errors"
	"sync"

	"distkeep/archive/demand"
	"distkeep/archive/plan"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// An attendant gets into parts what somebody waits for, as long as the archive is open
// for it, whatever else is done to that meanwhile. It uses nothing of the vault but its
// store. One that is nil attends to nobody.
type attendant struct {
	desk    *demand.Desk
	v       *vault.Vault
	fetcher *fetch.Fetcher
	// begun and ended, if not nil, are told of each transfer. Who listens tells of those
	// that have failed.
	begun func(f *demand.File, r *fetch.Request)
	ended func(f *demand.File, r fetch.Result)

	// algs are those that the layouts ask for when it begins: they change when the
	// archive is read.
	algs  []digest.Algorithm
	stop  context.CancelFunc
	works sync.WaitGroup

	mu sync.Mutex
	// coming are the transfers of the run itself, by what they bring, whole those that
	// have ended well, and brought is what the archive has by now.
	coming  map[string]*fetch.Request
	whole   map[string]*fetch.Result
	brought map[string]digest.Digest
	taken   map[*demand.File]context.CancelFunc
}

// attend begins to attend to those who wait at desk, which may be nil. end ends it.
func attend(ctx context.Context, a *attendant) *attendant {
	if a.desk == nil {
		return nil
	}
	a.coming, a.whole = make(map[string]*fetch.Request), make(map[string]*fetch.Result)
	a.brought, a.taken = make(map[string]digest.Digest), make(map[*demand.File]context.CancelFunc)
	a.algs = a.v.Store.Layouts().Algorithms()
	ctx, a.stop = context.WithCancel(ctx)
	a.works.Go(func() {
		for {
			for _, f := range a.desk.Take() {
				a.begin(ctx, f)
			}
			select {
			case <-a.desk.Wake():
			case <-ctx.Done():
				return
			}
		}
	})
	return a
}

// begin begins to get f, unless the run has brought it.
func (a *attendant) begin(ctx context.Context, f *demand.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := demand.Key(f.Distfile)
	if sum, ok := a.brought[key]; ok {
		a.desk.Held(f.Distfile, sum)
		return
	}
	if res := a.whole[key]; res != nil {
		a.taken[f] = func() {}
		a.desk.Whole(f, res.Request.Part, res.Size, res.Digests)
		return
	}
	w := plan.NewWant(f.Distfile, f.Named)
	r := a.coming[key]
	if r == nil {
		r = &fetch.Request{
			Name: w.Name, Size: w.Size, Digests: w.Digests, Compute: a.algs, Package: w.Owner(),
			Sources: w.Sources, Part: a.v.Store.Parts.Path(w.Name, w.ID()),
		}
	}
	ctx, a.taken[f] = context.WithCancel(ctx)
	a.desk.Arrives(f, r.Part)
	if a.begun != nil {
		a.begun(f, r)
	}
	a.works.Go(func() { a.fetch(ctx, f, r) })
}

func (a *attendant) fetch(ctx context.Context, f *demand.File, r *fetch.Request) {
	res := a.fetcher.Fetch(ctx, r)
	if res.Err == nil {
		a.desk.Whole(f, r.Part, res.Size, res.Digests)
	}
	if a.ended != nil {
		a.ended(f, res)
	} else if res.Err != nil {
		a.failed(f, res.Err)
	}
}

// failed tells that a transfer has failed and that f cannot be had in another way.
func (a *attendant) failed(f *demand.File, err error) {
	fe := (*fetch.Error)(nil)
	switch {
	case !errors.As(err, &fe), fe.Class == failure.Interrupted: // for others to get, see end
	case fe.Class == failure.Disk:
		a.desk.Drop(f, fe)
	default:
		a.desk.Fail(f, fe.Class)
	}
}

// cancel ends the transfer of f, which nobody needs.
func (a *attendant) cancel(f *demand.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken[f]()
}

// comes notes that what request makes is to bring the wants in this run.
func (a *attendant) comes(wants []*plan.Want, request func() *fetch.Request) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := request()
	for _, w := range wants {
		a.coming[demand.Key(w.Distfile)] = r
	}
}

// came notes that the run has all that the wants need, verified.
func (a *attendant) came(wants []*plan.Want, res *fetch.Result) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range wants {
		a.whole[demand.Key(w.Distfile)] = res
	}
}

// added notes that the archive has what w wants.
func (a *attendant) added(w *plan.Want, sum digest.Digest) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.brought[demand.Key(w.Distfile)] = sum
	a.desk.Held(w.Distfile, sum)
}

// halt ends all transfers.
func (a *attendant) halt() {
	a.stop()
	a.works.Wait()
}

// end ends it. What the archive does not have yet is for others to get.
func (a *attendant) end() {
	if a == nil {
		return
	}
	a.halt()
	for f, cancel := range a.taken {
		cancel()
		a.desk.Return(f)
	}
}
