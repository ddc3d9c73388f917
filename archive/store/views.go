package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog/regular"
)

// Views are what of the published tree no layout puts there: the directories of
// package managers, with an index and links to distfiles.
type Views struct{ *placer }

// A Link is a path of the published tree, relative to it, that is to hold the
// inode of Have, a file of the archive, or a copy if that has as many links as the
// file system allows. If To is not empty, it is to be a relative symbolic link to
// To instead, another path of the published tree that is there.
type Link struct {
	Rel  string
	Have Source
	To   string
}

// A Copy is a path of the published tree, relative to it, that is to hold a
// file of its own with the content Data or, if that is nil, of the file From.
type Copy struct {
	Rel  string
	Data []byte
	From string
	// ModTime is set when it is not zero.
	ModTime time.Time
	// Foreign says that what may be there already is not known to be the
	// archive's: if it has other bytes, it goes to quarantine.
	Foreign bool
}

// Expose publishes links and then copies, in their order, and makes all
// durable. Nothing half-written is ever seen: the bytes of the copies are
// durable before the first path changes, and what is there already is replaced
// by rename. When Expose fails, some of the paths may have changed.
func (w *Views) Expose(links []Link, copies []Copy) (err error) {
	temps := make([]string, 0, len(copies))
	defer func() {
		for _, t := range temps {
			err = errors.Join(err, w.remove(t))
		}
	}()
	each := len(copies) <= syncEach || !w.sync.Whole
	for i := range copies {
		temp := w.temp()
		temps = append(temps, temp)
		if err := w.writeCopy(temp, &copies[i], each); err != nil {
			return fmt.Errorf("publish %s: %w", copies[i].Rel, err)
		}
	}
	if !each {
		if err := w.syncAll(); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	defer func() { w.noteSync(err) }()
	dirs := make(dirSet)
	for _, l := range links {
		if err := w.expose(l, dirs); err != nil {
			return fmt.Errorf("publish %s: %w", l.Rel, err)
		}
	}
	for i := range copies {
		dst := w.at.Path(copies[i].Rel)
		if copies[i].Foreign {
			if _, err := w.quarantine.rescue(temps[i], dst, ""); err != nil {
				return fmt.Errorf("publish %s: %w", copies[i].Rel, err)
			}
		}
		err := w.fs.Rename(temps[i], dst)
		if errors.Is(err, fs.ErrNotExist) {
			if err = w.mkdir(filepath.Dir(dst)); err == nil {
				err = w.fs.Rename(temps[i], dst)
			}
		}
		if err != nil {
			return fmt.Errorf("publish %s: %w", copies[i].Rel, err)
		}
		dirs.add(dst, w.at.published)
	}
	if err := w.syncDirs(dirs); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

func (w *Views) expose(l Link, dirs dirSet) error {
	if l.To != "" {
		return w.symlink(l, dirs)
	}
	fi, err := w.lstat(l.Have.Path)
	if err != nil {
		return err
	}
	if err := l.Have.check(fi); err != nil {
		return err
	}
	err = w.link(l.Have.Path, fi, w.at.Path(l.Rel), "", false, dirs)
	if !errors.Is(err, syscall.EMLINK) {
		return err
	}
	temp := w.temp()
	if err := w.remove(temp); err != nil {
		return err
	}
	err = w.writeCopy(temp, &Copy{From: l.Have.Path, ModTime: fi.ModTime()}, true)
	if err == nil {
		err = w.link(temp, fi, w.at.Path(l.Rel), "", false, dirs)
	}
	return errors.Join(err, w.remove(temp))
}

// symlink makes a symbolic link, in one step where something is already.
func (w *Views) symlink(l Link, dirs dirSet) error {
	dst := w.at.Path(l.Rel)
	dir := filepath.Dir(dst)
	target, err := filepath.Rel(dir, w.at.Path(l.To))
	if err != nil {
		return err
	}
	if err := w.mkdir(dir); err != nil {
		return err
	}
	to, err := w.lstat(w.at.Path(l.To))
	if err != nil {
		return err
	}
	// Not filepath.Join: where the operator has made dir a symbolic link, ".." is
	// not what was before it.
	if fi, err := os.Lstat(dir + string(filepath.Separator) + target); err != nil || !os.SameFile(fi, to) {
		return fmt.Errorf("%w: a symbolic link on the way to %s makes %s lead elsewhere", layout.ErrPath, dir, target)
	}
	temp := w.temp()
	if err := w.remove(temp); err != nil {
		return err
	}
	if err := w.fs.Symlink(target, temp); err != nil {
		return err
	}
	if _, err = w.quarantine.rescue(w.at.Path(l.To), dst, ""); err == nil {
		err = w.fs.Rename(temp, dst)
	}
	if err != nil {
		return errors.Join(err, w.remove(temp))
	}
	dirs.add(dst, w.at.published)
	return nil
}

// Resolve returns the published path that a symbolic link at rel leads to: rel
// itself if there is none, and "" if it leads out of the published tree or is
// somebody else's.
func (w *Views) Resolve(rel string) (string, error) {
	fi, err := w.lstat(w.at.Path(rel))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return rel, nil
	case err != nil:
		return "", err
	case fi.Mode().Type() != fs.ModeSymlink:
		return rel, nil
	}
	target, err := os.Readlink(w.at.Path(rel))
	if err != nil {
		return "", err
	}
	to := path.Join(path.Dir(rel), filepath.ToSlash(target))
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || !regular.Trusted(st.Uid) || filepath.IsAbs(target) || !fs.ValidPath(to) {
		return "", nil
	}
	return to, nil
}

// writeCopy writes the file temp.
func (w *Views) writeCopy(temp string, c *Copy, sync bool) (err error) {
	if err := w.remove(temp); err != nil {
		return err
	}
	f, err := w.fs.Create(temp, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if c.Data != nil {
		_, err = f.Write(c.Data)
	} else {
		err = copyFrom(f, c.From)
	}
	if err != nil {
		return err
	}
	if !c.ModTime.IsZero() {
		if err := os.Chtimes(temp, c.ModTime, c.ModTime); err != nil {
			return err
		}
	}
	if sync {
		return w.fs.Sync(f)
	}
	return nil
}

func copyFrom(w io.Writer, path string) error {
	f, err := regular.OpenItself(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Withdraw removes published paths that Expose has made, and directories that become
// empty by it. SyncRemoved makes it durable.
func (w *Views) Withdraw(rels ...string) error {
	for _, rel := range rels {
		path := w.at.Path(rel)
		if err := w.remove(path); err != nil {
			return fmt.Errorf("withdraw %s: %w", rel, err)
		}
		w.prune(filepath.Dir(path))
	}
	return nil
}

// Stat looks at a published path. ok is false when there is no regular file.
func (w *Views) Stat(rel string) (f layout.File, ok bool, err error) {
	fi, err := w.lstat(w.at.Path(rel))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return layout.File{}, false, nil
	case err != nil:
		return layout.File{}, false, err
	}
	return fileOf(fi), fi.Mode().IsRegular(), nil
}
