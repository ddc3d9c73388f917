package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// ErrDamaged means that a file does not have the bytes that were verified.
var ErrDamaged = layout.ErrDamaged

// mayTake returns why src, that is fi and holds the content of it, cannot be published at dst, or nil. What
// is there with the same size and other bytes may be the content of it in a file
// of its own, as an archive that was copied without its hard links has it, and
// src the one that has rotted: neither size nor time tell.
func (s *Store) mayTake(it *Item, dst, src string, fi fs.FileInfo) error {
	old, err := s.lstat(dst)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s: a file is in the place of a directory", layout.ErrPath, dst)
	case err != nil:
		return err
	case old.IsDir():
		return fmt.Errorf("%w: %s is a directory", layout.ErrPath, dst)
	case it.hasPart() || it.Have.Read:
		return nil
	case !old.Mode().IsRegular() || old.Size() != fi.Size() || os.SameFile(old, fi) || sameBytes(src, dst):
		return nil
	}
	sums, _, err := Hash(context.Background(), src)
	if err != nil {
		return err
	}
	if sum := sums.Get(digest.SHA256); sum != it.SHA256() {
		return fmt.Errorf("%s: %w: its SHA256 is %s, want %s; %s has other bytes", src, ErrDamaged, sum.Hex(), it.SHA256().Hex(), dst)
	}
	it.Have.Read = true
	return nil
}

// supplant puts a link to src at dst, a path of the published tree at which
// another file may be. The only link to bytes that differ from those of src and of
// former, if that is not empty, goes to quarantine: it is not the archive's,
// somebody has put it there since the archive was looked at.
func (s *Store) supplant(src string, fi fs.FileInfo, dst, former string) error {
	// Of two links to one file each would take the other for the one that stays.
	s.supplanting.Lock()
	defer s.supplanting.Unlock()
	moved, err := s.rescue(src, dst, former)
	switch {
	case err != nil:
		return err
	case moved:
		return s.fs.Link(src, dst)
	}
	return s.replace(src, fi, dst)
}

// rescue keeps the file at dst in quarantine if that is the only link to it and
// it has neither the bytes of src nor those of former, another path. moved says
// that dst is gone by that.
func (s *Store) rescue(src, dst, former string) (moved bool, err error) {
	old, err := s.lstat(dst)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if !old.Mode().IsRegular() || links(old) > 1 || sameBytes(src, dst) || former != "" && former != dst && sameBytes(former, dst) {
		return false, nil
	}
	label := "replaced." + filepath.Base(dst)
	label = label[:min(len(label), nameMax-len(".999999"))]
	kept, err := s.linkAside(label, old, dst)
	if errors.Is(err, syscall.EPERM) {
		// A file of somebody else cannot be linked, but moved.
		kept, err = s.moveAside(label, dst)
		moved = err == nil
	}
	if err != nil {
		return false, fmt.Errorf("quarantine: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaced = append(s.replaced, kept)
	return moved, nil
}

// Replaced returns files that have gone to quarantine since it was last called,
// because something else was published in their place.
func (s *Store) Replaced() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.replaced = nil }()
	return s.replaced
}

// replace puts a link to src at dst, where something is already.
func (s *Store) replace(src string, fi fs.FileInfo, dst string) error {
	old, err := s.lstat(dst)
	if err != nil {
		return err
	}
	if os.SameFile(old, fi) {
		return nil
	}
	if old.IsDir() {
		return fmt.Errorf("%w: %s is a directory", layout.ErrPath, dst)
	}
	tmp := s.temp()
	if err := s.remove(tmp); err != nil {
		return err
	}
	if err := s.fs.Link(src, tmp); err != nil {
		return err
	}
	if err := s.fs.Rename(tmp, dst); err != nil {
		return errors.Join(err, s.remove(tmp))
	}
	return nil
}

// moveAside moves path to a free name in quarantine.
func (s *Store) moveAside(label, path string) (string, error) {
	for n := 0; ; n++ {
		kept := filepath.Join(s.QuarantineDir(), fmt.Sprintf("%s.%d", label, n))
		switch _, err := s.lstat(kept); {
		case err == nil:
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		if err := s.fs.Rename(path, kept); err != nil {
			return "", err
		}
		return kept, s.fs.SyncDir(s.QuarantineDir())
	}
}

// sameBytes reports whether two files are known to have the same bytes.
func sameBytes(a, b string) bool {
	f, err := regular.OpenItself(a)
	if err != nil {
		return false
	}
	defer f.Close()
	g, err := regular.OpenItself(b)
	if err != nil {
		return false
	}
	defer g.Close()
	same, err := SameBytes(f, g)
	return same && err == nil
}

// SameBytes reports whether two files have the same bytes. It stops at the first
// that differs.
func SameBytes(f, g io.ReaderAt) (bool, error) {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); ; {
		n, err := f.ReadAt(a, off)
		if err != nil && err != io.EOF {
			return false, err
		}
		m, err2 := g.ReadAt(b, off)
		if err2 != nil && err2 != io.EOF {
			return false, err2
		}
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if n == 0 || err == io.EOF {
			return true, nil
		}
		off += int64(n)
	}
}
