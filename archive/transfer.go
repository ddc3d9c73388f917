package archive

import (
	"context"

	"distkeep/archive/demand"
	"distkeep/archive/layout"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/fetch"
)

// transfers bring what is missing.
type transfers struct {
	*run
	fetcher *fetch.Fetcher
	lost    *losses
	now     <-chan struct{} // see MirrorOptions.ExportNow
}

// newFetcher makes the fetcher of a run. It asks nobody yet.
func newFetcher(v *vault.Vault, o fetch.Options, minFree int64, desk *demand.Desk) (*fetch.Fetcher, error) {
	o.Now = v.Options.Now
	o.Room = func(_ string, need int64) error { return v.Store.Room(need, minFree) }
	o.FallbackPaths = fallbackPaths
	o.Quarantine.Dir = v.Store.QuarantineDir()
	if r := v.Events.Received; r != nil {
		o.Events.Bytes = func(_ catalog.Name, n int) { r(n) }
	}
	if desk != nil {
		o.Events.Grown = desk.Grown
	}
	return fetch.New(o)
}

// fetch fetches what is missing and commits it as it comes.
func (t *transfers) fetch(ctx context.Context, p *plan.Plan) error {
	t.coming(p)
	t.v.Events.Coming(t.sum.Coming)
	if len(p.Fetches) == 0 {
		return nil
	}
	var size int64
	for _, f := range p.Fetches {
		t.attendant.comes(f.Wants, func() *fetch.Request { return t.request(f) })
		size += max(f.Size(), 0)
	}
	t.v.Events.Phase("fetch", len(p.Fetches), size)

	// A failing archive ends the transfers; what has arrived stays in parts.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := newCommitter(t.run, stop, t.now)
	reqs := fetch.Requests{Len: len(p.Fetches), At: func(i int) *fetch.Request { return t.request(p.Fetches[i]) }}
	rerr := t.fetcher.Run(ctx, reqs, func(r fetch.Result) {
		wants := p.Fetches[r.Index].Wants
		p.Fetches[r.Index] = nil // what was settled takes no memory
		c.take(wants, r)
	})
	cerr := c.close()
	t.sum.Hosts = nil
	for _, h := range t.fetcher.Hosts() {
		t.sum.Hosts = append(t.sum.Hosts, report.Host(h))
	}
	if cerr != nil {
		return cerr
	}
	if rerr == nil {
		t.sum.Parked = c.parked
	}
	return rerr
}

// request makes the request of a transfer.
func (t *transfers) request(f *plan.Fetching) *fetch.Request {
	w := f.Wants[0]
	return &fetch.Request{
		Name: w.Name, Size: f.Size(), Digests: t.lost.told(w), Compute: f.Algs, Package: w.Owner(),
		Sources: f.Sources(), Part: t.v.Store.Parts.Path(w.Name, w.ID()),
	}
}

// coming says what p is going to fetch. What is free is told as far as it is known.
func (r *run) coming(p *plan.Plan) {
	r.sum.Coming.Count, r.sum.Coming.Hosts = p.Coming()
	r.sum.Coming.Free, _, _ = r.v.Store.Free()
}

// fallbackPaths are those at which another archive keeps what is wanted, by its
// layout.conf; without one it is flat.
func fallbackPaths(conf []byte, r *fetch.Request) (paths []string) {
	for _, l := range layout.ParseForeign(conf) {
		if p, ok := l.Path(r.Name, r.Digests); ok {
			paths = append(paths, p)
		}
	}
	return paths
}
