package plan

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// onDisk looks for a file that may be the wanted content where the archive
// would have it: under its name, or as the part of an interrupted commit. Files
// there with other bytes are misfits.
func (b *planner) onDisk(w *Want) bool {
	if b.Part != nil && b.Part(w.Key()) && b.readOnce(&Reading{Part: true, Name: w.Name, Size: w.Size, Want: w}) {
		return true
	}
	if b.awaits(w) {
		return true
	}
	reading, failed := false, error(nil)
	for _, l := range b.Shelf.Layouts {
		rel, ok := l.Path(w.Name, w.Digests)
		if !ok {
			continue
		}
		f, ok := b.Shelf.Files.Get(rel)
		if !ok || b.known(w, l, rel) {
			continue
		}
		switch {
		case w.Size >= 0 && f.Size != w.Size:
			if !layout.Growing(b.Now, f.ModTime) {
				b.misfit(w, rel, f, fmt.Sprintf("it has %d bytes, %s wants %d", f.Size, w.FirstOwner(), w.Size))
			}
		case reading:
		case b.readFor(w, &Reading{Rel: rel, Name: w.Name, Size: f.Size, Want: w, Only: !b.former(f)}):
			reading = true
		case b.Failed[rel] != nil && !errors.Is(b.Failed[rel], layout.ErrDamaged):
			failed = b.Failed[rel]
		case b.Wrong[rel] != "":
			b.misfit(w, rel, f, b.Wrong[rel])
		}
	}
	if !reading && failed != nil && w.Named {
		b.fail(w.Key(), w, failure.Local, "there is a file in its place that cannot be read: "+failed.Error())
		return true
	}
	return reading
}

// known reports whether a record tells what a file in the place of w is: another
// content that has the name, or, in a layout by content, that of w under another
// name, from which it is linked.
func (b *planner) known(w *Want, l layout.Layout, rel string) bool {
	if d := b.Index.Named(w.Name); d != nil && b.Shelf.Intact(&d.Content, rel) {
		return true
	}
	return l.IsContentHash() && slices.ContainsFunc(w.Digests, func(s digest.Digest) bool {
		ds := b.Index.WithSum(s) // they have one path, and may be thousands
		return s.Alg.Strong() && len(ds) > 0 && ds[0].Path(l) == rel && b.Shelf.Intact(&ds[0].Content, rel)
	})
}

// former reports whether a file is one that the archive had before its ledger was
// lost: by_cipher has it as well. If it is not what is wanted now, it was once.
func (b *planner) former(f layout.File) bool {
	if b.ciphers == nil && len(b.Ciphers) > 0 {
		b.ciphers = make(map[layout.Inode]bool, len(b.Ciphers))
		for _, c := range b.Ciphers {
			b.ciphers[c.Inode] = true
		}
	}
	return f.Inode != layout.Inode{} && b.ciphers[f.Inode]
}

// misfit plans to take a file out of the place of w.
func (b *planner) misfit(w *Want, rel string, f layout.File, reason string) {
	if d := b.Index.Named(w.Name); d != nil && d.Satisfies(w.Distfile) {
		return // its record is lost, and the place is cleared with it
	}
	if w.Named && !b.former(f) {
		b.Misfits = append(b.Misfits, &Misfit{rel, w, f.Size, reason})
	}
}

// awaits reports whether a reading is planned that may show the content of w to be
// there under another name.
func (b *planner) awaits(w *Want) bool {
	s := w.Digests.Strongest()
	return s.Alg.Strong() && b.awaited[s]
}

// readFor plans to read what may be the content of w, unless that was done before.
func (b *planner) readFor(w *Want, r *Reading) bool {
	if !b.readOnce(r) {
		return false
	}
	b.awaited[w.Digests.Strongest()] = true
	return true
}

// stray plans to read the files of the size of w that no layout would have where
// they are: first those that have its name.
func (b *planner) stray(w *Want) (any bool) {
	switch {
	case b.Strays == nil:
		return false
	case b.awaits(w):
		return true
	}
	found := b.Strays(w.Size, w.Name.Base())
	for _, named := range []bool{true, false} {
		for _, s := range found {
			if (s.Base == w.Name.Base()) == named && b.readFor(w, &Reading{Stray: s, Name: w.Name, Size: s.Size, Want: w, Only: true}) {
				any = true
			}
		}
		if any {
			return true
		}
	}
	return false
}

