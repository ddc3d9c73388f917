package archive

import (
	"context"
	"fmt"
	"slices"

	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// DryRun plans a run and changes nothing. Where the archive has files that have
// to be read first, what follows from them is not known yet: then Mirror may do
// less than DryRun says. So it may when a transfer fails, or when a package is
// not signed as it should be, and an index is held back for that.
func DryRun(ctx context.Context, v *vault.Vault, o MirrorOptions) (*report.Summary, []plan.Action, error) {
	m := newMirror(v, o)
	if err := m.newFetcher(); err != nil {
		return nil, nil, err
	}
	defer m.fetcher.Close()
	if err := m.prepare(ctx); err != nil {
		return nil, nil, err
	}
	p := plan.Make(&m.facts.Facts)
	m.unsure = p.Unsure
	e, err := m.planExpiry()
	if err != nil {
		return nil, nil, err
	}
	m.sum.Wanted, m.sum.Held, m.sum.Waiting = p.Wanted, p.Held, len(p.Waiting)
	m.sum.Guard = e.Guard
	views, err := m.viewActions(p)
	if err != nil {
		return nil, nil, err
	}
	return m.sum, slices.Concat(p.Actions(&m.facts.Facts), views, e.Actions(&m.facts.Facts)), nil
}

// viewActions tell what becomes of the indexes of views that are not published
// as they are, or not with all their links.
func (m *mirror) viewActions(p *plan.Plan) (as []plan.Action, err error) {
	known := m.publishedViews()
	absent := make(map[catalog.Name]bool)
	for _, f := range p.Failing {
		absent[f.Key.Name] = true
	}
	for _, w := range p.Waiting {
		absent[w.Name] = true
	}
	err = m.viewers(func(r catalog.Viewer, v *catalog.View) error {
		vw := &viewing{m: m, v: v, repo: r.Name(), known: known}
		why := vw.blocked()
		links := 0
		for _, l := range v.Links {
			ok, err := vw.placed(l.Name)
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
			as = append(as, plan.Action{Do: "hold back", Name: vw.key(), Size: size, Detail: why})
		case !is || links > 0:
			as = append(as, plan.Action{Do: "publish", Name: vw.key(), Size: size, Detail: fmt.Sprintf("%d of %d files are new there", links, len(v.Links))})
		}
		return nil
	})
	return as, err
}
