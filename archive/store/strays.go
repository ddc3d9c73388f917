package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"distkeep/archive/layout"
)

// Everything returns those files of the published tree outside by_cipher that are stray,
// hidden ones, those behind symbolic links and those in directories that no layout has
// included, as they were when they were first looked at. What an unreadable directory
// holds is not known; warn is told. stray must not call methods of l.
func (l *Listing) Everything(ctx context.Context, stray func(rel string) bool, warn func(error)) (found []*layout.Stray, err error) {
	for _, rel := range l.aside {
		if found, err = l.s.strays(ctx, found, l.s.Path(rel), warn); err != nil {
			return nil, fmt.Errorf("list archive: %w", err)
		}
	}
	found = slices.DeleteFunc(found, func(s *layout.Stray) bool {
		rel, ok := strings.CutPrefix(s.Path, l.s.Path("")+"/")
		return ok && !stray(rel)
	})
	l.All(func(rel string, f layout.File) bool {
		if stray(rel) {
			found = append(found, &layout.Stray{Path: l.s.Path(rel), Base: filepath.Base(rel), File: f})
		}
		return true
	})
	return found, nil
}

// StraysBelow returns all files below dir, which may be on another file system.
func (s *Store) StraysBelow(ctx context.Context, dir string, warn func(error)) ([]*layout.Stray, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	return s.strays(ctx, nil, real, warn)
}

// strays adds to found what is at path and below it. A symbolic link to a directory
// is not followed.
func (s *Store) strays(ctx context.Context, found []*layout.Stray, path string, warn func(error)) ([]*layout.Stray, error) {
	err := filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil && Broken(err):
			return err
		case err != nil:
			warn(err)
			return nil
		case e.IsDir():
			return nil
		}
		if f := s.strayAt(path, e); f != nil {
			found = append(found, f)
		}
		return nil
	})
	return found, err
}

// strayAt returns the regular file that path is or leads to, or nil.
func (s *Store) strayAt(path string, e fs.DirEntry) *layout.Stray {
	base := e.Name()
	if e.Type() == fs.ModeSymlink {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return nil // to nowhere
		}
		path = real
	}
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	f := &layout.Stray{Path: path, Base: base, File: s.ours(fi)}
	f.Foreign = f.Foreign || f.Inode.Dev != s.device
	return f
}
