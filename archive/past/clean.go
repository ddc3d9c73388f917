package past

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"distkeep/archive/deletion"
	"distkeep/archive/export"
	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/lists"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/archive/views"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/whitelist"
)

// CleanOptions say what Clean may delete. Repositories, Whitelist,
// Local, MaxDelete and Retired are those of MirrorOptions.
type CleanOptions struct {
	Repositories []catalog.Repository
	Whitelist    func() (*whitelist.List, error)
	Local        string
	MaxDelete    float64
	Retired      []string
	// Before is for how long the history must have had a content.
	Before time.Duration
	// Purge allows to remove from recycle what has been there for
	// RecycleDelay. An archive that Mirror deletes from does not need it.
	Purge        bool
	RecycleDelay time.Duration
	// DryRun changes nothing and tells what would be done in Actions.
	DryRun bool
}

// A CleanSummary says what Clean did. Lines, New and Back are about the
// scan, before lines were dropped.
type CleanSummary struct {
	Summary
	// Deleted went to recycle, Purged left it. Dropped is the number of lines
	// that went: those of what was deleted, and of what was gone before.
	Deleted layout.Count `json:"deleted"`
	Purged  layout.Count `json:"purged"`
	Dropped int          `json:"dropped"`
	// Kept are the lines that are old enough and stay, with their files.
	Kept []KeptLine `json:"kept,omitempty"`
	// Damaged are those whose files are not what the lines say, or cannot be read:
	// they stay, for Verify to look after.
	Damaged []KeptLine `json:"damaged,omitempty"`
	// Guard is why nothing was deleted although it was allowed.
	Guard   string        `json:"guard,omitempty"`
	Actions []plan.Action `json:"actions,omitempty"`
}

// A KeptLine is a line of history that stays.
type KeptLine struct {
	Name   catalog.Name `json:"name"`
	SHA256 string       `json:"sha256"`
	Since  time.Time    `json:"since"`
	Why    string       `json:"why"`
}

// Clean scans as Update does and then deletes what the history has
// had for o.Before, as OpenBSD's clean-old-distfiles does, and of the lines.
//
// Like that program it works from the lines of history, keeps the names on a
// list of exceptions, here the whitelist, with their lines, and removes a file
// only when its bytes have the SHA256 of the line. It differs where that would
// lose something:
//
//   - The history says what nobody wanted when it was written. So that what is
//     wanted again since does not go, the repositories are scanned first, and
//     nothing is deleted, nor any line changed, if that scan has a problem.
//   - Everything that stops the deletions of Mirror stops these: a repository
//     that is missing or has shrunk, more than MaxDelete at once, a wrong
//     clock, the drop box, a name that was taken off the schedule by hand, a
//     published index that still names the file.
//   - Contents move to recycle, on the way of Mirror's deletions. What the
//     ledger does not know cannot, and stays until a run has taken it over.
//   - The files below by_cipher are read as well: they are not trusted.
//   - A line whose file does not match stays with the file.
//
// The line of a content that the archive does not have is dropped. Damage and
// guards are in the summary, not in the error, which is that of Mirror.
func Clean(ctx context.Context, v *vault.Vault, o CleanOptions) (*CleanSummary, error) {
	facts, err := survey.Make(ctx, v, survey.Options{
		Repositories: o.Repositories, Whitelist: o.Whitelist, Local: o.Local,
		Options: plan.Options{MaxDelete: o.MaxDelete, Retired: o.Retired, DeletionDelay: o.Before, RecycleDelay: o.RecycleDelay},
	})
	if err != nil {
		return nil, err
	}
	c := &cleaning{
		v: v, o: o, facts: facts, lists: lists.New(v, &facts.Facts), views: views.New(v, views.Options{Repositories: o.Repositories}),
		sum: &CleanSummary{Summary: *newSummary(facts.Catalog)},
	}
	if !c.sum.Complete {
		return c.sum, c.sum.stays(v)
	}
	if !o.DryRun {
		// What is not ended yet is a failure of the next run.
		if _, err := v.Recycle.Mend(); err != nil {
			return nil, err
		}
	}
	if err := c.plan(ctx); err != nil {
		return nil, err
	}
	if o.DryRun {
		c.preview()
		return c.sum, nil
	}
	return c.sum, c.clean()
}

