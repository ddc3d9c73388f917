package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Shut reports whether what fi is keeps somebody out who may read the published tree
// itself: its mode says for whom all of it is.
func (s *Store) Shut(fi fs.FileInfo) bool { return s.shut(fi.Mode().Perm(), fi.IsDir()) }

func (s *Store) shut(perm fs.FileMode, dir bool) bool { return perm|s.readable(dir) != perm }

// readable are the bits of mode that a file or directory must have.
func (s *Store) readable(dir bool) fs.FileMode {
	needs := fs.FileMode(0o400)
	if dir {
		needs = 0o500
	}
	for shift := range 3 {
		if s.readers>>(3*shift)&0o5 == 0o5 {
			needs |= needs & 0o500 >> (6 - 3*shift)
		}
	}
	return needs
}

// LetIn gives a file or directory of the published tree the mode that lets its
// readers in.
func (s *Store) LetIn(path string) error {
	fi, err := s.lstat(path)
	if err != nil {
		return err
	}
	if !fi.IsDir() && !fi.Mode().IsRegular() || !s.Shut(fi) {
		return nil
	}
	if err := s.shared.fs.Chmod(path, fi.Mode().Perm()|s.readable(fi.IsDir())); err != nil {
		owner, _ := ownerOf(fi)
		return fmt.Errorf("readers are kept out, and its owner %d has to let them in: %w", owner, err)
	}
	return nil
}

// LetIn lets readers in to what the listing came by. The error names the first of those
// whom that cannot be done for: there may be as many as files.
func (l *Listing) LetIn() error {
	var first error
	more := 0
	for _, rel := range l.shut {
		switch err := l.s.LetIn(l.s.Path(rel)); {
		case err == nil || errors.Is(err, os.ErrNotExist):
		case first == nil:
			first = err
		default:
			more++
		}
	}
	if more > 0 {
		return fmt.Errorf("%w, and %d more: distkeep doctor lists them", first, more)
	}
	return first
}