// isWanted reports whether a package wants a content under name that can be
// verified: what else has the place is wrong.
func (b *planner) isWanted(name catalog.Name) bool {
	return slices.ContainsFunc(b.named.of(name), func(d *catalog.Distfile) bool { return d.Digests.Verifiable() })
}

// others plans to read the files that somebody has put in the place of d, which
// no package wants and whose content is elsewhere in the archive: what they hold is
// kept by its digest before d gets its place back. When d is scheduled for deletion
// they have the place for good, so that they do not go with it.
func (b *planner) others(d *ledger.Distfile) (any bool) {
	if b.isWanted(d.Name) {
		return false
	}
	for _, l := range b.Shelf.Layouts {
		rel := d.Path(l)
		if f, ok := b.Shelf.Files.Get(rel); ok && !b.Shelf.Intact(&d.Content, rel) &&
			b.readOnce(&Reading{Rel: rel, Name: d.Name, Size: f.Size, Aside: b.Index.Deletions[d.Key()] == nil}) {
			any = true
		}
	}
	return any
}

// foreign plans to read the files in the published tree that the ledger does
// not know: they were there before the archive, or a crash came between their
// publication and their record. One that may still be growing is left to the next
// run, unless its place will be taken in this one.
func (b *planner) foreign() {
	planned := make(map[string]bool, len(b.Readings))
	for _, r := range b.Readings {
		if r.Part {
			// It is a link to one of them: next time it is known.
			b.dropsLast(func(*Reading) bool { return true })
			return
		}
		planned[r.Rel] = true
	}
	var found []*Reading
	growing := make(map[catalog.Name]bool)
	b.Shelf.Files.All(func(rel string, f layout.File) bool {
		name, ok := layout.NameOf(b.Shelf.Layouts, rel, false)
		if !ok {
			name, ok = b.Remembered[rel]
		}
		if !ok || b.Shelf.Layouts.Check(name) != nil || planned[rel] || b.Index.Named(name) != nil || b.inodes[f.Inode] && f.Inode != (layout.Inode{}) {
			return true
		}
		if b.isWanted(name) && !b.former(f) {
			return true // it is right or a misfit, and its want sees to it
		}
		found = append(found, &Reading{Rel: rel, Name: name, Size: f.Size, Promise: b.Shelf.Layouts.Promise(rel)})
		if layout.Growing(b.Now, f.ModTime) {
			growing[name] = true
		}
		return true
	})
	if len(growing) > 0 {
		for _, w := range b.Catalog.Distfiles {
			delete(growing, w.Name)
		}
		for name := range b.Drops {
			delete(growing, name)
		}
		for _, r := range b.Index.Recycled {
			delete(growing, r.Name) // it may come back
		}
	}
	slices.SortFunc(found, func(a, b *Reading) int { return strings.Compare(a.Rel, b.Rel) })
	for _, r := range found {
		if !growing[r.Name] {
			b.readOnce(r)
		}
	}
	taken := make(map[catalog.Name]bool)
	for _, r := range b.Readings {
		taken[r.Name] = taken[r.Name] || r.Rel != ""
	}
	b.dropsLast(func(r *Reading) bool { return taken[r.Name] })
	if len(b.Readings) == 0 {
		b.unknown()
	}
	if len(b.Readings) == 0 {
		b.unnamed()
	}
}

// dropsLast leaves the files of the drop box for which after is true to the next
// plan: their place in the published tree may have something that is to be read,
// and when that is known, its content is kept by its digest.
func (b *planner) dropsLast(after func(*Reading) bool) {
	b.Readings = slices.DeleteFunc(b.Readings, func(r *Reading) bool {
		if r.Drop == nil || !after(r) {
			return false
		}
		delete(b.planned, r.Key())
		return true
	})
}

// unknown plans to read what only by_cipher has when the ledger was lost: files
// that had no name, or whose name is gone. What has a name was read before.
func (b *planner) unknown() {
	for _, c := range b.Ciphers {
		if b.Index.Distfiles.Get(c.Key) == nil {
			b.readOnce(&Reading{Rel: c.Rel, Name: c.Name, Size: c.Size, Aside: true, Sum: c.SHA256})
		}
	}
}

// A Cipher is a file below by_cipher, with what its path says about it.
type Cipher struct {
	ledger.Key
	Rel   string
	Size  int64
	Inode layout.Inode
}

