package archive

import (
	"context"
	"fmt"
	"slices"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// An Action is something that a run would do.
type Action struct {
	// Do is read, link, relink, restore, fetch, fail, wait, publish, hold
	// back, schedule, take back, delete, purge or forget. What is published
	// is the index of a view, under its path.
	Do     string `json:"do"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Detail string `json:"detail,omitempty"`
}

// DryRun plans a run and changes nothing. Where the archive has files that have
// to be read first, what follows from them is not known yet: then Mirror may do
// less than DryRun says. So it may when a transfer fails, or when a package is
// not signed as it should be, and an index is held back for that.
func DryRun(ctx context.Context, v *vault.Vault, o MirrorOptions) (*report.Summary, []Action, error) {
	m := newMirror(v, o)
	if err := m.newFetcher(); err != nil {
		return nil, nil, err
	}
	defer m.fetcher.Close()
	if err := m.prepare(ctx); err != nil {
		return nil, nil, err
	}
	p := makePlan(m.facts)
	m.unsure = p.unsure
	e, err := m.planExpiry()
	if err != nil {
		return nil, nil, err
	}
	m.sum.Wanted, m.sum.Held, m.sum.Waiting = p.wanted, p.held, len(p.waiting)
	m.sum.Guard = e.guard
	views, err := m.viewActions(p)
	if err != nil {
		return nil, nil, err
	}
	return m.sum, slices.Concat(p.actions(m.v.Index), views, m.expiryActions(e)), nil
}

func (p *plan) actions(x *ledger.Index) (as []Action) {
	do := func(what, name string, size int64, detail string) {
		as = append(as, Action{what, name, size, detail})
	}
	for _, r := range p.readings {
		do("read", string(r.name), r.size, r.path)
	}
	for _, d := range p.relink {
		do("relink", string(d.Name), d.Size, "")
	}
	for _, l := range p.links {
		if l.back != nil {
			do("restore", string(l.want.Name), l.back.Size, "")
		} else {
			do("link", string(l.want.Name), l.from.Size, string(l.from.Name))
		}
	}
	for _, f := range p.fetches {
		detail := ""
		if ss := f.sources(); len(ss) > 0 {
			detail = catalog.Redact(ss[0].URI)
		}
		for i, w := range f.wants {
			if i > 0 {
				detail = "with " + string(f.wants[0].Name)
			}
			do("fetch", string(w.Name), w.Size, detail)
		}
	}
	for _, f := range p.failing {
		do("fail", string(f.key.Name), 0, string(f.class)+": "+f.reason)
	}
	for _, w := range p.waiting {
		f := x.Failures[w.failureKey()]
		do("wait", string(w.Name), w.Size, "until "+f.Next.UTC().Format(time.RFC3339)+": "+f.Reason)
	}
	return as
}

// viewActions tell what becomes of the indexes of views that are not published
// as they are, or not with all their links.
func (m *mirror) viewActions(p *plan) (as []Action, err error) {
	known := m.publishedViews()
	absent := make(map[catalog.Name]bool)
	for _, f := range p.failing {
		absent[f.key.Name] = true
	}
	for _, w := range p.waiting {
		absent[w.Name] = true
	}
	err = m.viewers(func(r catalog.Viewer, v *catalog.View) error {
		vw := &viewing{m: m, v: v, repo: r.Name(), known: known}
		why := vw.blocked()
		links := 0
		for _, l := range v.Links {
			_, ok, err := m.v.Store.Stat(vw.rel(l.Name))
			switch {
			case err != nil:
				return err
			case ok:
			case absent[l.Name] && why == "" && !vw.tolerates(l.Name):
				why = string(l.Name) + " is missing"
			}
			if !ok {
				links++
			}
		}
		var size int64
		for _, f := range v.Index {
			size += f.Size
		}
		switch is, err := vw.current(); {
		case err != nil:
			return err
		case why != "":
			as = append(as, Action{"hold back", vw.key(), size, why})
		case !is || links > 0:
			as = append(as, Action{"publish", vw.key(), size, fmt.Sprintf("%d of %d files are new there", links, len(v.Links))})
		}
		return nil
	})
	return as, err
}

// expiryActions are empty when a guard holds: Mirror would do none of them.
func (m *mirror) expiryActions(e *expiry) (as []Action) {
	for _, k := range e.unschedule {
		as = append(as, Action{"take back", string(k.Name), m.v.Index.Deletions[k].Size, ""})
	}
	for _, r := range e.restore {
		as = append(as, Action{"restore", string(r.Name), r.Size, "whitelist"})
	}
	if e.guard != "" || !m.knowsAll() {
		return as
	}
	for _, d := range e.schedule {
		as = append(as, Action{"schedule", string(d.Name), d.Size, d.SHA256().Hex()})
	}
	for _, d := range e.due {
		as = append(as, Action{"delete", string(d.Name), d.Size, d.SHA256().Hex()})
	}
	for _, r := range e.purge {
		as = append(as, Action{"purge", string(r.Name), r.Size, r.SHA256().Hex()})
	}
	return as
}
