package archive

import (
	"context"

	"distkeep/archive/layout"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
)

// newFetcher makes the fetcher of the run. It asks nobody yet.
func (m *mirror) newFetcher() (err error) {
	o := m.o.Fetch
	o.Now = m.v.Options.Now
	o.Room = func(_ string, need int64) error { return m.v.Store.Room(need, m.o.MinFree) }
	o.FallbackPaths = fallbackPaths
	o.Quarantine.Dir = m.v.Store.QuarantineDir()
	if r := m.v.Events.Received; r != nil {
		o.Events.Bytes = func(_ catalog.Name, n int) { r(n) }
	}
	if m.fetcher, err = fetch.New(o); err != nil {
		return err
	}
	return nil
}

// transfer fetches what is missing and commits it as it comes.
func (m *mirror) transfer(ctx context.Context, p *plan.Plan) error {
	if len(p.Fetches) == 0 {
		return nil
	}
	var size int64
	reqs := make([]*fetch.Request, len(p.Fetches))
	wants := make(map[*fetch.Request][]*plan.Want, len(p.Fetches))
	for i, t := range p.Fetches {
		w := t.Wants[0]
		reqs[i] = &fetch.Request{
			Name: w.Name, Size: t.Size(), Digests: m.told(w), Compute: t.Algs, Package: w.Owner(),
			Sources: t.Sources(), Part: m.v.Store.Parts.Path(w.Name, w.ID()),
		}
		wants[reqs[i]] = t.Wants
		size += max(t.Size(), 0)
	}
	m.v.Events.Phase("fetch", len(reqs), size)

	// A failing archive ends the transfers; what has arrived stays in parts.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := newCommitter(m, stop)
	rerr := m.fetcher.Run(ctx, reqs, func(r fetch.Result) { c.take(wants[r.Request], r) })
	cerr := c.close()
	for _, h := range m.fetcher.Hosts() {
		m.sum.Hosts = append(m.sum.Hosts, report.Host(h))
	}
	if cerr != nil {
		return cerr
	}
	if rerr == nil {
		m.sum.Parked = c.parked
	}
	return rerr
}

// told are the digests of a want, with those that the archive has found while it
// had the content: other archives can be asked by SHA-256.
func (m *mirror) told(w *plan.Want) digest.Set {
	for _, d := range m.lost[w.Name] {
		if w.Digests.Compare(d.Digests) == digest.Same {
			return w.Digests.Union(d.Digests)
		}
	}
	return w.Digests
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
