package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"distkeep/archive/export"
	"distkeep/archive/history"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// unknown finds the files of the published tree that no record explains.
func (d *doctor) unknown() {
	u := &unknowns{
		doctor: d, claimed: make(map[inode]string), links: make(map[inode][]*node),
		named: make(map[inode][]catalog.Name), hashed: make(map[inode]bool), explained: make(map[inode]bool),
	}
	pending := d.pendingPaths()
	var rest []*node
	for rel, n := range d.nodes {
		switch {
		case len(d.claims[rel]) > 0:
			u.claimed[n.inode] = rel
		case !pending[rel]:
			rest = append(rest, n)
			u.links[n.inode] = append(u.links[n.inode], n)
		}
	}
	slices.SortFunc(rest, func(a, b *node) int { return strings.Compare(a.rel, b.rel) })
	before := len(d.findings)
	for _, n := range rest {
		if !isCipher(n.rel) {
			u.published(n)
		}
	}
	for _, n := range rest {
		if isCipher(n.rel) {
			u.cipher(n)
		}
	}
	for _, n := range rest {
		if u.hashed[n.inode] {
			u.byContent(n)
		}
	}
	if len(d.v.Index.Distfiles)+len(d.v.Index.Recycled) == 0 {
		d.rebuild(before)
	}
}

// rebuild makes one finding of all unknown files of an archive without records:
// its ledger was lost.
func (d *doctor) rebuild(from int) {
	all := &Finding{Kind: FindLedger, Path: d.v.Store.LedgerDir(), Remedy: "read them and record what they are"}
	var total vault.Count
	rest := d.findings[:0:0]
	for _, f := range d.findings {
		if len(f.adopt) == 0 {
			rest = append(rest, f)
			continue
		}
		all.adopt = append(all.adopt, f.adopt...)
		for _, a := range f.adopt {
			total.Add(a.size)
		}
	}
	if len(all.adopt) == 0 {
		return
	}
	all.Problem = fmt.Sprintf("it has no record of any of %d files, %d bytes", total.Files, total.Bytes)
	d.findings = append(rest, all)
}

// unknowns sorts out files without a record.
type unknowns struct {
	*doctor
	claimed map[inode]string         // paths of files that have one
	links   map[inode][]*node        // those that have none
	named   map[inode][]catalog.Name // names that files will get
	hashed  map[inode]bool           // files at paths that only tell a digest
	// explained are files that will have a record with a name.
	explained map[inode]bool
}

// pendingPaths are those of contents that are leaving the published tree.
func (d *doctor) pendingPaths() map[string]bool {
	paths := make(map[string]bool)
	for _, r := range d.v.Index.Recycled {
		if r.Pending {
			rels, _ := d.paths(&r.Distfile)
			for _, rel := range rels {
				paths[rel] = true
			}
		}
	}
	return paths
}

func (u *unknowns) adopt(n *node, a *adoptee) {
	f := &Finding{Kind: FindUnknown, Path: n.rel, Name: string(a.name), Problem: "no record explains it", Remedy: "read it and record what it is"}
	if !a.sum.IsZero() {
		f.SHA256 = a.sum.Hex()
		f.Remedy += "; if it is something else it goes to quarantine"
	}
	a.path, a.size = u.v.Store.Path(n.rel), n.size
	f.adopt = []*adoptee{a}
	u.find(f)
}

// superfluous is about a link to a file that is where it should be.
func (u *unknowns) superfluous(kind string, n *node, problem string) {
	f := &Finding{Kind: kind, Path: n.rel, Problem: problem, Remedy: "remove it", late: true}
	if other, ok := u.claimed[n.inode]; ok {
		f.fix = func(context.Context) error { return u.v.Store.Unlink(n.rel, other) }
	} else {
		f.Remedy = "move it to quarantine"
		f.fix = func(context.Context) error {
			copies, err := vault.Replicas([]string{u.v.Store.Path(n.rel)})
			if err != nil || len(copies) == 0 {
				return err
			}
			_, err = u.v.Store.SetAside("unknown", copies[0].Info, copies[0].Paths)
			return err
		}
	}
	u.find(f)
}

