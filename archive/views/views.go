// Package views publishes views: directories of the published tree with an index
// that clients read, such as those of pacman.
//
// The rules that callers may rely on:
//
//   - A client never sees an index whose files are not there: they are durable
//     before the index replaces the old one. A view for which that cannot be is held
//     back, and the old index stays.
//   - What an index names that is still published is kept, see Keep, even if the
//     catalog is beyond it.
//   - An entry leaves a directory only when its content is in recycle and no index
//     names it, and only from directories all of whose indexes are known.
//   - The links of a view are further links to contents of the vault. Their records
//     are in the notes of the ledger, under the path of the index.
//
// Begin reading at Publish; viewing.go has the publication of one view, prune.go
// what leaves again.
package views

import (
	"context"
	"fmt"
	"maps"
	"time"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// Options say what views are published of.
type Options struct {
	// Repositories are those of the run. They have been scanned before any
	// method but Unlisted is called.
	Repositories []catalog.Repository
	// MinFree is how many bytes must stay free.
	MinFree int64
	// PublishMissing puts the index of a view into place although files that
	// it names are missing, when each of them has been for MissingGrace.
	PublishMissing bool
	MissingGrace   time.Duration
	// Failed is told of a content that is not what a view says it is.
	Failed func(d *catalog.Distfile, err error)
}

// Views are those of the repositories of one run.
type Views struct {
	v *vault.Vault
	o Options
	// heldBack are the views, by key, of which the published index is not the one
	// that was scanned.
	heldBack []string
}

// New returns the views of the repositories of o in v.
func New(v *vault.Vault, o Options) *Views {
	return &Views{v: v, o: o}
}

// published are the views that the ledger knows of, for a caller that changes them.
func (vs *Views) published() map[string]ledger.View {
	if vs.v.Index.Notes.Views == nil {
		return make(map[string]ledger.View)
	}
	return maps.Clone(vs.v.Index.Notes.Views)
}

// record notes what is published.
func (vs *Views) record(known map[string]ledger.View) error {
	var b ledger.Batch
	vs.v.Note(&b, func(n *ledger.Notes) { n.Views = maps.Clone(known) })
	return vs.v.Commit(&b)
}

// each calls f with every view.
func (vs *Views) each(f func(r catalog.Viewer, v *catalog.View) error) error {
	for _, r := range vs.o.Repositories {
		if vr, ok := r.(catalog.Viewer); ok {
			for _, v := range vr.Views() {
				if err := f(vr, v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (vs *Views) viewing(r catalog.Viewer, v *catalog.View, known map[string]ledger.View) *viewing {
	return &viewing{vs: vs, v: v, repo: r.Name(), known: known}
}

// Dirs are the directories of the views, and of their pools.
func (vs *Views) Dirs() map[string]bool {
	dirs := make(map[string]bool)
	_ = vs.each(func(_ catalog.Viewer, v *catalog.View) error {
		dirs[v.Dir] = true
		if v.Pool != "" {
			dirs[v.Pool] = true
		}
		return nil
	})
	return dirs
}

// Publish publishes the index of every view whose files are all durable, and says
// what became of each.
func (vs *Views) Publish(ctx context.Context) (done []report.View, err error) {
	known := vs.published()
	claims := make(map[string]*ledger.Distfile)
	err = vs.each(func(r catalog.Viewer, v *catalog.View) error {
		p := vs.viewing(r, v, known)
		p.claims = claims
		if err := p.publish(ctx); err != nil {
			return err
		}
		done = append(done, report.View{
			Repo: r.Name(), Index: p.key(), Files: len(v.Links), State: p.state, Why: p.why, Missing: p.without,
		})
		if p.state == report.ViewHeldBack {
			vs.heldBack = append(vs.heldBack, p.key())
			vs.v.Warn("%s is held back: %s", p.key(), p.why)
		}
		if len(p.without) > 0 {
			vs.v.Warn("%s is published %s", p.key(), p.why)
		}
		return nil
	})
	return done, err
}

// HoldBack looks at the views without publishing them: Prune leaves the directories
// alone whose published index is not the one that was scanned.
func (vs *Views) HoldBack() error {
	known := vs.published()
	return vs.each(func(r catalog.Viewer, v *catalog.View) error {
		p := vs.viewing(r, v, known)
		is, err := p.current()
		if err == nil && !is {
			vs.heldBack = append(vs.heldBack, p.key())
		}
		return err
	})
}

// Keep adds to kept the contents that an index names which is still
// published although the catalog is beyond it. When that cannot be told, it
// returns why nothing may be deleted.
func (vs *Views) Keep(kept map[*ledger.Distfile]bool) (unknown string, err error) {
	known := vs.published()
	err = vs.each(func(r catalog.Viewer, v *catalog.View) error {
		p := vs.viewing(r, v, known)
		if _, ok, err := vs.v.Store.Views.Stat(p.key()); err != nil || !ok {
			return err
		}
		if is, err := p.published(known[p.key()].Index[p.key()], v.Names()); err != nil || is {
			return err
		}
		named, err := r.Named(vs.v.Store.Path(p.key()))
		if err != nil {
			unknown = fmt.Sprintf("the published %s cannot be read, so that it is not known what it names: %v", p.key(), err)
			return nil
		}
		for _, w := range named {
			for _, d := range vs.v.Index.ByName(w.Name) {
				if d.Satisfies(w) {
					kept[d] = true
				}
			}
		}
		return nil
	})
	return unknown, err
}

// Actions tell what becomes of the indexes of views that are not published
// as they are, or not with all their links, when the distfiles of those names
// stay away.
func (vs *Views) Actions(absent map[catalog.Name]bool) (as []plan.Action, err error) {
	known := vs.published()
	err = vs.each(func(r catalog.Viewer, v *catalog.View) error {
		vw := vs.viewing(r, v, known)
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
