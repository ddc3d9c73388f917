package archive

import (
	"context"
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
	v.Looks = true
	m, err := prepare(ctx, v, o)
	if err != nil {
		return nil, nil, err
	}
	defer m.close()
	p := plan.Make(&m.facts.Facts)
	m.expiry.unsure = p.Unsure
	e, err := m.expiry.plan(ctx)
	if err != nil {
		return nil, nil, err
	}
	m.sum.Wanted, m.sum.Held, m.sum.Waiting, m.sum.Conflicts = p.Wanted, p.Held, len(p.Waiting), p.Conflicts
	m.sum.Guard = e.Guard
	m.coming(p)
	ofViews, err := m.views.Actions(absent(p))
	if err != nil {
		return nil, nil, err
	}
	found := p.Found(plan.Found{})
	m.sum.Found = report.Found(found)
	var news []plan.Action
	if found.News(&m.facts.Facts) {
		news = found.Actions()
	}
	return m.sum, slices.Concat(news, p.Actions(&m.facts.Facts), ofViews, e.Actions(&m.facts.Facts)), nil
}

// absent are the names that a run of p alone does not bring.
func absent(p *plan.Plan) map[catalog.Name]bool {
	names := make(map[catalog.Name]bool)
	for _, f := range p.Failing {
		names[f.Key.Name] = true
	}
	for _, w := range p.Waiting {
		names[w.Name] = true
	}
	return names
}