func hidden(rel string) bool { return strings.HasPrefix(rel, ".") || strings.Contains(rel, "/.") }

// published is about a file outside by_cipher.
func (u *unknowns) published(n *node) {
	name, current := u.nameOf(n.rel, u.v.Store.Layouts())
	former := false
	if !current {
		name, former = u.nameOf(n.rel, u.v.Shelf.Former)
	}
	holder := u.v.Index.Named(name)
	switch {
	case hidden(n.rel):
	case !n.regular():
		if current {
			u.find(&Finding{Kind: FindIrregular, Path: n.rel, Problem: "it is " + n.mode.Type().String() + ", no regular file"})
		}
	case former && holder != nil:
		u.superfluous(FindFormer, n, "its layout is not in layout.conf any more")
	case current || former:
		if !slices.Contains(u.named[n.inode], name) {
			u.named[n.inode] = append(u.named[n.inode], name)
			u.explained[n.inode] = true
			u.adopt(n, &adoptee{name: name, named: true, kind: u.kindOf(n, name.Base())})
		}
	case u.isHashed(n.rel):
		u.hashed[n.inode] = true
	}
}

// nameOf is the name that a path has in one of layouts. In a flat one, names
// with directories are the operator's files.
func (u *unknowns) nameOf(rel string, layouts []layout.Layout) (catalog.Name, bool) {
	for _, l := range layouts {
		if name, ok := l.NameOf(rel); ok && (l != layout.Flat() || !strings.Contains(rel, "/")) {
			return name, true
		}
	}
	return "", false
}

// isHashed reports whether rel may be a path of a content-hash layout.
func (u *unknowns) isHashed(rel string) bool {
	dir, base := path.Split(rel)
	return slices.ContainsFunc(slices.Concat([]layout.Layout(u.v.Store.Layouts()), u.v.Shelf.Former), func(l layout.Layout) bool {
		a, ok := l.Algorithm()
		return ok && len(base) == 2*a.Size() && l.InBuckets(strings.TrimSuffix(dir, "/"))
	})
}

// cipher is about a file below by_cipher.
func (u *unknowns) cipher(n *node) {
	sum, base := cipherPath(n.rel)
	name, err := catalog.ParseName(base)
	switch {
	case !n.regular():
		u.find(&Finding{Kind: FindIrregular, Path: n.rel, Problem: "it is " + n.mode.Type().String() + ", no regular file"})
		return
	case err != nil:
		u.superfluous(FindUnknown, n, oneLine(err.Error()))
		return
	}
	spelled := !sum.IsZero()
	if sum.IsZero() {
		sum = u.sumOf(n)
	}
	base64 := !sum.IsZero() && layout.ByCipherBase64(sum, base) == n.rel
	for _, r := range u.v.Index.WithSum(sum) {
		if r.Name.Base() == base {
			u.superfluous(FindSuperfluous, n, fmt.Sprintf("%s is recorded, and has no such path", r.Name))
			return
		}
	}
	switch {
	case !spelled && !base64 && u.claimed[n.inode] != "":
		u.superfluous(FindSuperfluous, n, "it is "+u.claimed[n.inode]+", and no path of by_cipher")
		return
	case base64 && slices.ContainsFunc(u.links[n.inode], func(o *node) bool { return o.rel == layout.ByCipher(sum, base) }):
		return // the hex spelling is found
	case slices.ContainsFunc(u.named[n.inode], func(o catalog.Name) bool { return o.Base() == base }):
		return // found under its name
	}
	a := &adoptee{name: name, bare: true, named: u.hashed[n.inode], sum: sum}
	if !spelled && !base64 {
		a.sum = digest.Digest{}
	}
	if a.kind = u.kindOf(n, base); a.kind.Base64() {
		u.withDirectory(a, n)
	}
	u.explained[n.inode] = u.explained[n.inode] || a.named
	u.adopt(n, a)
}

// sumOf finds the digest of a path that does not say it in hex among the other
// links to the same file.
func (u *unknowns) sumOf(n *node) digest.Digest {
	if rs := u.claims[u.claimed[n.inode]]; len(rs) > 0 {
		return rs[0].SHA256()
	}
	for _, o := range u.links[n.inode] {
		if sum, _ := cipherPath(o.rel); !sum.IsZero() {
			return sum
		}
	}
	return digest.Digest{}
}

