package archive

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"

	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/fetch/failure"
)

// Finds are what a run finds on disk before anything is fetched.
type finds struct {
	mu    sync.Mutex
	count plan.Found
	fits  map[string]bool // the wants of it
}

// Misfits are the files in the places of what is wanted that hold other bytes.
type misfits struct {
	*run
	found map[string]*misfit // by path in the published tree
}

// A misfit is in the place of something wanted, and was as it is here when it was
// found.
type misfit struct {
	*plan.Misfit
	was  fs.FileInfo
	kept string // its path in quarantine
}

// fit counts what was read and is the content that is wanted.
func (f *finds) fit(r *plan.Reading) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fits == nil {
		f.fits = make(map[string]bool)
	}
	if !f.fits[r.Want.ID()] {
		f.fits[r.Want.ID()] = true
		f.count.Add(r)
	}
}

// keep gives what has to leave the places of wanted contents another link,
// in quarantine. The places are left when what belongs there was linked: so no path
// is empty meanwhile for which the archive has the bytes.
func (m *misfits) keep(found []*plan.Misfit) error {
	for _, f := range found {
		if m.found[f.Rel] != nil {
			continue
		}
		src, err := store.Look(m.v.Store.Path(f.Rel))
		if err != nil {
			continue // it has gone by itself
		}
		x := &misfit{Misfit: f, was: src.Was}
		// A file of somebody else cannot be linked: it is moved in the end.
		if x.kept, err = m.v.Store.Quarantine.Keep("wrong."+path.Base(f.Rel), src); err != nil && store.Broken(err) {
			return vault.Damage(err)
		}
		if m.found == nil {
			m.found = make(map[string]*misfit)
		}
		m.found[f.Rel] = x
		m.finds.count.Wrong.Add(f.Size)
	}
	return nil
}

// remove takes what is still in the places of wanted contents out of them.
func (m *misfits) remove() error {
	for _, rel := range slices.Sorted(maps.Keys(m.found)) {
		x := m.found[rel]
		kept, err := m.v.Store.Quarantine.SetAside("wrong."+path.Base(rel), x.was, []string{m.v.Store.Path(rel)})
		m.v.Disk.Look(rel)
		if kept != "" {
			x.kept, m.v.Changed = kept, true
		}
		switch {
		case errors.Is(err, store.ErrStuck):
			w := x.Want
			reason := m.v.Store.Path(rel) + ": " + x.Reason + ", and it has to be moved away by hand: " + err.Error()
			m.fails.Add(&plan.Failing{Key: w.KeyOf("wrong"), Owner: w.Owner(), Class: failure.Local, Reason: reason})
		case err != nil:
			return vault.Damage(err)
		}
		m.sum.AddWrong(report.Wrong{Path: m.v.Store.Path(rel), Name: string(x.Want.Name), Owner: x.Want.Owner(), Size: x.Size, Reason: x.Reason, Kept: x.kept})
	}
	return m.v.Store.SyncRemoved()
}

// tellFound tells what there is of what is wanted, in the first run and in later ones
// that have found something to take over or to take away.
func (m *mirror) tellFound(p *plan.Plan) {
	found := p.Found(m.finds.count)
	m.sum.Found = report.Found(found)
	if found.News(&m.facts.Facts) {
		m.v.Events.Found(m.sum.Found)
	}
	if n := len(p.Unnamed); n > 0 {
		m.v.Warn("files at paths by content that no record explains and no package wants: %d, such as %s: "+
			"distkeep import gives them names that another program knew, distkeep doctor --repair records them without", n, m.v.Store.Path(p.Unnamed[0]))
	}
}
