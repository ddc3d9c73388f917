// Package relayout changes the layouts of an archive without a path that is missing:
// Set begins it, and runs go on with it.
package relayout

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
)

// Set begins to change the layouts of the archive to those of to, and gives
// up a change that is under way. When no file has to get a link for it, layout.conf
// lists them at once. Otherwise the runs of Mirror go on with it: they make the
// links, list what is new behind what is there, and give layout.conf the order of to
// when the grace of the run that did so is over. An error that vault.Broken does not
// know means that nothing was changed.
func Set(ctx context.Context, v *vault.Vault, to layout.Conf) error {
	if err := v.Load(ctx); err != nil {
		return err
	}
	return set(v, to)
}

// Drop is Set to what the archive has, or will have when a change is
// under way, without some of them.
func Drop(ctx context.Context, v *vault.Vault, drop []layout.Layout) error {
	if err := v.Load(ctx); err != nil {
		return err
	}
	to := slices.Clone(v.Listed)
	if c := v.Index.Notes.Change; c != nil && c.Follows(v.Listed) {
		to = slices.Clone(c.To)
	}
	for _, l := range drop {
		i := slices.Index(to, l)
		if i < 0 {
			return fmt.Errorf("layout %s is not one of the archive", l)
		}
		to = slices.Delete(to, i, i+1)
	}
	if len(to) == 0 {
		return fmt.Errorf("an archive needs a layout: distkeep layout set gives it another one")
	}
	return set(v, to)
}

func set(v *vault.Vault, to layout.Conf) error {
	n := &v.Index.Notes
	if len(n.Layouts) == 0 {
		return fmt.Errorf("%w: run distkeep mirror first, or give the layouts of an archive without files to distkeep init", report.ErrNoRun)
	}
	if err := acceptable(v, to); err != nil {
		return err
	}
	next := &layout.Change{From: v.Listed, To: to}
	fresh := slices.ContainsFunc(to, func(l layout.Layout) bool { return !slices.Contains(v.Listed, l) })
	if n.Change != nil && n.Change.Follows(v.Listed) && !fresh {
		next.Due = n.Change.Due // what is listed last is not older for being named again
	}
	if !fresh && next.Due.IsZero() && v.Unlinked(to) == 0 || len(v.Index.Distfiles) == 0 || slices.Equal(to, v.Listed) {
		if err := v.List(to); err != nil {
			return vault.Damage(err)
		}
		next = nil
	}
	// The next run decides for how long what is dropped stays.
	v.Leaving = maps.Clone(n.Leaving)
	maps.DeleteFunc(v.Leaving, func(l layout.Layout, _ time.Time) bool { return slices.Contains(to, l) })
	if err := Note(v, next); err != nil {
		return err
	}
	return export.Refresh(v, "layout")
}

// acceptable returns an error when to would bar the way of a file, or hide it from
// clients.
func acceptable(v *vault.Vault, to layout.Conf) error {
	use := v.Store.Layouts()
	with := layout.Join(use, to)
	if d := v.Refused(use, with); d != nil {
		return fmt.Errorf("beside those in use: %w", with.Check(d.Name))
	}
	if slices.ContainsFunc(to, func(l layout.Layout) bool {
		a, byContent := l.Algorithm()
		return !byContent || a == digest.BLAKE2B || a == digest.SHA512
	}) {
		return nil
	}
	return fmt.Errorf("a client whose Manifest has no %s asks by none of these layouts: list flat or a filename-hash layout behind them", to.Algorithms()[0])
}

// Move goes one step further with a change of the layouts, when every file
// has its links.
func Move(v *vault.Vault) error {
	c := v.Index.Notes.Change
	if c == nil || v.Unlinked(c.To) > 0 {
		return nil
	}
	conf, next := c.Next(v.Now, v.LayoutGrace)
	for _, l := range v.Listed {
		if !slices.Contains(conf, l) {
			v.Leaving[l] = v.Now.Add(v.LayoutGrace)
		}
	}
	if err := v.List(conf); err != nil {
		return vault.Damage(err)
	}
	return Note(v, next)
}

// Begin records by which layouts the run publishes, before it makes a link
// by one of them. A change ends when somebody has written another layout.conf.
func Begin(v *vault.Vault) error {
	n := &v.Index.Notes
	c := n.Change
	if c != nil && !c.Follows(v.Listed) {
		v.Warn("layout.conf was changed by hand: the change of the layouts is given up")
		c = nil
	}
	if len(n.Layouts) > 0 {
		return Note(v, c)
	}
	// No run has come to its end, nor could a change begin.
	var b ledger.Batch
	v.Note(&b, func(n *ledger.Notes) { n.Begun = layout.Join(n.Begun, v.Shelf.Layouts) })
	return v.Commit(&b)
}

// Note records the layouts that files may have links for, and what becomes of
// them.
func Note(v *vault.Vault, c *layout.Change) error {
	layouts := slices.Concat([]layout.Layout(v.Shelf.Layouts), v.Shelf.Former)
	v.Changed = v.Changed || !slices.Equal(layouts, v.Index.Notes.Layouts)
	leaving := maps.Clone(v.Leaving)
	maps.DeleteFunc(leaving, func(l layout.Layout, _ time.Time) bool { return !slices.Contains(layouts, l) })
	var b ledger.Batch
	v.Note(&b, func(n *ledger.Notes) { n.Layouts, n.Begun, n.Leaving, n.Change = layouts, nil, leaving, c })
	return v.Commit(&b)
}
