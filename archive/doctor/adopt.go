package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// An adoptee is a file that is read in order to record it.
type adoptee struct {
	path  string
	size  int64
	name  catalog.Name
	named bool
	// bare: directories in front of the name are not known.
	bare bool
	kind catalog.Kind
	// sum is what it must be, because its path says so, or zero.
	sum digest.Digest
	// recycled: it is in recycle, since then.
	recycled bool
	since    time.Time
}

// hints are what the last run exported. They are only used for contents that
// were read.
type hints struct {
	distfiles map[ledger.Key]*report.Distfile
	names     map[digest.Digest][]catalog.Name
	deletions map[ledger.Key]*report.Deletion
	// unwanted is what history knows, and scheduled says that it has to do for
	// the deletions, whose export is lost.
	unwanted  map[ledger.Key]time.Time
	scheduled bool
	// last is the summary of the last run, or nil.
	last *report.Summary
}

// loadHints reads what there is of the exports and of history. What cannot be
// read is found elsewhere.
func loadHints(v *vault.Vault) *hints {
	h := &hints{
		distfiles: make(map[ledger.Key]*report.Distfile), names: make(map[digest.Digest][]catalog.Name),
		deletions: make(map[ledger.Key]*report.Deletion), unwanted: make(map[ledger.Key]time.Time),
	}
	dir := v.Store.ReportDir()
	keyOf := func(name, sum string) ledger.Key {
		k := ledger.Key{Name: catalog.Name(name)}
		k.SHA256, _ = digest.Parse(digest.SHA256, sum)
		return k
	}
	ds, _ := report.LoadDistfiles(dir)
	for i, x := range ds {
		k := keyOf(x.Name, x.SHA256)
		h.distfiles[k] = &ds[i]
		h.names[k.SHA256] = append(h.names[k.SHA256], k.Name)
	}
	xs, err := report.LoadDeletions(dir)
	h.scheduled = err != nil
	for i, x := range xs {
		h.deletions[keyOf(x.Name, x.SHA256)] = &xs[i]
	}
	records, _ := history.LoadHistory(v.Store.Path("history"))
	for _, r := range records {
		h.unwanted[ledger.Key{Name: r.Name, SHA256: r.SHA256}] = r.Time
	}
	var s report.Summary
	if report.LoadStatus(dir, &s) == nil && s.Command == "mirror" {
		h.last = &s
	}
	return h
}

// A recorder reads what findings want read, and records it.
type recorder struct {
	v     *vault.Vault
	hints *hints // loaded once they are needed
}

// scheduledSince is when a content was found to be unwanted, or zero.
func (h *hints) scheduledSince(k ledger.Key) time.Time {
	if x := h.deletions[k]; x != nil && x.State == report.Scheduled {
		return x.Since
	}
	if h.scheduled {
		return h.unwanted[k]
	}
	return time.Time{}
}

// wholeName is the name of a content, of which only the last component is
// known.
func (h *hints) wholeName(a *adoptee, sum digest.Digest) catalog.Name {
	if !a.bare || h.distfiles[ledger.Key{Name: a.name, SHA256: sum}] != nil {
		return a.name
	}
	for _, n := range h.names[sum] {
		if n, err := catalog.ParsePath(string(n)); err == nil && n.Base() == string(a.name) {
			return n
		}
	}
	return a.name
}

// algorithms are the digests to compute of a.
func (r *recorder) algorithms(a *adoptee) []digest.Algorithm {
	algs := r.v.Store.Layouts().Algorithms()
	known := r.hints.distfiles[ledger.Key{Name: a.name, SHA256: a.sum}]
	if known == nil {
		return append(algs, digest.Usual...)
	}
	for name := range known.Digests {
		if alg, ok := digest.ParseAlgorithm(name); ok {
			algs = append(algs, alg)
		}
	}
	return algs
}

// An adopted file was read.
type adopted struct {
	*adoptee
	of   *Finding
	sums digest.Set
	fi   fs.FileInfo
	err  error
}

