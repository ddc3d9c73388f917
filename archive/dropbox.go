package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
	"distkeep/fetch/failure"
)

// A dropFile is a file in distfiles-local.
type dropFile struct {
	name    catalog.Name
	path    string
	size    int64
	modTime time.Time
	id      regular.ID
}

// tree is the drop box, in which f is at rel. Whoever fills it may put symbolic
// links there at any time: none is followed.
func (f *dropFile) tree() (tree regular.Tree, rel string) {
	rel = filepath.FromSlash(string(f.name))
	return regular.NewStrictTree(strings.TrimSuffix(f.path, rel)), rel
}

// seen returns the record of f if it was examined in its present state.
func (f *dropFile) seen(x *ledger.Index) *ledger.Dropped {
	r := x.Dropped[f.name]
	if r == nil || r.File != f.id {
		return nil
	}
	return r
}

// keeps reports whether the drop box has the content d, as far as is known: a
// file that was not examined yet may be anything of its name.
func (f *dropFile) keeps(x *ledger.Index, d *ledger.Distfile) bool {
	if f == nil {
		return false
	}
	r := f.seen(x)
	return r == nil || r.SHA256 == d.SHA256()
}

// apart returns an error if the drop box dir shares files with the directories
// of the archive: what expires in the one would leave the other.
func apart(dir string, others ...string) error {
	for _, o := range others {
		o, err := filepath.Abs(o)
		if err != nil {
			return err
		}
		if o, err = filepath.EvalSymlinks(o); err != nil {
			return err
		}
		if vault.Within(dir, o) || vault.Within(o, dir) {
			return fmt.Errorf("%s and the archive's %s must not be inside one another", dir, o)
		}
	}
	return nil
}