// kindOf is openbsd for a file that has the spelling of that as well, else
// unknown.
func (u *unknowns) kindOf(n *node, base string) catalog.Kind {
	sum := u.sumOf(n)
	if sum.IsZero() {
		return ""
	}
	if o := u.nodes[layout.ByCipherBase64(sum, base)]; o == nil || o.inode != n.inode {
		return ""
	}
	return catalog.OpenBSD
}

// withDirectory finds the whole name of an openbsd file, whose directories
// by_cipher does not have, by another link to it.
func (u *unknowns) withDirectory(a *adoptee, n *node) {
	if !slices.Contains(u.v.Store.Layouts(), layout.Flat()) {
		return
	}
	for _, o := range u.links[n.inode] {
		if isCipher(o.rel) || path.Base(o.rel) != n.base() {
			continue
		}
		if name, err := catalog.ParsePath(o.rel); err == nil {
			a.name, a.named, a.bare = name, true, false
		}
	}
}

// byContent is about a file at a path that only tells a digest.
func (u *unknowns) byContent(n *node) {
	if u.explained[n.inode] || isCipher(n.rel) || !u.isHashed(n.rel) {
		return
	}
	if other, ok := u.claimed[n.inode]; ok {
		u.superfluous(FindSuperfluous, n, "it is "+other+", and no name needs it")
		return
	}
	name, err := catalog.ParseName(path.Base(n.rel))
	if err == nil {
		u.adopt(n, &adoptee{name: name})
	}
}

// recycled compares recycle with its records.
func (d *doctor) recycled() error {
	known := make(map[string]bool)
	for _, r := range d.v.Index.Recycled {
		p := d.v.RecyclePath(r)
		known[p] = true
		sized, timed, err := d.v.RecycledFile(r)
		switch {
		case err != nil:
			d.find(about(FindRecycle, &r.Distfile, p, oneLine(err.Error()), ""))
		case !timed:
			d.recycledLost(r, p, sized)
		case r.Pending:
			f := about(FindPending, &r.Distfile, p, "its deletion was interrupted: it is in recycle and still published", "remove the published links")
			f.fix = func(context.Context) error { return d.v.EndRecycling(r) }
			d.find(f)
		}
	}
	root := d.v.Store.RecycleDir()
	return filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case p != root && errors.Is(err, fs.ErrPermission):
			d.find(&Finding{Kind: FindUnread, Path: p, Problem: oneLine(err.Error())})
			return nil
		case err != nil:
			return err
		case e.IsDir():
			if entries, err := os.ReadDir(p); err == nil && len(entries) == 0 && p != root {
				d.emptyDir(p, p)
			}
			return nil
		case known[p]:
			return nil
		}
		return d.recycledUnknown(p, e)
	})
}

