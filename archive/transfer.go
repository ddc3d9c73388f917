package archive

import (
	"context"

	"distkeep/archive/layout"
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
func (m *mirror) transfer(ctx context.Context, p *plan) error {
	if len(p.fetches) == 0 {
		return nil
	}
	var size int64
	reqs := make([]*fetch.Request, len(p.fetches))
	wants := make(map[*fetch.Request][]*want, len(p.fetches))
	for i, t := range p.fetches {
		w := t.wants[0]
		reqs[i] = &fetch.Request{
			Name: w.Name, Size: t.size(), Digests: m.told(w), Compute: t.algs, Package: w.owner(),
			Sources: t.sources(), Part: m.v.Store.PartPath(w.Name, w.key()),
		}
		wants[reqs[i]] = t.wants
		size += max(t.size(), 0)
	}
	m.v.Events.Phase("fetch", len(reqs), size)

	// A failing archive ends the transfers; what has arrived stays in parts.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := newCommitter(m, stop)
	rerr := m.fetcher.Run(ctx, reqs, func(r fetch.Result) { c.settled(wants[r.Request], r) })
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
func (m *mirror) told(w *want) digest.Set {
	for _, d := range m.lost[w.Name] {
		if w.Digests.Compare(d.Digests) == digest.Same {
			return w.Digests.Union(d.Digests)
		}
	}
	return w.Digests
}

// sources are those of all names of a content, each URI once.
func (t *fetching) sources() []catalog.Source {
	if len(t.wants) == 1 {
		return t.wants[0].Sources
	}
	var ss []catalog.Source
	known := make(map[string]bool)
	for _, w := range t.wants {
		for _, s := range w.Sources {
			if !known[s.URI] {
				known[s.URI] = true
				ss = append(ss, s)
			}
		}
	}
	return ss
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
