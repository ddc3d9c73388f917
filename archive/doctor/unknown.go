package doctor

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// unknown finds the files of the published tree that no record explains.
func (d *examination) unknown() {
	u := &unknowns{
		examination: d, claimed: make(map[inode]string), links: make(map[inode][]*node),
		named: make(map[inode][]catalog.Name), hashed: make(map[inode]bool), explained: make(map[inode]bool),
	}
	pending := d.pendingPaths()
	var rest []*node
	for rel, n := range d.nodes {
		if n.claims == nil && !pending[rel] {
			rest = append(rest, n)
			u.links[n.inode] = append(u.links[n.inode], n)
		}
	}
	for rel, n := range d.nodes {
		if n.claims != nil && u.links[n.inode] != nil {
			u.claimed[n.inode] = rel
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
func (d *examination) rebuild(from int) {
	all := &Finding{Kind: FindLedger, Path: d.v.Store.LedgerDir(), Remedy: "read them and record what they are"}
	var total layout.Count
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
	*examination
	claimed map[inode]string         // paths of those files that have one
	links   map[inode][]*node        // those that have none
	named   map[inode][]catalog.Name // names that files will get
	hashed  map[inode]bool           // files at paths that only tell a digest
	// explained are files that will have a record with a name.
	explained map[inode]bool
}

// pendingPaths are those of contents that are leaving the published tree.
func (d *examination) pendingPaths() map[string]bool {
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
		f.fix = func(context.Context) error { return u.v.Store.Tree.Unlink(n.rel, other) }
	} else {
		f.Remedy = "move it to quarantine"
		f.fix = func(context.Context) error {
			copies, err := vault.Replicas([]string{u.v.Store.Path(n.rel)})
			if err != nil || len(copies) == 0 {
				return err
			}
			_, err = u.v.Store.Quarantine.SetAside("unknown", copies[0].Info, copies[0].Paths)
			return err
		}
	}
	u.find(f)
}

func hidden(rel string) bool { return strings.HasPrefix(rel, ".") || strings.Contains(rel, "/.") }

// published is about a file outside by_cipher.
func (u *unknowns) published(n *node) {
	name, current := layout.NameOf(u.v.Store.Layouts(), n.rel, false)
	// One that it cannot have here is that of a file by content, in a layout beside it.
	current = current && (u.v.Store.Layouts().Check(name) == nil || !u.isHashed(n.rel))
	former := false
	if !current {
		name, former = layout.NameOf(u.v.Shelf.Former, n.rel, false)
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
		u.superfluous(FindUnknown, n, report.OneLine(err.Error()))
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
	if rel, ok := u.claimed[n.inode]; ok {
		return u.nodes[rel].claims[0].SHA256()
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

// cipherPath takes a path below by_cipher/sha256 apart. sum is zero when the
// path does not say it in hex.
func cipherPath(rel string) (sum digest.Digest, base string) {
	if sum, name, ok := layout.ParseByCipher(rel); ok {
		return sum, string(name)
	}
	return digest.Digest{}, path.Base(rel)
}

func isCipher(rel string) bool { return strings.HasPrefix(rel, path.Dir(layout.CipherDir)+"/") }
