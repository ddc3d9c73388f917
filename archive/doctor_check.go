package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// examine looks for everything that is wrong. It changes nothing and reads no
// file of the archive, except where several files are at the paths of one record
// or one file at those of several contents: size and time do not tell which is
// right.
func (d *doctor) examine(ctx context.Context) error {
	d.findings = nil
	if err := d.walk(ctx); err != nil {
		return err
	}
	d.claim()
	records := slices.SortedFunc(maps.Values(d.v.Index.Distfiles), func(a, b *ledger.Distfile) int { return keyLess(a.Key(), b.Key()) })
	d.twice(records)
	for _, r := range records {
		if err := d.record(ctx, r); err != nil {
			return err
		}
	}
	if err := d.recycled(); err != nil {
		return err
	}
	d.unknown()
	d.leftRecords()
	if err := d.leftOvers(); err != nil {
		return err
	}
	d.lists()
	return nil
}

func (d *doctor) find(f *Finding) { d.findings = append(d.findings, f) }

// about makes a finding about a record.
func about(kind string, r *ledger.Distfile, path, problem, remedy string) *Finding {
	return &Finding{Kind: kind, Path: path, Name: string(r.Name), SHA256: r.SHA256().Hex(), Problem: problem, Remedy: remedy}
}

// paths are those that r should have, and what keeps it from having one in
// every layout.
func (d *doctor) paths(r *ledger.Distfile) ([]string, error) {
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

// claim notes which paths records should have, and which files are at paths of
// several contents.
func (d *doctor) claim() {
	d.claims = make(map[string][]*ledger.Distfile, 2*len(d.v.Index.Distfiles))
	d.torn = make(map[inode]bool)
	holds := make(map[inode]digest.Digest)
	for _, r := range d.v.Index.Distfiles {
		rels, _ := d.paths(r)
		for _, rel := range rels {
			d.claims[rel] = append(d.claims[rel], r)
			n := d.at(rel)
			if n == nil || !intact(r, n) {
				continue
			}
			if sum, ok := holds[n.inode]; ok && sum != r.SHA256() {
				d.torn[n.inode] = true
			}
			holds[n.inode] = r.SHA256()
		}
	}
}

// judge returns what is wrong with the bytes of a file that is taken for that of
// r, or "". Each file is read once.
func (d *doctor) judge(ctx context.Context, r *ledger.Distfile, n *node) (string, error) {
	key := judged{n.inode, n.size, n.mtime}
	sum, ok := d.sums[key]
	if !ok {
		sums, _, err := store.Hash(ctx, d.v.Store.Path(n.rel))
		switch {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err != nil && !store.Broken(err) || errors.Is(err, syscall.EIO):
			return "it cannot be read: " + oneLine(err.Error()), nil
		case err != nil:
			return "", err
		}
		sum = sums.Get(digest.SHA256)
		d.sums[key] = sum
	}
	if sum != r.SHA256() {
		return "its SHA256 is " + sum.Hex(), nil
	}
	return "", nil
}

// twice finds names that two records have. The one whose file is there keeps
// it.
func (d *doctor) twice(records []*ledger.Distfile) {
	named := make(map[catalog.Name][]*ledger.Distfile)
	for _, r := range records {
		if r.Named {
			named[r.Name] = append(named[r.Name], r)
		}
	}
	for _, rs := range named {
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
func (d *doctor) record(ctx context.Context, r *ledger.Distfile) error {
	rels, err := d.paths(r)
	var good *node
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
		f := about(FindNoPath, r, "", oneLine(err.Error()), "")
		if d.v.Store.Layouts().Check(r.Name) == nil {
			f.Remedy = "read the file and compute the digest"
			f.adopt = []*adoptee{d.adoptKnown(r, good)}
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
		case n.inode == good.inode, d.anothers(r, rel, n):
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
		f.link = d.linkTo(r, good.rel)
	}
	if good.foreign {
		f := about(FindForeign, r, good.rel, "somebody else can write to it", "put a copy in its place that only we can write to")
		f.link = d.linkTo(r, good.rel)
		d.find(f)
	}
	return nil
}

// otherBytes is about a record whose file has the size and the time of the one
// that was verified, and other bytes.
func (d *doctor) otherBytes(r *ledger.Distfile, rels []string, n *node, wrong string) {
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
func (d *doctor) filesOf(r *ledger.Distfile, rels []string) (files []*node) {
	for _, rel := range rels {
		if n := d.at(rel); n != nil && n.regular() && !d.anothers(r, rel, n) {
			files = append(files, n)
		}
	}
	return files
}

// anothers reports whether the file at a path that r shares with other records
// of the same content, such as one by content-hash, is theirs: an inode has a
// bounded number of links.
func (d *doctor) anothers(r *ledger.Distfile, rel string, n *node) bool {
	return slices.ContainsFunc(d.claims[rel], func(o *ledger.Distfile) bool {
		return o != r && o.SHA256() == r.SHA256() && intact(o, n)
	})
}

func (d *doctor) linkTo(r *ledger.Distfile, rel string) *addition {
	src, _ := store.Look(d.v.Store.Path(rel))
	return &addition{Addition: vault.Addition{Entry: *r, Have: src}}
}

// wrongLinks is about paths of r that are other files than good. Size and time
// do not tell which of them has the content, if they were copied with their
// times: all are read. Other bytes are kept in quarantine.
func (d *doctor) wrongLinks(ctx context.Context, r *ledger.Distfile, rels []string, good *node, others []*node) error {
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

// bytesOf is about a record none of whose paths has the file that was verified.
func (d *doctor) bytesOf(r *ledger.Distfile, rels []string) {
	var wrong []*node // other files
	var same *node    // one of them has the right size
	for _, rel := range rels {
		if f := store.LookAt(d.v.Store.Path(rel)); f.Err != nil {
			d.find(about(FindUnread, r, rel, oneLine(f.Err.Error()), ""))
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
func (d *doctor) recover(ctx context.Context, r *ledger.Distfile, files []*node, source, why string) error {
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
		sums, fi, err := store.Hash(ctx, c.Paths[0])
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
		kept, err := d.v.Store.SetAside(label, c.Info, c.Paths)
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
		switch sums, fi, err := store.Hash(ctx, source); {
		case err != nil:
			return err
		case sums.Get(digest.SHA256) == r.SHA256():
			have = store.Source{Path: source, Was: fi, Read: true}
		}
	}
	if have.Path != "" {
		a := &addition{Addition: vault.Addition{Entry: *r, Have: have}}
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
func (d *doctor) elsewhere(r *ledger.Distfile) string {
	for _, o := range d.v.Index.WithSum(r.SHA256()) {
		rels, _ := d.paths(o)
		for _, rel := range rels {
			if n := d.at(rel); o != r && n != nil && intact(o, n) {
				return d.v.Store.Path(rel)
			}
		}
	}
	for _, o := range d.v.Index.RecycledWith(r.SHA256()) {
		if d.facts.Restorable(o) {
			return d.v.RecyclePath(o)
		}
	}
	return ""
}

// leftRecords are records about nothing.
func (d *doctor) leftRecords() {
	x := d.v.Index
	drop := func(kind, name, sum, problem, remedy string, change func(b *ledger.Batch)) {
		f := &Finding{Kind: kind, Name: name, SHA256: sum, Problem: problem, Remedy: remedy, late: true}
		f.fix = func(context.Context) error {
			var b ledger.Batch
			change(&b)
			return d.v.Commit(&b)
		}
		d.find(f)
	}
	for _, k := range slices.SortedFunc(maps.Keys(x.Deletions), keyLess) {
		if x.Distfiles[k] == nil {
			drop(FindRecord, string(k.Name), k.SHA256.Hex(), "a deletion of what the archive does not have is scheduled", "drop the record", func(b *ledger.Batch) { b.DropDeletion(k) })
		}
	}
	for _, n := range slices.Sorted(maps.Keys(x.Dropped)) {
		r := x.Dropped[n]
		gone := d.o.Local != "" && !exists(path.Join(d.o.Local, string(n)))
		if gone || r.Refused == "" && x.Distfiles[ledger.Key{Name: n, SHA256: r.SHA256}] == nil {
			drop(FindRecord, string(n), r.SHA256.Hex(), "a file of distfiles-local has a record, and the archive does not have it", "drop the record, so that the file is read again if it is there", func(b *ledger.Batch) { b.DropDropped(n) })
		}
	}
}

// leftOvers are parts that nothing goes on with, and empty directories.
func (d *doctor) leftOvers() error {
	parts, err := d.v.Store.LeftOvers(d.v.Now)
	if err != nil {
		return err
	}
	for _, p := range parts {
		d.find(&Finding{
			Kind: FindLeftOver, Path: p, Problem: "no transfer has gone on with it for weeks", Remedy: "remove it",
			fix: func(context.Context) error { _, err := d.v.Store.SweepParts(d.v.Now); return err },
		})
	}
	for _, rel := range d.empty {
		if !d.filled[rel] {
			d.emptyDir(d.v.Store.Path(rel), rel)
		}
	}
	return nil
}

func (d *doctor) emptyDir(dir, shown string) {
	d.find(&Finding{
		Kind: FindEmpty, Path: shown, Problem: "the directory is empty", Remedy: "remove it", late: true,
		fix: func(context.Context) error { d.v.Store.Prune(dir); return nil },
	})
}

// cipherPath takes a path below by_cipher/sha256 apart. sum is zero when the
// path does not say it in hex.
func cipherPath(rel string) (sum digest.Digest, base string) {
	k, ok := plan.CipherKey(rel)
	if ok {
		return k.SHA256, string(k.Name)
	}
	return digest.Digest{}, path.Base(rel)
}

func isCipher(rel string) bool { return strings.HasPrefix(rel, path.Dir(layout.CipherDir)+"/") }
