package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
	"distkeep/fetch/failure"
)

// treeOf is the drop box, in which f is at rel. Whoever fills it may put symbolic
// links there at any time: none is followed.
func treeOf(f *plan.Drop) (tree regular.Tree, rel string) {
	rel = filepath.FromSlash(string(f.Name))
	return regular.NewStrictTree(strings.TrimSuffix(f.Path, rel)), rel
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
func listDrops(dir string, warn func(format string, args ...any), archive ...string) (map[catalog.Name]*plan.Drop, error) {
	drops := make(map[catalog.Name]*plan.Drop)
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
		drops[name] = &plan.Drop{Name: name, Path: path, Size: fi.Size(), ModTime: fi.ModTime().UTC(), ID: regular.IDOf(fi)}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("distfiles-local: %w", err)
	}
	return drops, nil
}

// expireDrops removes from the drop box what has been in the archive for the
// expiry. The bytes are durable there: they have a record. Only the file that was
// read is removed, by its inode and as it was then, and only once the archive's
// copy was read again: neither its size nor its time tell that it is still right.
func (m *mirror) expireDrops(ctx context.Context) error {
	for _, f := range plan.SortedDrops(m.facts.Drops) {
		r := f.Seen(m.v.Index)
		if r == nil || r.Refused != "" || m.v.Now.Sub(r.Since) < m.o.LocalExpiry {
			continue
		}
		d := m.v.Index.Distfiles[ledger.Key{Name: f.Name, SHA256: r.SHA256}]
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
			key := ledger.FailureKey{Name: f.Name, Want: ledger.NoWant}
			m.failing[key] = &plan.Failing{Key: key, Owner: d.Owner, Class: failure.Local, Reason: fmt.Sprintf("%v: %s stays in distfiles-local: run distkeep verify %s", err, f.Name, f.Name)}
			continue
		}
		tree, drop := treeOf(f)
		if err := m.v.Store.Take(tree, drop, r.File); errors.Is(err, regular.ErrChanged) || errors.Is(err, fs.ErrNotExist) {
			continue // it is no longer the file that was taken
		} else if err != nil {
			m.v.Warn("distfiles-local: %v", err)
			continue
		}
		m.sum.LocalExpired.Add(f.Size)
		delete(m.facts.Drops, f.Name)
	}
	return m.forgetDrops()
}

// forgetDrops drops the records of files that are no longer in the drop box.
func (m *mirror) forgetDrops() error {
	var b ledger.Batch
	for name := range m.v.Index.Dropped {
		if m.facts.Drops[name] == nil {
			b.DropDropped(name)
		}
	}
	return m.v.Commit(&b)
}
