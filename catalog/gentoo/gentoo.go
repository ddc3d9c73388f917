// Package gentoo scans ebuild repositories: the metadata cache, the Manifests
// and the mirror groups, and nothing else. It never runs a shell.
//
// The rules are those of the Package Manager Specification (PMS), EAPIs 0 to
// 9, and, where that leaves a choice, those of portage and its emirrordist.
//
// # What counts as a package
//
// The unit is the ebuild file. Each needs an entry in metadata/md5-cache whose
// _md5_ is the MD5 of the ebuild: an absent or a stale entry is a problem of
// its package. What a stale entry lists still counts as wanted. A tree that
// ships no ebuild at all is scanned from its cache.
//
// # Symbolic links
//
// Links inside the tree are followed, as portage does. A link that leaves the
// tree is a problem of its package: a tree must not be able to make the
// program read other files. Only fixed levels are read, so that no link can
// make a loop.
package gentoo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"distkeep/catalog"
)

// Options configure a Repository. The zero value is ready for use.
type Options struct {
	// Name replaces the name that the repository gives itself.
	Name string
	// Masters are the paths of the repositories that this one builds upon.
	// Their mirror groups and categories apply; a group's own mirrors come
	// before those of the masters.
	Masters []string
	// MirrorOverrides replace mirror groups, or define further ones.
	MirrorOverrides map[string][]string
	// MirrorSkip names the groups whose mirrors are never tried.
	MirrorSkip []string
	// MirrorExemptions names the groups whose mirror:// URIs lift
	// RESTRICT=mirror, but not RESTRICT=fetch, for themselves alone: of the
	// plain URIs beside them it holds.
	MirrorExemptions []string
	// Cache is a directory for what this program works out itself, where the
	// metadata cache of the tree does not say. Empty means that nothing is
	// kept.
	Cache string
	// Stamps is the file that has what a scan found, so that the next need not
	// read the packages of which no file has changed. Empty means that each scan
	// reads everything.
	Stamps string
	// Program tells this program from all others that may make something else of a
	// package. Without it Stamps is not used.
	Program string
	// FullScan reads everything, and makes Stamps anew.
	FullScan bool
	// ReadOnly leaves Cache and Stamps as they are.
	ReadOnly bool
	// Room says whether need bytes more may be written to Stamps. Nil means that they
	// always may.
	Room func(need int64) error
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Generate makes a metadata cache of the repository at path, with the
	// masters that Options has, and returns its directory. It is called once
	// in a scan that cannot do without. Nil means that there is no program
	// that could.
	Generate func(ctx context.Context, path string) (cache string, err error)
	// Workers bounds the packages that are read at the same time. Zero
	// means GOMAXPROCS.
	Workers int
}

// A Repository is one ebuild repository on disk.
type Repository struct {
	path   string
	name   string
	layout layout
	opts   Options
}

var _ catalog.Stamped = (*Repository)(nil)

// Open returns the repository at path. It checks that there is one, and reads
// its name and its masters; everything else is read by Scan.
func Open(path string, o Options) (*Repository, error) {
	path = filepath.Clean(path)
	fail := func(err error) (*Repository, error) {
		return nil, fmt.Errorf("gentoo repository %s: %w", path, err)
	}
	if err := checkTree(path); err != nil {
		return fail(err)
	}
	for _, m := range o.Masters {
		if err := checkTree(m); err != nil {
			return fail(fmt.Errorf("its master %s: %w", m, err))
		}
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return fail(plain(err))
	}
	defer root.Close()
	r := &Repository{path: path, opts: o}
	if r.opts.Workers <= 0 {
		r.opts.Workers = runtime.GOMAXPROCS(0)
	}
	if r.opts.Now == nil {
		r.opts.Now = time.Now
	}
	if r.layout, err = readLayout(root); err != nil {
		return fail(err)
	}
	if r.name, err = r.findName(root); err != nil {
		return fail(err)
	}
	return r, nil
}

// checkTree returns an error unless path is a directory that looks like an
// ebuild repository.
func checkTree(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("no such directory")
	case err != nil:
		return plain(err)
	case !st.IsDir():
		return errors.New("not a directory")
	}
	for _, d := range []string{"profiles", "metadata"} {
		if st, err := os.Stat(filepath.Join(path, d)); err == nil && st.IsDir() {
			return nil
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", d, plain(err))
		}
	}
	return errors.New("not an ebuild repository: it has neither profiles/ nor metadata/")
}

// findName follows portage: layout.conf wins over profiles/repo_name, and a
// tree without a name is called after its directory. Only the name of the options
// has to be right as it is.
func (r *Repository) findName(root *os.Root) (string, error) {
	name := r.opts.Name
	if name == "" {
		name = r.layout.name
	}
	if name == "" {
		b, err := readProfile(root, "profiles/repo_name")
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(string(b), "\n")
		name = repoName(line)
	}
	if name == "" {
		abs, err := filepath.Abs(r.path)
		if err != nil {
			return "", err
		}
		name = repoName("x-" + filepath.Base(abs))
	}
	if !validRepoName(name) {
		return "", fmt.Errorf("bad repository name %.80q: use letters, digits, _ and -", name)
	}
	return name, nil
}

// Name is the name of the repository: that of the options, or else the one
// that the repository gives itself.
func (r *Repository) Name() string { return r.name }

// Kind is [catalog.Gentoo].
func (r *Repository) Kind() catalog.Kind { return catalog.Gentoo }

// Path is the path that Open was called with, cleaned.
func (r *Repository) Path() string { return r.path }

// Masters returns the names of the repositories that metadata/layout.conf
// builds upon. Whoever knows their paths puts these into [Options]. said is false
// where it has no such key: portage takes the main repository for the master then.
func (r *Repository) Masters() (names []string, said bool) {
	return r.layout.masters, r.layout.masters != nil
}

// plain takes the operation and the path, which the caller names already, off
// an error of package os.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
