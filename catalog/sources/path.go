package sources

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// scanPath reads a list of this machine, or all of a directory.
func (r *Repository) scanPath(ctx context.Context, c *collector) error {
	fi, err := os.Stat(r.o.Path)
	switch {
	case err != nil:
		return err
	case fi.IsDir():
		return r.scanDir(ctx, c)
	}
	data, err := regular.Read(r.o.Path, maxList)
	if err != nil {
		return err
	}
	t := &text{file: r.o.Path, path: shortPath(r.o.Path), data: data, modTime: fi.ModTime()}
	if r.besides(t) {
		for _, suffix := range signatureSuffixes {
			t.suffix = suffix
			if t.sig, err = regular.Read(r.o.Path+suffix, maxSignature); !errors.Is(err, fs.ErrNotExist) {
				break
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := r.verify(t); err != nil {
		return err
	}
	return r.read(t, c)
}

// parent is the last component of the directory of file, or empty.
func parent(file string) string {
	if dir := path.Base(path.Dir(file)); dir != "." && dir != "/" {
		return dir
	}
	return ""
}

// portOf is the owner of CATEGORY/PORT/distinfo.
func portOf(file string) string {
	if parent(file) == "" {
		return ""
	}
	return path.Dir(file)
}

// packageOf is the owner of packages/NAME/NAME.VERSION/opam.
func packageOf(file string) string { return parent(file) }

// recipeOf is the owner of recipes/NAME/FOLDER/conandata.yml.
func recipeOf(file string) string { return cmp.Or(parent(path.Dir(file)), parent(file)) }

// shortPath is the name of a file with the directories that may tell its owner.
func shortPath(file string) string {
	parts := strings.Split(strings.TrimLeft(filepath.ToSlash(file), "/"), "/")
	return path.Join(parts[max(0, len(parts)-3):]...)
}

// maxFiles bounds the lists of a directory; opam has some 40,000.
const maxFiles = 500_000

// scanDir reads the lists below a directory of the kinds that have one a
// package. Links are not followed, so that nothing outside is read.
func (r *Repository) scanDir(ctx context.Context, c *collector) error {
	if r.kind != nil && r.kind.owner == nil {
		return fmt.Errorf("%s is a directory: a list of kind %s is one file", r.o.Path, r.kind.name)
	}
	root, err := os.OpenRoot(r.o.Path)
	if err != nil {
		return err
	}
	defer root.Close()
	files := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case e.IsDir() && name != "." && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir // .git
		case !e.Type().IsRegular():
			return nil
		}
		k := kindByName(e.Name())
		if k == nil || k.owner == nil || r.kind != nil && k != r.kind {
			return nil
		}
		if files++; files > maxFiles {
			return fmt.Errorf("more than %d lists", maxFiles)
		}
		data, err := regular.ReadIn(root, name, maxList)
		if err != nil {
			return err
		}
		file := filepath.Join(r.o.Path, filepath.FromSlash(name))
		if err := k.parse(&parser{text: &text{file: file, path: name, data: data}, collector: c}); err != nil {
			p := catalog.Problem{Msg: err.Error()}
			if owner := k.owner(name); owner != "" {
				p.Package, p.Scope = owner, catalog.OnePackage
			}
			c.report(p)
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", r.o.Path, err)
	case files == 0:
		return fmt.Errorf("%s: there is no distinfo, opam file or conandata.yml below it", r.o.Path)
	}
	return nil
}
