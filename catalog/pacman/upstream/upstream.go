// Package upstream mirrors the repositories of a pacman upstream: it fetches
// their databases and signatures, keeps them from run to run, and says how they
// are published together with the packages that they name. Package pacman
// parses what comes.
//
// Databases are fetched into a new directory, judged there, and put into use
// all at once, by a file that names the directory. What is wrong with the
// upstream leaves the databases of the last run in use. Begin with
// [Repository.Scan].
package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/catalog"
	"distkeep/catalog/pacman"
)

// Options describe repositories of an upstream.
type Options struct {
	// Options say which repositories there are. URLs must have one entry at
	// least; the first is the one whose databases are taken.
	pacman.Options
	// State is a directory of the upstream's own, in which databases and
	// signatures are kept from run to run. It is made when it is missing.
	State string
	// At is the directory of the published tree that the upstream's base
	// corresponds to; empty means the published tree itself.
	At string
	// Pool, if it is not empty, has the packages, in the directory pool/Pool
	// below At; the directories of the databases have links to them.
	Pool string
	// Getter asks the upstream.
	Getter catalog.Getter
	// NoFiles leaves out the .files databases, and the .links;
	// NoDatabaseSignature the .db.sig.
	NoFiles, NoDatabaseSignature bool
	// Keyring checks signatures; nil means that none is checked. KeyringID
	// names its content.
	//
	// With a keyring, a database whose signature is there must be signed by
	// it, and every package must: by a signature of its own or, if it has
	// none, by that of its database, which holds its digest. That is what
	// pacman.conf(5) calls Required DatabaseOptional, but for packages of
	// signed databases.
	Keyring   catalog.Verifier
	KeyringID string
	// Offline asks the upstream nothing: the databases of the last run are
	// scanned.
	Offline bool
	// Dry keeps nothing of what is fetched.
	Dry bool
	// Room says whether need bytes more may be written to State. Its error
	// ends the scan. Nil means that they always may.
	Room func(need int64) error
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

// A Repository is a set of pacman repositories whose databases are fetched from
// their upstream before they are scanned. It implements catalog.Viewer: each
// database is published together with the packages that it names. Its methods
// must not be called concurrently.
type Repository struct {
	o     Options
	locs  []pacman.Location
	state *state
	dir   string // of the databases that were scanned
	sigs  *signatures
	dbs   []*pacman.Database
	// fault says why a database must not be published, by its path.
	fault map[string]string
	// idle: the upstream has not changed since the last scan.
	idle bool
	// signed are the databases, by path, that the keyring vouches for.
	signed map[string]bool
	notes  []string
}

var _ catalog.Viewer = (*Repository)(nil)

// New returns the repositories of an upstream. It asks and reads
// nothing yet; its errors are about o.
func New(o Options) (*Repository, error) {
	_, err := pacman.Open(o.State, o.Options)
	switch {
	case err != nil:
		return nil, err
	case len(o.URLs) == 0:
		return nil, fmt.Errorf("pacman repository %s: the URL of the upstream is missing", o.Name)
	}
	locs, err := o.Locations()
	if err != nil {
		return nil, err
	}
	for _, l := range locs {
		if _, err := catalog.ParsePath(path.Join(o.At, l.Dir)); err != nil {
			return nil, fmt.Errorf("pacman repository %s: %s cannot be published in %q: %w", o.Name, l.Path(".db"), path.Join(o.At, l.Dir), err)
		}
	}
	if pool := o.pool(); pool != "" {
		_, err := catalog.ParseName(o.Pool)
		if err == nil {
			_, err = catalog.ParsePath(pool)
		}
		if err != nil {
			return nil, fmt.Errorf("pacman repository %s: pool=%s: %w", o.Name, o.Pool, err)
		}
		if slices.ContainsFunc(locs, func(l pacman.Location) bool { return path.Join(o.At, l.Dir) == pool }) {
			return nil, fmt.Errorf("pacman repository %s: pool=%s: a database is published in %s", o.Name, o.Pool, pool)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Room == nil {
		o.Room = func(int64) error { return nil }
	}
	return &Repository{o: o, locs: locs}, nil
}

// Name returns Options.Name.
func (u *Repository) Name() string { return u.o.Name }

// Kind returns catalog.Pacman.
func (u *Repository) Kind() catalog.Kind { return catalog.Pacman }

// Dirs returns the directories of the published tree that the upstream has.
func (u *Repository) Dirs() []string {
	var dirs []string
	for _, l := range u.locs {
		dirs = append(dirs, path.Join(u.o.At, l.Dir))
	}
	if pool := u.o.pool(); pool != "" {
		dirs = append(dirs, pool)
	}
	return dirs
}

// pool is the directory of the published tree that has the packages, or "".
func (o *Options) pool() string {
	if o.Pool == "" {
		return ""
	}
	return path.Join(o.At, "pool", o.Pool)
}

// Scan asks the upstream for its lastupdate, and for its databases unless that
// is the same as at the end of the last scan without trouble, which was within a
// day, and scans them.
//
// What is optional, lastupdate, .files, .links and signatures that no keyring
// asks for, can be missing in any way: a note says so where that is news. An
// upstream whose lastupdate or database is older than what it had is a stale
// mirror. That, and what else is wrong with the upstream, with a database or its signature, or a
// signature of a package that cannot be had, is a problem; the databases of the
// last run stay in use then, if there are any. An error is about this machine.
func (u *Repository) Scan(ctx context.Context) (s *catalog.Scan, err error) {
	defer func() { err = errors.Join(err, u.o.Getter.Close()) }()
	if u.state, err = loadState(u.o.State, u.o.Offline || u.o.Dry); err != nil {
		return nil, err
	}
	u.idle, u.fault, u.signed, u.notes = false, make(map[string]string), make(map[string]bool), nil
	var problems []catalog.Problem
	next := u.state
	if !u.o.Offline {
		if next, problems, err = u.refresh(ctx); err != nil {
			return nil, err
		}
	}
	u.dir = next.dir(u.o.State)
	kept := false
	if next.Dir != u.state.Dir {
		staged := u.dir
		defer func() {
			if !kept {
				err = errors.Join(err, os.RemoveAll(staged))
			}
		}()
	}
	r, err := pacman.Open(u.dir, u.o.Options)
	if err != nil {
		return nil, err
	}
	s, err = r.Scan(ctx)
	switch {
	case err != nil && len(problems) > 0 && len(next.Files) == 0 && ctx.Err() == nil:
		// Nothing was had, neither now nor in an earlier run.
		u.dbs = nil
		return &catalog.Scan{Repo: u.o.Name, Kind: catalog.Pacman, Problems: problems}, nil
	case err != nil && len(next.Files) > 0 && ctx.Err() == nil:
		return nil, fmt.Errorf("%w; remove %s, and everything is asked for anew", err, u.o.State)
	case err != nil:
		return nil, err
	}
	u.dbs = r.Databases()
	u.state = next
	slices.Sort(u.notes)
	s.Notes = u.notes
	s.Problems = append(problems, s.Problems...)
	vouch, err := u.vouch()
	if err != nil {
		return nil, err
	}
	s.Problems = append(s.Problems, vouch...)
	if u.sigs, err = openSignatures(u.o.State); err != nil {
		return nil, err
	}
	if u.o.Offline || u.o.Dry {
		return s, nil
	}
	missing, err := u.fetchSignatures(ctx)
	if err != nil {
		return nil, err
	}
	s.Problems = append(s.Problems, missing...)
	if len(s.Problems) > 0 {
		u.state.LastUpdate = ""
	}
	kept = true
	return s, u.state.save(u.o.State)
}

func (u *Repository) problem(format string, args ...any) catalog.Problem {
	return catalog.Problem{Repo: u.o.Name, Msg: fmt.Sprintf(format, args...)}
}

// base is the URL that databases are taken from.
func (u *Repository) base() string { return u.o.URLs[0] }

// refresh brings the databases up to date. It returns the state with the new
// ones, which is not saved yet.
func (u *Repository) refresh(ctx context.Context) (*state, []catalog.Problem, error) {
	old := u.state
	last, err := u.lastUpdate(ctx)
	switch {
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case err != nil:
		stay := ""
		if len(old.Files) > 0 {
			stay = "; the databases of the last run are used"
		}
		return old, []catalog.Problem{u.problem("%v%s", err, stay)}, nil
	case old.Base == u.base() && earlier(last, old.Newest):
		stale := &staleError{catalog.Redact(u.base()) + "/lastupdate", unixTime(last), unixTime(old.Newest), u.o.State}
		return old, []catalog.Problem{u.problem("%v; the databases of the last run are used", stale)}, nil
	case last != "" && last == old.LastUpdate && old.Base == u.base() && old.Form == u.form() && old.has(u.locs) && u.believed(old.Asked):
		u.idle = true
		return old, nil, nil
	}
	next, err := old.successor(u.o.State)
	if err != nil {
		return nil, nil, err
	}
	next.Base, next.Form, next.Asked = u.base(), u.form(), u.o.Now().UTC().Truncate(time.Second)
	if old.Base != next.Base {
		old.forgetVersions()
	}
	var mu sync.Mutex
	var problems []catalog.Problem
	unsure := false // whether there is something optional
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // as many as from any host
	for _, l := range u.locs {
		g.Go(func() error {
			set, err := u.fetchLocation(gctx, l, next.dir(u.o.State))
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			mu.Lock()
			defer mu.Unlock()
			if disk := (*diskError)(nil); errors.As(err, &disk) {
				return err
			}
			var files map[string]fileState
			if err == nil {
				files = set.files
				unsure = u.noteMissing(set) || unsure
			} else {
				note := ""
				if errors.Is(err, fs.ErrNotExist) {
					note = "; check the repository, the architecture and the template"
				}
				if files, err = u.carry(l, next.dir(u.o.State), err); len(files) > 0 {
					note = "; the databases of the last run are used"
				}
				problems = append(problems, u.problem("%s: %v%s", l.Dir, err, note))
			}
			for name, f := range files {
				next.Files[name] = f
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(next.dir(u.o.State)))
	}
	if old.Base == next.Base {
		next.Newest = old.Newest
	}
	if last != "" && !u.future(unixTime(last)) {
		next.Newest = last
	}
	if !unsure {
		next.LastUpdate = last // Scan forgets it when there are problems
	}
	if next.sameFiles(old) {
		err = os.RemoveAll(next.dir(u.o.State))
		next.Dir = old.Dir
	}
	return next, problems, err
}

// noteMissing notes what is optional and missing, and reports whether an upstream
// that answers might have it.
func (u *Repository) noteMissing(set *fileSet) (unsure bool) {
	for ext, why := range set.missing {
		u.notes = append(u.notes, fmt.Sprintf("%s: without %s: %v", set.Dir, set.Repo+ext, why))
		unsure = unsure || !errors.Is(why, catalog.ErrRefused) && !errors.Is(why, errMoved)
	}
	return unsure
}

// form tells apart what the state was made for.
func (u *Repository) form() string {
	form := "db files"
	if u.o.NoFiles {
		form = "db"
	}
	if u.o.NoDatabaseSignature {
		form += " without signature"
	}
	return form
}

// maxLastUpdate is more than a time takes.
const maxLastUpdate = 64

// lastUpdate asks for the time of the upstream's last change, as Arch Linux's
// mirrors have it beside their repositories. It is empty when there is none.
func (u *Repository) lastUpdate(ctx context.Context) (string, error) {
	var buf bytes.Buffer
	url := strings.TrimRight(u.base(), "/") + "/lastupdate"
	_, err := u.o.Getter.Get(ctx, url, catalog.Version{}, 64<<10, func() (io.Writer, error) {
		buf.Reset()
		return &buf, nil
	})
	switch text := strings.TrimSpace(buf.String()); {
	case errors.Is(err, catalog.ErrRefused):
		return "", nil
	case err != nil:
		return "", err
	case len(text) > maxLastUpdate || text == "" || strings.Trim(text, "0123456789") != "":
		return "", nil // a page of a server that has one for everything
	default:
		return text, nil
	}
}

// carry takes over the files of a location from the last run. It returns why,
// or the reason that this failed.
func (u *Repository) carry(l pacman.Location, dir string, why error) (map[string]fileState, error) {
	files := make(map[string]fileState)
	for _, ext := range indexExtensions {
		name := l.Path(ext)
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		f, ok := u.state.Files[name]
		if !ok {
			continue
		}
		if err := linkInto(filepath.Join(u.state.dir(u.o.State), filepath.FromSlash(name)), to); err != nil {
			return nil, err
		}
		files[name] = f
	}
	return files, why
}
