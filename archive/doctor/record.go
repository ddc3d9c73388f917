package doctor

import (
	"context"
	"path"
	"slices"
	"sync"

	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
)

// paths are those that r should have, and what keeps it from having one in
// every layout.
func (d *examination) paths(r *ledger.Distfile) ([]string, error) {
	c := &r.Content
	rels, err := d.v.Store.Layouts().Paths(c)
	if err == nil {
		return rels, nil
	}
	rels = c.CipherPaths()
	if d.v.Store.Layouts().Check(r.Name) == nil {
		for _, l := range d.v.Store.Layouts() {
			if p := r.Path(l); p != "" {
				rels = append(rels, p)
			}
		}
	}
	return rels, err
}

// claim notes which records should have the paths that there are, and which files are at
// paths of several contents.
func (d *examination) claim() {
	d.torn = make(map[inode]bool)
	rs := d.v.Index.Distfiles
	holds := make(map[inode]*ledger.Distfile, len(rs))
	for i, r := range rs {
		rels, _ := d.paths(r)
		for _, rel := range rels {
			n := d.at(rel)
			if n == nil {
				continue
			}
			if n.claims == nil {
				n.claims = rs[i : i+1 : i+1] // most have but one
			} else {
				n.claims = append(n.claims, r)
			}
			if !intact(r, n) {
				continue
			}
			if o := holds[n.inode]; o != nil && o.SHA256() != r.SHA256() {
				d.torn[n.inode] = true
			}
			holds[n.inode] = r
		}
	}
}

// twice finds names that two of the records, which are in order, have. The one whose file is there keeps
// it.
func (d *examination) twice(records []*ledger.Distfile) {
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].Name == records[0].Name {
			n++
		}
		rs := records[:n:n]
		if records = records[n:]; n == 1 {
			continue
		}
		rs = slices.DeleteFunc(slices.Clone(rs), func(r *ledger.Distfile) bool { return !r.Named })
		if len(rs) < 2 {
			continue
		}
		keeps := slices.IndexFunc(rs, func(r *ledger.Distfile) bool {
			p := r.Path(d.v.Store.Layouts()[0])
			n := d.at(p)
			return p != "" && n != nil && intact(r, n)
		})
		for i, r := range rs {
			if i == max(keeps, 0) {
				continue
			}
			f := about(FindTwice, r, "", "two records have the name", "keep this content by its digest only")
			f.fix = func(context.Context) error {
				fresh := *r
				fresh.Named = false
				var b ledger.Batch
				b.PutDistfile(&fresh)
				d.v.Changed = true
				return d.v.Commit(&b)
			}
			d.find(f)
		}
	}
}

func intact(r *ledger.Distfile, n *node) bool {
	return n.regular() && n.size == r.Size && n.mtime == r.ModTime.UnixNano()
}

// record compares one record with the disk.
func (d *examination) record(ctx context.Context, r *ledger.Distfile) error {
	rels, err := d.paths(r)
	good := d.most(r, rels)
	if good == nil {
		d.bytesOf(r, rels)
		return nil
	}
	if d.torn[good.inode] {
		wrong, err := d.judge(ctx, r, good)
		if err != nil {
			return err
		}
		if wrong != "" {
			d.otherBytes(r, rels, good, wrong)
			return nil
		}
	}
	if err != nil {
		f := about(FindNoPath, r, "", report.OneLine(err.Error()), "")
		if d.v.Store.Layouts().Check(r.Name) == nil {
			f.Remedy = "read the file and compute the digest"
			f.adopt = []*adoptee{adoptKnown(d.v, r, good)}
		}
		d.find(f)
	}
	var missing []*Finding
	var others []*node
	for _, rel := range rels {
		n := d.at(rel)
		switch {
		case n == nil:
			f := about(FindMissingLink, r, rel, "the link is missing", "link it to "+good.rel)
			d.find(f)
			missing = append(missing, f)
		case n.inode == good.inode, d.anothers(r, n):
		case n.mode.IsDir():
			d.find(about(FindWrongLink, r, n.rel, "a directory is in its place", ""))
		default:
			others = append(others, n)
		}
	}
	if len(others) > 0 {
		return d.wrongLinks(ctx, r, rels, good, others) // that links them all
	}
	for _, f := range missing {
		f.link = linkTo(d.v, r, good.rel)
	}
	if good.foreign {
		f := about(FindForeign, r, good.rel, "somebody else can write to it", "put a copy in its place that only we can write to")
		f.link = linkTo(d.v, r, good.rel)
		d.find(f)
	}
	return nil
}

