package survey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"distkeep/archive/plan"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// TreeOf is the drop box, in which f is at rel. Whoever fills it may put symbolic
// links there at any time: none is followed.
func TreeOf(f *plan.Drop) (tree regular.Tree, rel string) {
	rel = filepath.FromSlash(string(f.Name))
	return regular.NewStrictTree(strings.TrimSuffix(f.Path, rel)), rel
}

// OpenDrop opens a file of the drop box for reading.
func OpenDrop(f *plan.Drop) (*os.File, error) {
	tree, rel := TreeOf(f)
	return tree.Open(rel)
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