// unwanted looks after the records that no package wants and that were not
// looked at, therefore: one whose name was removed by hand gets it back, and
// one whose bytes are gone is forgotten.
func (b *planner) unwanted() {
	for i, d := range b.Index.Distfiles {
		if b.seen[i] || b.Stuck[d.Key()] || d.Named && b.Shelf.Linked(&d.Content) {
			continue
		}
		path := b.Shelf.Sound(&d.Content)
		switch {
		case path != "" && d.Named && b.learn(d, b.Shelf.Layouts.Algorithms()):
			// For its path in every layout.
		case path != "" && d.Named && b.Shelf.Layouts.Check(d.Name) == nil:
			if !b.others(d) {
				b.Relink = append(b.Relink, d)
			}
		case path != "":
		default:
			if !b.reread(d, Reading{Aside: !d.Named}) && !b.doubted(d) {
				b.Lost = append(b.Lost, d)
			}
		}
	}
}

// formerLayouts plans to remove the links of layouts that layout.conf no longer
// names.
func (b *planner) formerLayouts() {
	for _, l := range b.Shelf.Former {
		for _, d := range b.Index.Distfiles {
			// One without a name may have had it, when a run was killed that gave
			// it to another.
			if rel := d.Path(l); rel != "" && b.Shelf.Intact(&d.Content, rel) {
				b.Stale = append(b.Stale, Stale{rel, d})
			}
		}
	}
}

// LayoutPaths are the paths that the records should have in the layouts in use.
func (f *Facts) LayoutPaths() map[string]bool {
	paths := make(map[string]bool)
	for _, d := range f.Index.Distfiles {
		for _, l := range f.Shelf.Layouts {
			if rel := d.Path(l); d.Named && rel != "" {
				paths[rel] = true
			}
		}
	}
	return paths
}

// Refuge returns the path at which d stays when links of former layouts go: in
// the layouts in use, or, where it cannot have its name, below by_cipher. It is
// empty when d is not there.
func (f *Facts) Refuge(d *ledger.Distfile) string {
	c := &d.Content
	if d.Named && f.Shelf.Linked(c) {
		return d.Path(f.Shelf.Layouts[0])
	}
	nameless := !d.Named || f.Shelf.Layouts.Check(d.Name) != nil
	if rel := c.CipherPaths()[0]; nameless && f.Shelf.Intact(c, rel) {
		return rel
	}
	return ""
}

// viewDir returns the directory of a view that a path lies in, or "".
func (v *Facts) viewDir(rel string) string {
	if len(v.Dirs) == 0 {
		return ""
	}
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if v.Dirs[dir] {
			return dir
		}
	}
	return ""
}

// Found says what an archive has of what is wanted before anything is fetched.
type Found struct {
	// Right are in their places; Foreign are too, in files that somebody else can
	// write to, so that they are copied; Elsewhere is what lies where no layout
	// would have it.
	Right, Foreign, Elsewhere layout.Count
	// Wrong are files in the places of what is wanted that hold other bytes.
	Wrong layout.Count
	// Missing are the contents that have to be fetched.
	Missing layout.Count
}

// News reports whether it is worth telling: in the first run of an archive that has
// something, and whenever there is something to take over or to take away.
func (c *Found) News(f *Facts) bool {
	first := len(f.Index.Notes.Layouts) == 0
	return first && c.Right.Files > 0 || c.Wrong.Files+c.Foreign.Files+c.Elsewhere.Files > 0
}

// Add counts a file that was read for what is wanted, and is that.
func (c *Found) Add(r *Reading) {
	switch {
	case r.Part || r.Drop != nil || r.Want == nil:
	case r.Stray != nil:
		c.Elsewhere.Add(r.Size)
	case r.Foreign:
		c.Foreign.Add(r.Size)
	default:
		c.Right.Add(r.Size)
	}
}

// Found is what there is before p is executed, when read was found on the way to it.
// What p has still to read counts as if it were right.
func (p *Plan) Found(read Found) Found {
	f := read
	f.Right = p.Held
	for _, l := range p.Links {
		f.Right.Add(l.Want.Size)
	}
	f.Right.Files -= f.Foreign.Files + f.Elsewhere.Files
	f.Right.Bytes -= f.Foreign.Bytes + f.Elsewhere.Bytes
	counted := make(map[*Want]bool)
	for _, r := range p.Readings {
		if !counted[r.Want] {
			counted[r.Want] = true
			f.Add(r)
		}
	}
	if len(p.Readings) > 0 {
		for _, m := range p.Misfits {
			f.Wrong.Add(m.Size)
		}
	}
	for _, t := range p.Fetches {
		for _, w := range t.Wants {
			f.Missing.Add(w.Size)
		}
	}
	for _, w := range p.Waiting {
		f.Missing.Add(w.Size)
	}
	return f
}