// recycledLost is about a file in recycle that is gone or has another time than
// the verified one. It may have been restored from a backup if it has the size.
func (d *doctor) recycledLost(r *ledger.Recycled, p string, sized bool) {
	f := about(FindRecycle, &r.Distfile, p, "its file is gone from recycle or was changed there", "drop the record; what is there goes to quarantine")
	if sized {
		f.Problem = "its file in recycle has another time than the one that was verified"
		f.Remedy = "read it; if it is wrong it goes to quarantine, and the record is dropped"
	}
	f.fix = func(ctx context.Context) error {
		var b ledger.Batch
		if sized {
			switch file, err := d.v.ReadRecycled(ctx, r); {
			case err == nil:
				fresh := *r
				fresh.ModTime, fresh.Verified = file.Was.ModTime().UTC(), d.v.Now
				b.PutRecycled(&fresh)
				return d.v.Commit(&b)
			case !errors.Is(err, vault.ErrWrong) && !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
		if err := d.v.DropRecycled(&b, r, "changed."); err != nil {
			return err
		}
		return d.v.Commit(&b)
	}
	d.find(f)
}

// recycledUnknown is about a file in recycle that has no record.
func (d *doctor) recycledUnknown(p string, e fs.DirEntry) error {
	fi, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	f := &Finding{Kind: FindRecycle, Path: p, Problem: "no record explains it", Remedy: "read it and record what it is; if it is something else it goes to quarantine"}
	sum, serr := digest.Parse(digest.SHA256, filepath.Base(filepath.Dir(p)))
	name, nerr := catalog.ParseName(filepath.Base(p))
	switch {
	case !fi.Mode().IsRegular():
		f.Kind, f.Problem, f.Remedy = FindIrregular, "it is no regular file", ""
	case serr != nil || nerr != nil || filepath.Dir(filepath.Dir(p)) != d.v.Store.RecycleDir():
		f.Remedy = "move it to quarantine"
		f.fix = func(context.Context) error {
			_, err := d.v.Store.SetAside("unknown", fi, []string{p})
			return err
		}
	default:
		a := &adoptee{path: p, name: name, sum: sum, size: fi.Size(), recycled: true, since: d.v.Now}
		// The directory was made, or last changed, when the file came.
		if dir, err := os.Lstat(filepath.Dir(p)); err == nil && dir.ModTime().Before(d.v.Now) {
			a.since = dir.ModTime().UTC()
		}
		f.SHA256, f.adopt = sum.Hex(), []*adoptee{a}
	}
	d.find(f)
	return nil
}

// lists reads the lists that runs write.
func (d *doctor) lists() {
	if _, err := history.LoadHistory(d.v.Store.Path("history")); err != nil {
		d.find(&Finding{Kind: FindList, Path: "history", Problem: oneLine(err.Error()) + ": put the line right, or move the file away, and no file is known as unwanted before the next run"})
	}
	d.distinfoList()
	dir := d.v.Store.ReportDir()
	for file, load := range map[string]func() error{
		"status.json":     func() error { return report.LoadStatus(dir, new(report.Summary)) },
		"failures.jsonl":  func() error { _, err := report.LoadFailures(dir); return err },
		"deletions.jsonl": func() error { _, err := report.LoadDeletions(dir); return err },
		"distfiles.jsonl": func() error { return report.CheckDistfiles(dir) },
	} {
		if err := load(); err != nil && !errors.Is(err, report.ErrNoRun) {
			d.find(&Finding{
				Kind: FindList, Path: filepath.Join(dir, file), Problem: oneLine(err.Error()), Remedy: "write it anew", late: true,
				fix: func(context.Context) error { d.v.Restated = true; return export.Refresh(d.v, "doctor") },
			})
		}
	}
}

// distinfoList compares distinfo with the ledger, unless a run is going to write
// it anyway.
func (d *doctor) distinfoList() {
	lines, err := history.LoadDistinfo(d.v.Store.Path("distinfo"))
	f := &Finding{Kind: FindList, Path: "distinfo", Remedy: "write it anew", late: true, fix: func(context.Context) error { return export.WriteDistinfo(d.v) }}
	type line struct {
		name catalog.Name
		sum  digest.Digest
	}
	switch {
	case err != nil:
		f.Problem = oneLine(err.Error())
	case d.v.Index.Notes.Changed || !exists(d.v.Store.Path("distinfo")):
		return
	default:
		listed := make(map[line]bool, len(lines))
		for _, l := range lines {
			listed[line{l.Name, l.SHA256}] = true
		}
		held := make(map[line]bool, len(lines)) // by content-hash, names share a path
		missing := 0
		for _, l := range export.Distinfo(d.v) {
			k := line{l.Name, l.SHA256}
			if !held[k] && !listed[k] {
				missing++
			}
			held[k] = true
		}
		if missing == 0 && len(held) == len(listed) {
			return
		}
		f.Problem = fmt.Sprintf("it has %d lines, %d of %d files are not in it", len(listed), missing, len(held))
	}
	d.find(f)
}

// adoptKnown reads the file of a record again for the digests that it lacks.
func (d *doctor) adoptKnown(r *ledger.Distfile, n *node) *adoptee {
	return &adoptee{path: d.v.Store.Path(n.rel), name: r.Name, named: r.Named, sum: r.SHA256(), size: r.Size, kind: r.Kind}
}
