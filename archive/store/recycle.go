package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"distkeep/archive/layout"

	"golang.org/x/sys/unix"

	"distkeep/catalog/digest"
)

// A Recycle holds what was deleted from the published tree.
type Recycle struct {
	*placer
	tree *Tree
}

// Keep makes the contents safe in recycle: afterwards each has a durable
// link there. Nothing is unpublished yet. A content whose published files are
// all gone, or known not to have its bytes, is returned in missing and is not in
// recycle; one that cannot be put there in stuck, with the reason. The error means
// that the file system fails. Other files with the same
// bytes at its paths, as a copy of an archive has them that did not keep the hard
// links, become links to the one in recycle, so that Unpublish knows them.
func (r *Recycle) Keep(cs []*layout.Content) (missing []*layout.Content, stuck map[*layout.Content]error, err error) {
	defer func() { r.noteSync(err) }()
	dirs := make(dirSet)
	stuck = make(map[*layout.Content]error)
	for _, c := range cs {
		ok, err := r.keep(c, dirs)
		switch {
		case err != nil && Broken(err):
			return nil, nil, fmt.Errorf("recycle %s: %w", c.Name, err)
		case err != nil:
			stuck[c] = fmt.Errorf("recycle %s: %w", c.Name, err)
		case !ok:
			missing = append(missing, c)
		}
	}
	if err := r.syncDirs(dirs); err != nil {
		return nil, nil, fmt.Errorf("recycle: %w", err)
	}
	return missing, stuck, nil
}

func (r *Recycle) keep(c *layout.Content, dirs dirSet) (bool, error) {
	paths, err := r.tree.available(c)
	if err != nil {
		return false, err
	}
	for _, rel := range r.rightFirst(c, paths) {
		src := r.at.Path(rel)
		fi, err := r.lstat(src)
		if err != nil || !fi.Mode().IsRegular() || fi.Size() != c.Size || r.isAnother(c, src, fi) {
			continue
		}
		if err = syscall.EMLINK; !r.tree.Foreign(fi) {
			err = r.linkRecycled(src, fi, c, dirs)
		}
		if errors.Is(err, syscall.EMLINK) {
			// Another inode for this name, published and recycled, so
			// that Unpublish knows it again.
			it := &Item{Content: *c, Have: Source{Path: src, Was: fi}}
			if err = r.tree.publish(it, dirs); err == nil {
				if fi, err = r.lstat(src); err == nil {
					err = r.linkRecycled(src, fi, c, dirs)
				}
			}
		}
		if err == nil {
			err = r.unify(src, paths, dirs)
		}
		return err == nil, err
	}
	return false, nil
}

// isAnother reports whether src, that is fi and has the size of c, is known to have
// other bytes: it is read unless it has the time of the file that was verified.
func (r *Recycle) isAnother(c *layout.Content, src string, fi fs.FileInfo) bool {
	if fi.ModTime().Equal(c.ModTime) {
		return false
	}
	sums, _, err := r.read(context.Background(), src, nil, nil)
	return err == nil && sums.Get(digest.SHA256) != c.SHA256()
}

// rightFirst returns paths, those last whose files are known to be damaged: they
// are doubted where another one has a file of the same size with other bytes.
func (r *Recycle) rightFirst(c *layout.Content, paths []string) []string {
	var right, damaged []string
	for _, rel := range paths {
		src := r.at.Path(rel)
		fi, err := r.lstat(src)
		it := &Item{Content: *c, Have: Source{Path: src, Was: fi}}
		doubt := func(other string) bool {
			return errors.Is(r.tree.mayTake(it, r.at.Path(other), src, fi), ErrDamaged)
		}
		if err == nil && fi.Mode().IsRegular() && fi.Size() == c.Size && slices.ContainsFunc(paths, doubt) {
			damaged = append(damaged, rel)
		} else {
			right = append(right, rel)
		}
	}
	return append(right, damaged...)
}

// unify makes links to src of the other files at paths that have its bytes.
func (r *Recycle) unify(src string, paths []string, dirs dirSet) error {
	fi, err := r.lstat(src)
	if err != nil {
		return err
	}
	synced := false
	for _, rel := range paths {
		dst := r.at.Path(rel)
		old, err := r.lstat(dst)
		if isGone(err) {
			continue
		} else if err != nil {
			return err
		}
		if !old.Mode().IsRegular() || old.Size() != fi.Size() || os.SameFile(old, fi) || !r.same(src, dst) {
			continue
		}
		if !synced {
			// The file that stays may be younger than the one that goes.
			if err := r.prepare(src, false, true); err != nil {
				return err
			}
			synced = true
		}
		switch err := r.replace(src, fi, dst); {
		case errors.Is(err, syscall.EMLINK):
			return nil // it stays, for another name of the content
		case err != nil:
			return err
		}
		dirs.add(dst, r.at.published)
	}
	return nil
}

// linkRecycled links src to its place in recycle. What is there already is the
// same content, but has to be the inode that Unpublish is to remove.
func (r *Recycle) linkRecycled(src string, fi fs.FileInfo, c *layout.Content, dirs dirSet) error {
	dst := r.at.RecyclePath(c)
	if err := r.fs.Mkdir(filepath.Dir(dst)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err := r.fs.Link(src, dst)
	if errors.Is(err, fs.ErrExist) {
		err = r.replace(src, fi, dst)
	}
	if err != nil {
		return err
	}
	dirs.add(dst, r.at.work)
	return nil
}

// Unpublish removes the published paths of c, except those for which keep is
// true because another content or name still needs them. Only links to the
// inode that is in recycle are removed: a file that somebody put in its place
// stays. Directories of by_cipher and of hashed layouts that become empty go
// with it. SyncRemoved makes it durable.
func (r *Recycle) Unpublish(c *layout.Content, keep func(rel string) bool) error {
	safe, err := r.lstat(r.at.RecyclePath(c))
	if err != nil {
		return fmt.Errorf("unpublish %s: %w", c.Name, err)
	}
	paths, err := r.tree.available(c)
	if err != nil {
		return fmt.Errorf("unpublish %s: %w", c.Name, err)
	}
	// Names first: by_cipher is what a later run finds the content by if
	// this one is interrupted.
	for i := len(paths) - 1; i >= 0; i-- {
		if keep(paths[i]) {
			continue
		}
		if err := r.tree.unlink(r.at.Path(paths[i]), safe); err != nil {
			return fmt.Errorf("unpublish %s: %w", c.Name, err)
		}
	}
	return nil
}

// Purge removes a content from recycle for good. SyncRemoved makes it durable.
func (r *Recycle) Purge(c *layout.Content) error {
	path := r.at.RecyclePath(c)
	if err := r.remove(path); err != nil {
		return fmt.Errorf("purge %s: %w", c.Name, err)
	}
	dir := filepath.Dir(path)
	switch err := r.fs.Rmdir(dir); {
	case err == nil || errors.Is(err, fs.ErrNotExist):
		delete(r.removed, dir)
		r.removed[r.at.RecycleDir()] = struct{}{}
	case errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST):
		// The directory is shared by all names of the content.
		r.removed[dir] = struct{}{}
	default:
		return fmt.Errorf("purge %s: %w", c.Name, err)
	}
	return nil
}
