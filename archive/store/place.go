package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"distkeep/archive/layout"
)

// A placer puts links at paths of the published tree.
type placer struct {
	*shared
	quarantine  *Quarantine
	supplanting sync.Mutex // held while a path is given another inode
}

// link makes the path dst in the published tree a link to src. What is there
// with another inode is replaced in one step. fresh tells that the directory of
// dst is likely to be missing.
func (p *placer) link(src string, fi fs.FileInfo, dst, former string, fresh bool, dirs dirSet) error {
	err := fs.ErrNotExist
	if !fresh {
		err = p.fs.Link(src, dst)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = p.mkdir(parent(dst)); err == nil {
			err = p.fs.Link(src, dst)
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		err = p.supplant(src, fi, dst, former)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s: a file is in the place of a directory", layout.ErrPath, dst)
	}
	if err != nil {
		return err
	}
	dirs.add(dst, p.at.published)
	return nil
}

// move makes the part the file at the path dst in the published tree, unless something
// is there, or the directory is not: then it has not moved.
func (p *placer) move(part, dst string, dirs dirSet) (moved bool, err error) {
	switch err := p.fs.Move(part, dst); {
	case err == nil:
		dirs.add(dst, p.at.published)
		return true, nil
	case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	default:
		return false, err
	}
}

// supplant puts a link to src at dst, a path of the published tree at which
// another file may be. The only link to bytes that differ from those of src and of
// former, if that is not empty, goes to quarantine: it is not the archive's,
// somebody has put it there since the archive was looked at.
func (p *placer) supplant(src string, fi fs.FileInfo, dst, former string) error {
	// Of two links to one file each would take the other for the one that stays.
	p.supplanting.Lock()
	defer p.supplanting.Unlock()
	moved, err := p.quarantine.rescue(src, dst, former)
	switch {
	case err != nil:
		return err
	case moved:
		return p.fs.Link(src, dst)
	}
	return p.replace(src, fi, dst)
}

// replace puts a link to src at dst, where something is already.
func (p *placer) replace(src string, fi fs.FileInfo, dst string) error {
	old, err := p.lstat(dst)
	if err != nil {
		return err
	}
	if os.SameFile(old, fi) {
		return nil
	}
	if old.IsDir() {
		return fmt.Errorf("%w: %s is a directory", layout.ErrPath, dst)
	}
	tmp := p.temp()
	if err := p.remove(tmp); err != nil {
		return err
	}
	if err := p.fs.Link(src, tmp); err != nil {
		return err
	}
	if err := p.fs.Rename(tmp, dst); err != nil {
		return errors.Join(err, p.remove(tmp))
	}
	return nil
}