// most returns the intact file of r that most of rels are links to, or nil, and notes
// the directories in which a link is missing.
func (d *examination) most(r *ledger.Distfile, rels []string) (good *node) {
	count := make(map[inode]int, 1)
	for _, rel := range rels {
		n := d.at(rel)
		switch {
		case n == nil:
			d.filled[path.Dir(rel)] = true
		case intact(r, n):
			count[n.inode]++
		}
	}
	for _, rel := range rels {
		if n := d.at(rel); n != nil && count[n.inode] > 0 && (good == nil || count[n.inode] > count[good.inode]) {
			good = n
		}
	}
	return good
}

// otherBytes is about a record whose file has the size and the time of the one
// that was verified, and other bytes.
func (d *examination) otherBytes(r *ledger.Distfile, rels []string, n *node, wrong string) {
	files, source := d.filesOf(r, rels), d.elsewhere(r)
	remedy := "move it to quarantine, and forget the record"
	if source != "" {
		remedy = "move it to quarantine, and link " + source + " in its place"
	}
	f := about(FindChanged, r, n.rel, wrong, remedy)
	f.fix = func(ctx context.Context) error { return d.recover(ctx, r, files, source, wrong) }
	d.find(f)
}

// filesOf are the files at the paths of r.
func (d *examination) filesOf(r *ledger.Distfile, rels []string) (files []*node) {
	for _, rel := range rels {
		if n := d.at(rel); n != nil && n.regular() && !d.anothers(r, n) {
			files = append(files, n)
		}
	}
	return files
}

// anothers reports whether the file at a path that r shares with other records
// of the same content, such as one by content-hash, is theirs, which they have below
// by_cipher: an inode has a bounded number of links.
func (d *examination) anothers(r *ledger.Distfile, n *node) bool {
	return slices.ContainsFunc(n.claims, func(o *ledger.Distfile) bool {
		if o == r || o.SHA256() != r.SHA256() || !intact(o, n) {
			return false
		}
		own := d.at(o.CipherPaths()[0])
		return own != nil && own.inode == n.inode
	})
}

func linkTo(v *vault.Vault, r *ledger.Distfile, rel string) *vault.Addition {
	src, _ := store.Look(v.Store.Path(rel))
	return &vault.Addition{Entry: *r, Have: src}
}

// wrongLinks is about paths of r that are other files than good. Size and time
// do not tell which of them has the content, if they were copied with their
// times: all are read. Other bytes are kept in quarantine.
func (d *examination) wrongLinks(ctx context.Context, r *ledger.Distfile, rels []string, good *node, others []*node) error {
	files := d.filesOf(r, rels)
	var once sync.Once
	var ferr error
	fix := func(ctx context.Context) error {
		once.Do(func() { ferr = d.recover(ctx, r, files, d.elsewhere(r), "none of its files is right") })
		return ferr
	}
	for _, n := range append(others, good) {
		wrong := ""
		if n.regular() {
			var err error
			if wrong, err = d.judge(ctx, r, n); err != nil {
				return err
			}
		}
		f := about(FindWrongLink, r, n.rel, "it is not a link to "+good.rel, "read both and link the right one in both places; other bytes go to quarantine")
		switch {
		case n == good && wrong == "":
			continue
		case n == good:
			f = about(FindChanged, r, n.rel, wrong, f.Remedy)
		case wrong != "":
			f.Problem += ": " + wrong
		}
		f.fix = fix
		d.find(f)
	}
	return nil
}

// adoptKnown reads the file of a record again for the digests that it lacks.
func adoptKnown(v *vault.Vault, r *ledger.Distfile, n *node) *adoptee {
	return &adoptee{path: v.Store.Path(n.rel), name: r.Name, named: r.Named, sum: r.SHA256(), size: r.Size, kind: r.Kind}
}
