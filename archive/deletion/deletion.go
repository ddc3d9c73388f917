// Package deletion is the only way out of an archive: what the plan found to be due
// moves to recycle, and what has been there for long enough is purged. Before each
// batch people are asked again, who may have changed the whitelist or the drop box
// since the plan was made.
package deletion

import (
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/archive/views"
	"distkeep/catalog"
)

// Done is what was deleted.
type Done struct {
	Deleted, Purged layout.Count
	// Stay are contents that stay because of trouble with their files.
	Stay []*vault.FileError
}

// Delete moves the contents due to recycle and purges others, and notes the
// repositories that this was decided by.
func Delete(v *vault.Vault, s *survey.Survey, vs *views.Views, due []*ledger.Distfile, purge []*ledger.Recycled) (done Done, err error) {
	for chunk := range slices.Chunk(due, vault.BatchFiles) {
		if err := s.Reread(); err != nil {
			return done, err
		}
		gone, stay, err := v.Recycle.Put(s.Spare(chunk))
		for _, d := range gone {
			done.Deleted.Add(d.Size)
		}
		done.Stay = append(done.Stay, stay...)
		if err != nil {
			return done, err
		}
	}
	if len(purge) > 0 {
		if err := s.Reread(); err != nil {
			return done, err
		}
	}
	purge, err = vs.Unlisted(s.Unmissed(purge))
	if err == nil {
		err = v.Recycle.Purge(purge)
	}
	if err != nil {
		return done, err
	}
	for _, r := range purge {
		done.Purged.Add(r.Size)
	}
	return done, rememberRepos(v, &s.Facts)
}

// rememberRepos notes the repositories of this complete run. One that is
// missing or has shrunk stays as it was until it is retired: a run that deletes
// nothing must not make the next forget.
func rememberRepos(v *vault.Vault, f *plan.Facts) error {
	last := v.Index.Notes.Repositories
	repos := slices.Clone(f.Catalog.Repos)
	for _, l := range last {
		if slices.Contains(f.Retired, l.Name) {
			continue
		}
		if i := slices.IndexFunc(repos, func(r catalog.RepoStats) bool { return r.Name == l.Name }); i < 0 {
			repos = append(repos, l)
		} else if plan.Shrunk(l, repos[i]) {
			repos[i] = l
		}
	}
	if slices.Equal(repos, last) {
		return nil
	}
	var b ledger.Batch
	v.Note(&b, func(n *ledger.Notes) { n.Repositories = repos })
	return v.Commit(&b)
}
