package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"distkeep/archive/layout"
)

// Admit makes c durable in recycle: the file src from elsewhere, which was read
// when it was fi. It stays where it is, and recycle gets a link to it, or a copy
// where none can be made or where somebody else could write to it. The error is
// Broken only if the archive is.
func (r *Recycle) Admit(c *layout.Content, src string, fi fs.FileInfo) error {
	dirs := make(dirSet)
	err := error(syscall.EPERM)
	if !r.tree.Foreign(fi) {
		err = r.linkRecycled(src, fi, c, dirs)
	}
	if errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EMLINK) {
		err = r.admitCopy(c, src, dirs)
	} else if err == nil {
		err = r.admitted(c, fi)
	}
	if err == nil {
		err = r.syncDirs(dirs)
	}
	if err = r.noteSync(err); err != nil {
		return fmt.Errorf("recycle %s: %w", c.Name, err)
	}
	return nil
}

// admitted makes the file durable to which recycle has got a link, unless it is no
// longer the one that was read.
func (r *Recycle) admitted(c *layout.Content, was fs.FileInfo) error {
	dst := r.at.RecyclePath(c)
	if err := r.prepare(dst, false, true); err != nil {
		return err
	}
	fi, err := r.lstat(dst)
	if err == nil && (!os.SameFile(fi, was) || fi.Size() != was.Size() || !fi.ModTime().Equal(was.ModTime())) {
		err = errors.Join(errors.New("it was changed after it had been read"), r.remove(dst))
	}
	return err
}

// admitCopy puts a copy of src into recycle.
func (r *Recycle) admitCopy(c *layout.Content, src string, dirs dirSet) error {
	part, err := r.tree.duplicate(src, c.SHA256())
	if err != nil {
		return err
	}
	fi, err := r.lstat(part)
	if err == nil {
		err = r.linkRecycled(part, fi, c, dirs)
	}
	return errors.Join(err, r.remove(part))
}