// A cleaning is one run of Clean.
type cleaning struct {
	v     *vault.Vault
	o     CleanOptions
	facts *survey.Survey
	lists *lists.Lists
	views *views.Views
	sum   *CleanSummary
	old   []history.Record // the file
	next  []history.Record // what the scan makes of it
	// gone are the records of next whose lines go: their contents are due, or
	// are not in the archive.
	gone   map[ledger.Key]bool
	claims *vault.Claims
	due    []*ledger.Distfile
	purge  []*ledger.Recycled
}

// plan decides what goes. It changes nothing.
func (c *cleaning) plan(ctx context.Context) (err error) {
	if c.old, c.next, err = c.lists.Next(true); err != nil {
		return err
	}
	c.sum.count(c.old, c.next)
	c.gone, c.claims = make(map[ledger.Key]bool), c.v.Claims()
	c.facts.Viewed = make(map[*ledger.Distfile]bool)
	viewed, err := c.views.Keep(c.facts.Viewed)
	if err != nil {
		return err
	}
	var due layout.Count
	var old []history.Record
	wishes := c.facts.Wishes()
	for _, r := range c.next {
		if !ledger.Elapsed(c.v.Now, r.Time, c.o.Before) {
			continue
		}
		if why := c.keeps(r, wishes); why != "" {
			c.sum.Kept = append(c.sum.Kept, keptLine(r, why))
			continue
		}
		old = append(old, r)
		if d := c.v.Index.Distfiles.Get(recordKey(r)); d != nil {
			due.Add(d.Size)
		}
	}
	guard := c.facts.Guard(due)
	if c.sum.Guard = cmp.Or(guard, viewed); c.sum.Guard != "" {
		return nil
	}
	if c.o.Purge {
		c.purge = c.facts.Purgeable()
	}
	c.v.Events.Phase("read", due.Files, due.Bytes)
	for _, r := range old {
		if err := c.check(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func keptLine(r history.Record, why string) KeptLine {
	return KeptLine{r.Name, r.SHA256.Hex(), r.Time, why}
}

// keeps returns why the content of a line stays, or "".
func (c *cleaning) keeps(r history.Record, wishes *plan.Wishes) string {
	x := c.v.Index
	d := x.Distfiles.Get(recordKey(r))
	switch s := x.Deletions[recordKey(r)]; {
	case c.facts.Whitelisted(r.Name):
		return "it is on the whitelist"
	case d == nil && c.unknown(r):
		return "the archive does not know its file yet: distkeep mirror takes it over"
	case d == nil:
		return ""
	case c.facts.InDropBox(d):
		return "it is in distfiles-local"
	case wishes.Keeps(d):
		return "its name is wanted, or a published index names it"
	case s != nil && s.Holds(c.v.Now, c.o.Before):
		return "it was taken off the schedule at " + s.Since.Format(time.RFC3339)
	}
	return ""
}

// unknown reports whether there is a file at a path of a line for which the
// ledger has no record.
func (c *cleaning) unknown(r history.Record) bool {
	x := c.v.Index
	sums, _ := digest.NewSet(r.SHA256)
	k := &ledger.Distfile{Content: layout.Content{Name: r.Name, Digests: sums, Kind: catalog.OpenBSD}} // with both spellings
	known := c.claims.Keeper(k)
	ct := &k.Content
	rels := ct.CipherPaths()
	if x.Named(r.Name) == nil {
		for _, l := range c.v.Store.Layouts() {
			rels = append(rels, k.Path(l))
		}
	}
	return slices.ContainsFunc(rels, func(rel string) bool {
		fi, err := os.Lstat(c.v.Store.Path(rel))
		return rel != "" && err == nil && fi.Mode().IsRegular() && !known(rel)
	})
}

// check reads the files of a line that is old enough.
func (c *cleaning) check(ctx context.Context, r history.Record) error {
	d := c.v.Index.Distfiles.Get(recordKey(r))
	if d == nil {
		c.gone[recordKey(r)] = true
		return nil
	}
	copies, err := vault.Replicas(c.v.PathsOf(d))
	if err != nil {
		return c.unread(ctx, r, err)
	}
	if len(copies) == 0 {
		c.sum.Kept = append(c.sum.Kept, keptLine(r, "its file is gone: distkeep mirror forgets it"))
		return nil
	}
	for _, f := range copies {
		wrong, err := f.Compare(ctx, d.SHA256(), d.Size, func(_ context.Context, n int) error {
			c.v.Events.Read(n)
			return nil
		})
		if err != nil {
			return c.unread(ctx, r, err)
		}
		c.v.Events.Checked(string(d.Name), d.Size, wrong)
		if wrong != "" {
			c.sum.Damaged = append(c.sum.Damaged, keptLine(r, f.Paths[0]+": "+wrong))
			return nil
		}
	}
	fresh := *d // as Verify leaves it
	fresh.Verified, fresh.ModTime = c.v.Now, copies[0].Info.ModTime().UTC()
	c.due = append(c.due, &fresh)
	c.gone[recordKey(r)] = true
	return nil
}

// unread keeps a line whose file cannot be read. Its error ends the run.
func (c *cleaning) unread(ctx context.Context, r history.Record, err error) error {
	if ctx.Err() != nil || store.Broken(err) {
		return err
	}
	c.sum.Damaged = append(c.sum.Damaged, keptLine(r, "it cannot be read: "+report.OneLine(err.Error())))
	return nil
}

// preview makes the actions.
func (c *cleaning) preview() {
	add := func(do, name string, size int64, detail string) {
		c.sum.Actions = append(c.sum.Actions, plan.Action{Do: do, Name: name, Size: size, Detail: detail})
	}
	due := make(map[ledger.Key]bool)
	for _, d := range c.due {
		due[d.Key()] = true
		add("delete", string(d.Name), d.Size, d.SHA256().Hex())
	}
	for _, r := range c.purge {
		add("purge", string(r.Name), r.Size, r.SHA256().Hex())
	}
	for _, r := range c.next {
		if k := recordKey(r); c.gone[k] && !due[k] {
			add("forget", string(r.Name), 0, r.SHA256.Hex())
		}
	}
}

// clean carries out the plan. The line of a content goes last: a run that is
// killed leaves it to the next.
func (c *cleaning) clean() error {
	if err := c.lists.WriteHistory(c.old, c.next); err != nil {
		return err
	}
	var b ledger.Batch
	c.v.Note(&b, func(n *ledger.Notes) { plan.NoteClock(n, c.v.Now) })
	if err := c.v.Commit(&b); err != nil {
		return err
	}
	err := c.delete()
	if err = errors.Join(err, export.Refresh(c.v, "history --clean")); err != nil || c.sum.Guard != "" {
		return err
	}
	return c.lists.MarkTrue()
}

func (c *cleaning) delete() error {
	if c.sum.Guard != "" {
		return nil
	}
	c.v.Events.Phase("expire", len(c.due), 0)
	done, err := deletion.Delete(c.v, c.facts, c.views, c.due, c.purge)
	c.sum.Deleted, c.sum.Purged = done.Deleted, done.Purged
	if err != nil {
		return err
	}
	if err := c.views.HoldBack(); err != nil {
		return err
	}
	if err := c.views.Prune(func(string) bool { return false }); err != nil {
		return err
	}
	return c.publish()
}

// publish writes the lists beside the distfiles. distinfo comes before history:
// what stands in it without being wanted gets a line.
func (c *cleaning) publish() error {
	if c.v.Changed || c.v.Index.Notes.Changed { // by a run that was killed
		if err := export.WriteDistinfo(c.v); err != nil {
			return err
		}
		if err := c.lists.Stamp("lastupdate"); err != nil {
			return err
		}
	}
	rest := slices.DeleteFunc(slices.Clone(c.next), func(r history.Record) bool {
		k := recordKey(r)
		return c.gone[k] && c.v.Index.Distfiles.Get(k) == nil && !c.facts.Whitelisted(r.Name) // not spared at the last moment
	})
	c.sum.Dropped = len(c.next) - len(rest)
	return c.lists.WriteHistory(c.next, rest)
}
