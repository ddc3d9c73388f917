package archive

import (
	"slices"

	"distkeep/archive/plan"
)

// choose leaves of the transfers of p those that may be made in this run.
func (m *mirror) choose(p *plan.Plan) {
	if m.o.Only == nil {
		return
	}
	p.Fetches = slices.DeleteFunc(p.Fetches, func(f *plan.Fetching) bool {
		if slices.ContainsFunc(f.Wants, func(w *plan.Want) bool { return m.o.Only(w.Distfile) }) {
			return false
		}
		for _, w := range f.Wants {
			m.fails.Waits(w)
		}
		return true
	})
}
