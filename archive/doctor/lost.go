package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
)

// bytesOf is about a record none of whose paths has the file that was verified.
func (d *examination) bytesOf(r *ledger.Distfile, rels []string) {
	var wrong []*node // other files
	var same *node    // one of them has the right size
	for _, rel := range rels {
		if f := store.LookAt(d.v.Store.Path(rel)); f.Err != nil {
			d.find(about(FindUnread, r, rel, report.OneLine(f.Err.Error()), ""))
			return
		}
		if n := d.at(rel); n != nil && n.regular() {
			wrong = append(wrong, n)
			if n.size == r.Size {
				same = cmp.Or(same, n)
			}
		}
	}
	source := d.elsewhere(r)
	then := "the next mirror run fetches it if a package wants it"
	if s := d.v.Index.Deletions[r.Key()]; s != nil && !s.Undone {
		then = "no package wants it, and no run fetches it"
	}
	f := about(FindLost, r, "", "its file is gone", "forget it; "+then)
	switch {
	case same != nil:
		f.Kind, f.Path = FindChanged, same.rel
		f.Problem = "the file has another time than the one that was verified"
		f.Remedy = "read it; if it is wrong it goes to quarantine, and " + then
	case len(wrong) > 0:
		f.Kind, f.Path = FindChanged, wrong[0].rel
		f.Problem = fmt.Sprintf("the file has %d bytes, want %d", wrong[0].size, r.Size)
		f.Remedy = "move it to quarantine; " + then
	case source != "":
		f.Remedy = "link it to " + source
	}
	f.fix = func(ctx context.Context) error { return d.recover(ctx, r, wrong, source, f.Problem) }
	d.find(f)
}

// recover finds the content of r among files that may hold it, or elsewhere, or
// forgets r. The files that do not hold it go to quarantine. Nothing is taken for
// the content that was not read.
func (d *examination) recover(ctx context.Context, r *ledger.Distfile, files []*node, source, why string) error {
	var have store.Source
	var paths []string
	for _, n := range files {
		paths = append(paths, d.v.Store.Path(n.rel))
	}
	copies, err := vault.Replicas(paths)
	if err != nil {
		return err
	}
	claimed := slices.ContainsFunc(files, func(n *node) bool { return intact(r, n) })
	for _, c := range copies {
		sums, fi, err := d.v.Store.Hash(ctx, c.Paths[0])
		if err != nil {
			return err
		}
		sum := sums.Get(digest.SHA256)
		if sum == r.SHA256() && fi.Size() == r.Size {
			if have.Path == "" {
				have = store.Source{Path: c.Paths[0], Was: fi, Read: true}
			}
			continue
		}
		if layout.Growing(d.v.Options.Now(), fi.ModTime()) && !r.ModTime.Equal(fi.ModTime()) {
			return fmt.Errorf("%s: %w", c.Paths[0], layout.ErrWriting)
		}
		label := "changed." + r.SHA256().Hex()
		if claimed && !intact(r, d.node("", fi)) {
			label = "unknown." + sum.Hex() // somebody has put it there
		}
		kept, err := d.v.Store.Quarantine.SetAside(label, c.Info, c.Paths)
		if err != nil {
			return err
		}
		if intact(r, d.node("", fi)) {
			d.v.Warn("%s: its SHA256 is %s, want %s: moved to %s", c.Paths[0], sum.Hex(), r.SHA256().Hex(), kept)
		}
		for _, p := range c.Paths {
			d.v.LookAgain(p)
		}
	}
	if have.Path == "" && source != "" {
		switch sums, fi, err := d.v.Store.Hash(ctx, source); {
		case err != nil:
			return err
		case sums.Get(digest.SHA256) == r.SHA256():
			have = store.Source{Path: source, Was: fi, Read: true}
		}
	}
	if have.Path != "" {
		a := &vault.Addition{Entry: *r, Have: have}
		a.Entry.Verified = d.v.Now
		d.links = append(d.links, a)
		return nil
	}
	var b ledger.Batch
	d.v.Lose(&b, r, why)
	return d.v.Commit(&b)
}

// elsewhere returns the absolute path of the content of r under another name or
// in recycle, or "".
func (d *examination) elsewhere(r *ledger.Distfile) string {
	for _, o := range d.v.Index.WithSum(r.SHA256()) {
		rels, _ := d.paths(o)
		for _, rel := range rels {
			if n := d.at(rel); o != r && n != nil && intact(o, n) {
				return d.v.Store.Path(rel)
			}
		}
	}
	for _, o := range d.v.Index.RecycledWith(r.SHA256()) {
		if sized, _, _ := d.v.Recycle.File(o); sized {
			return d.v.Recycle.Path(o)
		}
	}
	return ""
}