// listDrops reads the drop box dir of the archive whose directories are given.
// Sub-directories are those of openbsd names. Hidden files are left alone.
func listDrops(dir string, warn func(format string, args ...any), archive ...string) (map[catalog.Name]*dropFile, error) {
	drops := make(map[catalog.Name]*dropFile)
	if dir == "" {
		return drops, nil
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err == nil {
		err = apart(dir, archive...)
	}
	if err != nil {
		return nil, fmt.Errorf("distfiles-local: %w", err)
	}
	if fi, err := os.Stat(dir); err == nil && !fi.IsDir() {
		return nil, fmt.Errorf("distfiles-local: %s is not a directory", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("distfiles-local: %w", err)
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(rel string, e fs.DirEntry, err error) error {
		path := filepath.Join(dir, rel)
		switch {
		case err != nil:
			return err
		case rel == ".":
			return nil
		case strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return nil
		}
		name, err := catalog.ParsePath(rel)
		if err != nil {
			warn("distfiles-local: %s: %v", dir, err)
			return nil
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		if !fi.Mode().IsRegular() {
			warn("distfiles-local: %s: not a regular file: it is ignored", path)
			return nil
		}
		drops[name] = &dropFile{name, path, fi.Size(), fi.ModTime().UTC(), regular.IDOf(fi)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("distfiles-local: %w", err)
	}
	return drops, nil
}

// readDrop plans to read a drop-box file that may be the wanted content. It
// reports whether it did: until the file is read nothing else is tried for w.
func (b *planner) readDrop(f *dropFile, w *want) bool {
	if r := f.seen(b.v.Index); r != nil && r.Want == w.key() && r.Refused != "" {
		return false
	}
	if f.size != w.Size && layout.Growing(b.v.Now, f.modTime) {
		return false
	}
	return b.readOnce(&reading{path: f.path, drop: f, name: f.name, size: f.size, want: w})
}

// dropped plans what is to be done with the files of the drop box beyond those
// that missing distfiles ask for: each is examined once in each state and for
// each wanted content, and a refusal is a failure for as long as the file is
// there.
func (b *planner) dropped() {
	if len(b.drops) == 0 {
		return
	}
	wants := make(map[catalog.Name]*want, len(b.drops))
	for _, d := range b.catalog.Restricted {
		if b.drops[d.Name] != nil {
			wants[d.Name] = newWant(d, true)
		}
	}
	for _, d := range b.catalog.Distfiles {
		if b.drops[d.Name] != nil {
			wants[d.Name] = newWant(d, true)
		}
	}
	shadowed := make(map[string]bool)
	for _, d := range b.catalog.Shadowed {
		if b.drops[d.Name] != nil {
			shadowed[newWant(d, false).key()] = true
		}
	}
	for _, f := range sortedDrops(b.drops) {
		w := wants[f.name]
		key := ""
		if w != nil && w.Digests.Verifiable() {
			key = w.key()
		}
		if err := b.failed[f.path]; err != nil {
			b.failDrop(f, w, "it cannot be read: "+err.Error())
		}
		switch r := f.seen(b.v.Index); {
		case r != nil && r.Want == key && r.Refused != "":
			b.failDrop(f, w, r.Refused)
		case r != nil && (r.Want == key || shadowed[r.Want]) && b.v.Index.Distfiles[ledger.Key{Name: f.name, SHA256: r.SHA256}] != nil:
			// taken already
		case key != "":
			b.readDrop(f, w)
		default:
			if layout.Growing(b.v.Now, f.modTime) {
				continue
			}
			if err := b.v.Store.Layouts().Check(f.name); err != nil {
				b.failDrop(f, nil, err.Error())
				continue
			}
			b.readOnce(&reading{path: f.path, drop: f, name: f.name, size: f.size})
		}
	}
}

func (b *planner) failDrop(f *dropFile, w *want, reason string) {
	if w == nil {
		w = &want{Distfile: &catalog.Distfile{Name: f.name}, id: ledger.NoWant}
	}
	b.fail(w.keyOf("local"), w, failure.Local, reason)
}

// expireDrops removes from the drop box what has been in the archive for the
// expiry. The bytes are durable there: they have a record. Only the file that was
// read is removed, by its inode and as it was then, and only once the archive's
// copy was read again: neither its size nor its time tell that it is still right.
func (m *mirror) expireDrops(ctx context.Context) error {
	for _, f := range sortedDrops(m.facts.drops) {
		r := f.seen(m.v.Index)
		if r == nil || r.Refused != "" || m.v.Now.Sub(r.Since) < m.o.LocalExpiry {
			continue
		}
		d := m.v.Index.Distfiles[ledger.Key{Name: f.name, SHA256: r.SHA256}]
		if d == nil {
			continue
		}
		rel := m.v.Shelf.Sound(&d.Content)
		if rel == "" {
			continue
		}
		path := m.v.Store.Path(rel)
		sums, _, err := store.Hash(ctx, path)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		} else if err != nil && store.Broken(err) {
			return err
		} else if err == nil && sums.Get(digest.SHA256) != d.SHA256() {
			err = fmt.Errorf("%s: %w", path, store.ErrDamaged)
		}
		if err != nil {
			key := ledger.FailureKey{Name: f.name, Want: ledger.NoWant}
			m.failing[key] = &failing{key, d.Owner, failure.Local, fmt.Sprintf("%v: %s stays in distfiles-local: run distkeep verify %s", err, f.name, f.name)}
			continue
		}
		tree, drop := f.tree()
		if err := tree.Remove(drop, r.File); errors.Is(err, regular.ErrChanged) || errors.Is(err, fs.ErrNotExist) {
			continue // it is no longer the file that was taken
		} else if err != nil {
			m.v.Warn("distfiles-local: %v", err)
			continue
		}
		store.Failpoint("drop.removed")
		m.sum.LocalExpired.Add(f.size)
		delete(m.facts.drops, f.name)
	}
	return m.forgetDrops()
}

// forgetDrops drops the records of files that are no longer in the drop box.
func (m *mirror) forgetDrops() error {
	var b ledger.Batch
	for name := range m.v.Index.Dropped {
		if m.facts.drops[name] == nil {
			b.DropDropped(name)
		}
	}
	return m.v.Commit(&b)
}