// adoptAll reads the files that findings want read, several at once, and
// records them in batches.
func (r *recorder) adoptAll(ctx context.Context, findings []*Finding) error {
	var todo []*adopted
	var total layout.Count
	for _, f := range findings {
		for _, a := range f.adopt {
			todo = append(todo, &adopted{adoptee: a, of: f})
			total.Add(a.size)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	if r.hints == nil {
		r.hints = loadHints(r.v)
	}
	r.v.Events.Phase("read", total.Files, total.Bytes)
	for chunk := range slices.Chunk(todo, vault.BatchFiles) {
		g := new(errgroup.Group)
		g.SetLimit(runtime.GOMAXPROCS(0))
		for _, a := range chunk {
			g.Go(func() error {
				a.sums, a.fi, a.err = r.v.Store.Hash(ctx, a.path, r.algorithms(a.adoptee)...)
				r.v.Events.Read(int(a.size))
				r.v.Events.Checked(string(a.name), a.size, "")
				return nil
			})
		}
		_ = g.Wait() // errors are noted with the files
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.adoptChunk(chunk); err != nil {
			return err
		}
	}
	return r.adoptMeta()
}

// adoptChunk records files that were read.
func (r *recorder) adoptChunk(chunk []*adopted) error {
	var adds []*vault.Addition
	var b ledger.Batch
	for _, a := range chunk {
		sum := a.sums.Get(digest.SHA256)
		switch {
		case errors.Is(a.err, fs.ErrNotExist):
		case a.err != nil && store.Broken(a.err):
			return vault.Damage(a.err)
		case a.err != nil:
			a.of.Error = report.OneLine(a.err.Error())
		case !a.sum.IsZero() && a.sum != sum:
			if _, err := r.v.Store.Quarantine.SetAside("unknown."+sum.Hex(), a.fi, []string{a.path}); errors.Is(err, store.ErrStuck) {
				a.of.Error = report.OneLine(err.Error())
			} else if err != nil {
				return err
			}
			r.v.LookAgain(a.path)
		case a.recycled:
			e := r.entry(a, sum)
			e.ModTime = a.fi.ModTime().UTC()
			rec := &ledger.Recycled{Distfile: *e, Since: a.since}
			if x := r.hints.deletions[e.Key()]; x != nil && x.State == report.Recycled && x.Since.Before(r.v.Now) {
				rec.Since = x.Since
			}
			r.v.Changed = true
			b.PutRecycled(rec)
		default:
			adds = append(adds, &vault.Addition{Entry: *r.entry(a, sum), Have: store.Source{Path: a.path, Was: a.fi, Read: true}})
		}
	}
	if len(adds) > 0 {
		if err := r.v.Commit(&b); err != nil {
			return err
		}
		if err := r.v.Publish(adds, nil); err != nil {
			return err
		}
	}
	for _, a := range adds {
		k := a.Entry.Key()
		since := r.hints.scheduledSince(k)
		if a.Err != nil || since.IsZero() || since.After(r.v.Now) || r.v.Index.Deletions[k] != nil {
			continue
		}
		b.PutDeletion(&ledger.Deletion{Key: k, Since: since, Owner: a.Entry.Owner, Size: a.Entry.Size})
	}
	return r.v.Commit(&b)
}

// entry makes the record of a file that was read.
func (r *recorder) entry(a *adopted, sum digest.Digest) *ledger.Distfile {
	e := &ledger.Distfile{
		Content: layout.Content{Name: r.hints.wholeName(a.adoptee, sum), Digests: a.sums, Size: a.fi.Size(), Named: a.named, Kind: a.kind},
		Origin:  ledger.OriginAdopted, Added: r.added(a, sum), Verified: r.v.Now,
	}
	if x := r.hints.distfiles[e.Key()]; x != nil {
		e.Owner, e.Origin, e.Added = x.Owner, x.Origin, x.Added
		if e.Kind == "" {
			e.Kind = catalog.Kind(x.Kind)
		}
	}
	if old := r.v.Index.Distfiles.Get(e.Key()); old != nil && !a.recycled {
		named := e.Named || old.Named
		*e = *old
		e.Digests, e.Named, e.Verified = old.Digests.Union(a.sums), named, r.v.Now
	}
	if old := r.v.Index.Named(e.Name); old != nil && old.Key() != e.Key() && e.Named {
		e.Named = false // the name is taken; this content is kept by its digest
	}
	return e
}

// added is the earliest time at which the archive is known to have had a file:
// it was written then, or history had it then.
func (r *recorder) added(a *adopted, sum digest.Digest) time.Time {
	t := r.v.Now
	if m := a.fi.ModTime().UTC().Truncate(time.Second); m.Before(t) {
		t = m
	}
	if h, ok := r.hints.unwanted[ledger.Key{Name: a.name, SHA256: sum}]; ok && h.Before(t) {
		t = h
	}
	return t
}

// adoptMeta restores the record of the last run, and what guards deletions from a
// tree that went missing.
func (r *recorder) adoptMeta() error {
	last := r.hints.last
	if last == nil {
		return nil
	}
	var b ledger.Batch
	runs, err := r.v.Ledger().Runs(1)
	if err != nil {
		return vault.Damage(err)
	}
	if len(runs) == 0 {
		text, err := json.Marshal(last)
		if err != nil {
			return err
		}
		b.PutRun(&ledger.Run{Start: last.Start, Summary: text})
	}
	if len(r.v.Index.Notes.Repositories) == 0 && last.Complete && last.Guard == "" {
		r.v.Note(&b, func(n *ledger.Notes) { n.Repositories = last.Repositories })
	}
	return r.v.Commit(&b)
}
