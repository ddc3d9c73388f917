package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// onDisk looks for a file that may be the wanted content where the archive
// would have it: under its name, or as the part of an interrupted commit.
func (b *planner) onDisk(w *want) bool {
	if len(b.whole) > 0 {
		part := b.v.Store.PartPath(w.Name, w.key())
		if b.whole[part] && b.readOnce(&reading{path: part, part: true, name: w.Name, size: w.Size, want: w}) {
			return true
		}
	}
	if !w.named {
		return false
	}
	for _, l := range b.v.Store.Layouts() {
		rel, ok := l.Path(w.Name, w.Digests)
		if !ok {
			continue
		}
		f, ok := b.v.Disk.Get(rel)
		if !ok || w.Size >= 0 && f.Size != w.Size {
			continue
		}
		if d := b.v.Index.Named(w.Name); d != nil && b.v.Shelf.Intact(&d.Content, rel) {
			continue // known, and another content
		}
		path := b.v.Store.Path(rel)
		if b.readOnce(&reading{path: path, rel: rel, name: w.Name, size: f.Size, want: w}) {
			return true
		}
		if err := b.failed[path]; err != nil && !errors.Is(err, store.ErrDamaged) {
			b.fail(w.failureKey(), w, failure.Local, "there is a file in its place that cannot be read: "+err.Error())
			return true
		}
	}
	return false
}

// strays plans to read the files that somebody has put in the place of d, whose
// content is elsewhere in the archive: what they hold is kept by its digest
// before d gets its place back. When d is scheduled for deletion they have the
// place for good, so that they do not go with it.
func (b *planner) strays(d *ledger.Distfile) (any bool) {
	for _, l := range b.v.Store.Layouts() {
		rel := d.Path(l)
		if f, ok := b.v.Disk.Get(rel); ok && !b.v.Shelf.Intact(&d.Content, rel) &&
			b.readOnce(&reading{path: b.v.Store.Path(rel), rel: rel, name: d.Name, size: f.Size, aside: b.v.Index.Deletions[d.Key()] == nil}) {
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
	planned := make(map[string]bool, len(b.readings))
	for _, r := range b.readings {
		if r.part {
			// It is a link to one of them: next time it is known.
			b.dropsLast(func(*reading) bool { return true })
			return
		}
		planned[r.rel] = true
	}
	var found []*reading
	growing := make(map[catalog.Name]bool)
	b.v.Disk.All(func(rel string, f layout.File) bool {
		name, ok := b.nameOf(rel)
		if !ok || planned[rel] || b.v.Index.Named(name) != nil {
			return true
		}
		found = append(found, &reading{path: b.v.Store.Path(rel), rel: rel, name: name, size: f.Size})
		if layout.Growing(b.v.Now, f.ModTime) {
			growing[name] = true
		}
		return true
	})
	if len(growing) > 0 {
		for _, w := range b.catalog.Distfiles {
			delete(growing, w.Name)
		}
		for name := range b.drops {
			delete(growing, name)
		}
		for _, r := range b.v.Index.Recycled {
			delete(growing, r.Name) // it may come back
		}
	}
	slices.SortFunc(found, func(a, b *reading) int { return strings.Compare(a.rel, b.rel) })
	for _, r := range found {
		if !growing[r.name] {
			b.readOnce(r)
		}
	}
	taken := make(map[catalog.Name]bool)
	for _, r := range b.readings {
		taken[r.name] = taken[r.name] || r.rel != ""
	}
	b.dropsLast(func(r *reading) bool { return taken[r.name] })
	if len(b.readings) == 0 {
		b.unknown()
	}
}

// dropsLast leaves the files of the drop box for which after is true to the next
// plan: their place in the published tree may have something that is to be read,
// and when that is known, its content is kept by its digest.
func (b *planner) dropsLast(after func(*reading) bool) {
	b.readings = slices.DeleteFunc(b.readings, func(r *reading) bool {
		if r.drop == nil || !after(r) {
			return false
		}
		delete(b.planned, r.key())
		return true
	})
}

// unknown plans to read what only by_cipher has when the ledger was lost: files
// that had no name, or whose name is gone. What has a name was read before.
func (b *planner) unknown() {
	for _, c := range b.ciphers {
		if b.v.Index.Distfiles[c.Key] == nil {
			b.readOnce(&reading{path: b.v.Store.Path(c.rel), rel: c.rel, name: c.Name, size: c.size, aside: true, sum: c.SHA256})
		}
	}
}

// A cipherFile is a file below by_cipher, with what its path says about it.
type cipherFile struct {
	ledger.Key
	rel  string
	size int64
}

// listCiphers lists by_cipher. The base64 spellings are further links to what
// the hex ones have.
func listCiphers(s *store.Store) ([]cipherFile, error) {
	var files []cipherFile
	root := s.Path("")
	err := filepath.WalkDir(s.Path(layout.CipherDir), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil // a record that needs it asks for it
		} else if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		key, ok := cipherKey(rel)
		if !ok || !e.Type().IsRegular() {
			return nil
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		files = append(files, cipherFile{key, filepath.ToSlash(rel), fi.Size()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list archive: %w", err)
	}
	return files, nil
}

// cipherKey is the inverse of layout.ByCipher.
func cipherKey(rel string) (k ledger.Key, ok bool) {
	dir, base := path.Split(filepath.ToSlash(rel))
	sum, err := digest.Parse(digest.SHA256, path.Base(dir))
	if err != nil {
		return k, false
	}
	name, err := catalog.ParseName(base)
	return ledger.Key{Name: name, SHA256: sum}, err == nil && layout.ByCipher(sum, base) == rel
}

// unwanted looks after the records that no package wants and that were not
// looked at, therefore: one whose name was removed by hand gets it back, and
// one whose bytes are gone is forgotten.
func (b *planner) unwanted() {
	for k, d := range b.v.Index.Distfiles {
		if b.seen[k] || b.stuck[k] || d.Named && b.v.Shelf.Linked(&d.Content) {
			continue
		}
		path := b.v.Shelf.Sound(&d.Content)
		switch {
		case path != "" && d.Named && b.learn(d, b.v.Store.Layouts().Algorithms()):
			// For its path in every layout.
		case path != "" && d.Named && b.v.Store.Layouts().Check(d.Name) == nil:
			if !b.strays(d) {
				b.relink = append(b.relink, d)
			}
		case path != "":
		default:
			if !b.reread(d, reading{aside: !d.Named}) && !b.doubted(d) {
				b.lost = append(b.lost, d)
			}
		}
	}
}

// nameOf returns the name of a published path. Files in directories that are
// no hash directories are nobody's but the operator's, unless their name is
// wanted.
func (b *planner) nameOf(rel string) (catalog.Name, bool) {
	for _, l := range b.v.Store.Layouts() {
		if name, ok := l.NameOf(rel); ok && (l != layout.Flat() || !strings.Contains(rel, "/")) {
			return name, b.v.Store.Layouts().Check(name) == nil
		}
	}
	return "", false
}
