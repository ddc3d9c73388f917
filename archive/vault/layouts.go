package vault

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog/regular"
)

// layouts decides by which layouts contents are published, and which former ones
// may still have links. A layout that keeps its paths gets those of new files as
// well: whoever has read an older layout.conf asks for them there.
func (v *Vault) layouts() (use layout.Conf, former []layout.Layout) {
	n := &v.Index.Notes
	use = v.Listed
	if c := n.Change; c != nil && c.Follows(v.Listed) {
		for _, l := range c.To {
			if v.Relayout || slices.Contains(n.Layouts, l) {
				use = layout.Join(use, []layout.Layout{l})
			}
		}
	}
	v.Leaving = make(map[layout.Layout]time.Time)
	for _, l := range layout.Join(n.Layouts, n.Begun) {
		if slices.Contains(use, l) {
			continue
		}
		until, noted := n.Leaving[l]
		if !noted {
			until = v.Now.Add(v.LayoutGrace)
		}
		// Only the run that removes its links ends a grace: until then none is missing.
		if until.IsZero() || v.Relayout && !until.After(v.Now) {
			v.Leaving[l], former = time.Time{}, append(former, l)
			continue
		}
		with := layout.Join(use, []layout.Layout{l})
		if d := v.Refused(use, with); d != nil {
			v.Warn("layout %s keeps no paths: %v", l, with.Check(d.Name))
			v.Leaving[l], former = time.Time{}, append(former, l)
			continue
		}
		v.Leaving[l], use = until, with
	}
	return use, former
}

// Refused returns a record whose name the layouts use allow and the layouts with do
// not, or nil.
func (v *Vault) Refused(use, with layout.Conf) *ledger.Distfile {
	for _, d := range v.Index.Distfiles {
		if d.Named && with.Check(d.Name) != nil && use.Check(d.Name) == nil {
			return d
		}
	}
	return nil
}

// Unlinked counts the files that a client finds by the layouts of layout.conf and
// would not find by those of to.
func (v *Vault) Unlinked(to layout.Conf) (n int) {
	at := func(d *ledger.Distfile, l layout.Layout) bool {
		rel := d.Path(l)
		return rel != "" && v.Shelf.Intact(&d.Content, rel)
	}
	for _, d := range v.Index.Distfiles {
		if d.Named && slices.ContainsFunc(v.Listed, func(l layout.Layout) bool { return at(d, l) }) &&
			slices.ContainsFunc(to, func(l layout.Layout) bool { return !at(d, l) }) {
			n++
		}
	}
	return n
}

// List makes layout.conf list conf.
func (v *Vault) List(conf layout.Conf) error {
	if slices.Equal(conf, v.Listed) {
		return nil
	}
	old, err := regular.Read(v.Store.Path("layout.conf"), 1<<20)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeConf(v.Store, conf.Edit(old)); err != nil {
		return err
	}
	v.Listed, v.Changed = conf, true
	v.Shelf.Layouts = layout.Join(conf, v.Shelf.Layouts)
	v.Store.PublishBy(v.Shelf.Layouts)
	return nil
}
