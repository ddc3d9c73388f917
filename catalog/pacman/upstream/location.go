package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/pacman"
	"distkeep/catalog/regular"
)

// indexExtensions are the files of one database in the order in which they are
// published: what a client reads first is last. A client that has the database
// asks for its signature next.
var indexExtensions = []string{".links.sig", ".links", ".files.sig", ".files", ".db.sig", ".db"}

// A diskError is trouble of our own disk.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

// errMoved means that the upstream changed while it was asked.
var errMoved = errors.New("the upstream changed while its files were fetched")

// A movedError may be an errMoved: it is what files of different moments look
// like.
type movedError struct{ error }

func (e movedError) Unwrap() []error { return []error{e.error, errMoved} }

// fetchLocation fetches the files of one database into dir and judges them.
// Files that belong to different moments are fetched again: an upstream that
// replaces them has the new ones in place a moment later.
func (u *Repository) fetchLocation(ctx context.Context, l pacman.Location, dir string) (files map[string]fileState, err error) {
	if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(l.Dir)), 0o755); err != nil {
		return nil, &diskError{err}
	}
	for range 3 {
		files, err = u.fetchSet(ctx, l, dir)
		if err == nil {
			err = u.judge(l, dir, files)
		}
		if disk := (*diskError)(nil); err == nil || ctx.Err() != nil || errors.As(err, &disk) {
			return files, err
		}
		if !errors.Is(err, errMoved) {
			break
		}
	}
	return nil, err
}

// fetchSet fetches what there is of one database.
func (u *Repository) fetchSet(ctx context.Context, l pacman.Location, dir string) (map[string]fileState, error) {
	files := make(map[string]fileState)
	kind, err := u.fetchDatabase(ctx, l, dir, files)
	if err != nil {
		return nil, err
	}
	for _, ext := range indexExtensions[:len(indexExtensions)-1] {
		base, _, isFiles := strings.Cut(ext, ".sig")
		if u.o.NoFiles && base != ".db" {
			continue
		}
		most := int64(pacman.MaxDatabase)
		if isFiles {
			most = pacman.MaxSignature
		}
		from := strings.Replace(ext, base, base+kind, 1)
		switch err := u.fetchFile(ctx, l, from, ext, most, dir, files); {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrPermission) && !u.had(l.Path(ext)):
			// Object stores that do not let themselves be listed say so of
			// what they have not.
		case err != nil:
			return nil, err
		}
	}
	// Whatever came between belongs to the database only if that has not
	// been replaced meanwhile.
	db := files[l.Path(".db")]
	if db.Validator == "" {
		return files, nil
	}
	_, err = u.o.Getter.Get(ctx, l.URL(u.base(), l.Repo+".db"+kind), db.Version, pacman.MaxDatabase, func() (io.Writer, error) { return nil, errMoved })
	if !errors.Is(err, catalog.ErrUnchanged) {
		return nil, err
	}
	return files, nil
}

// had reports whether the last run had the file.
func (u *Repository) had(name string) bool {
	_, ok := u.state.Files[name]
	return ok
}

// fetchDatabase fetches REPO.db, or whatever name the upstream has in place of
// the link. kind is what that has in addition.
func (u *Repository) fetchDatabase(ctx context.Context, l pacman.Location, dir string, files map[string]fileState) (kind string, err error) {
	var first error
	for _, ext := range pacman.Extensions {
		err := u.fetchFile(ctx, l, ext, ".db", pacman.MaxDatabase, dir, files)
		if err == nil {
			return strings.TrimPrefix(ext, ".db"), nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return "", first
}

// fetchFile fetches REPO+from and keeps it as REPO+to.
func (u *Repository) fetchFile(ctx context.Context, l pacman.Location, from, to string, most int64, dir string, files map[string]fileState) (err error) {
	name := l.Path(to)
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &diskError{err}
	}
	old := u.state.Files[name]
	hash := digest.NewHasher()
	var f *os.File
	v, err := u.o.Getter.Get(ctx, l.URL(u.base(), l.Repo+from), old.Version, most, func() (_ io.Writer, err error) {
		hash.Reset()
		if f != nil {
			if err := f.Close(); err != nil {
				return nil, &diskError{err}
			}
		}
		if err := u.o.Room(roomStep); err != nil {
			return nil, &diskError{err}
		}
		if f, err = os.Create(path); err != nil {
			return nil, &diskError{err}
		}
		return io.MultiWriter(&roomWriter{f, u.o.Room, roomStep}, hash), nil
	})
	switch {
	case errors.Is(err, catalog.ErrUnchanged):
		if err := linkInto(filepath.Join(u.state.dir(u.o.State), filepath.FromSlash(name)), path); err != nil {
			return &diskError{err}
		}
		files[name] = old
		return nil
	case f == nil:
		return err
	case err != nil:
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return &diskError{err}
	}
	if v.ModTime.IsZero() {
		v.ModTime = u.o.Now()
	}
	files[name] = fileState{v, hash.Sum().Get(digest.SHA256).Hex()}
	return nil
}

// roomStep is how often a file asks for room: upstreams need not say how long
// it is, and databases have some MiB.
const roomStep = 1 << 20

// A roomWriter writes to a file as long as there is room. Its errors are of type
// *diskError.
type roomWriter struct {
	f    *os.File
	room func(need int64) error
	left int64 // what may be written before room is asked again
}

func (w *roomWriter) Write(p []byte) (int, error) {
	if w.left -= int64(len(p)); w.left < 0 {
		w.left = max(roomStep-int64(len(p)), 0)
		if err := w.room(max(roomStep, int64(len(p)))); err != nil {
			return 0, &diskError{err}
		}
	}
	n, err := w.f.Write(p)
	if err != nil {
		err = &diskError{err}
	}
	return n, err
}

// judge refuses files that must not be used: a database or signature that is
// none, a signature by nobody of the keyring, and a .files or .links database
// that names packages which the database does not.
func (u *Repository) judge(l pacman.Location, dir string, files map[string]fileState) error {
	db, err := parseFile(filepath.Join(dir, filepath.FromSlash(l.Path(".db"))), l.Repo+".db")
	if err != nil {
		return err
	}
	named := make(map[catalog.Name]digest.Digest, len(db.Packages))
	for i := range db.Packages {
		named[db.Packages[i].Filename] = db.Packages[i].Digests().Strongest()
	}
	for _, ext := range []string{".db", ".files", ".links"} {
		name := l.Path(ext)
		if _, ok := files[name]; !ok {
			continue
		}
		if _, ok := files[name+".sig"]; ok {
			if err := u.verifyFile(dir, name); err != nil {
				return movedError{err}
			}
		}
		if ext == ".db" {
			continue
		}
		more, err := parseFile(filepath.Join(dir, filepath.FromSlash(name)), l.Repo+ext)
		if err != nil {
			return fmt.Errorf("%w (files=no leaves it out)", err)
		}
		for _, p := range more.Packages {
			if sum, ok := named[p.Filename]; !ok || sum != p.Digests().Strongest() {
				return movedError{fmt.Errorf("%s names %s, which %s does not (files=no leaves it out)", l.Repo+ext, p.Filename, l.Repo+".db")}
			}
		}
	}
	return nil
}

// parseFile parses the database at path, which errors call name.
func parseFile(path, name string) (*pacman.Database, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, &diskError{err}
	}
	defer f.Close()
	db, _, err := pacman.ParseDatabase(name, f)
	return db, err
}

// verifyFile checks the signature of a database, if there is a keyring, or
// else whether it is one.
func (u *Repository) verifyFile(dir, name string) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	sig, err := regular.Read(path+".sig", pacman.MaxSignature)
	if err != nil {
		return &diskError{err}
	}
	base := filepath.Base(path)
	if !isSignature(sig) {
		return fmt.Errorf("%s.sig is no signature: is it an error page?", base)
	}
	if u.o.Keyring == nil {
		return nil
	}
	f, err := regular.Open(path)
	if err != nil {
		return &diskError{err}
	}
	defer f.Close()
	if _, err := u.o.Keyring.Verify(f, sig); err != nil {
		return fmt.Errorf("%s: %w", base, err)
	}
	return nil
}

// vouch checks the signatures of the databases in use, which may be older than
// the keyring.
func (u *Repository) vouch() ([]catalog.Problem, error) {
	var problems []catalog.Problem
	for _, db := range u.dbs {
		name := db.Location().Path(".db")
		if missed := db.Entries - len(db.Packages); missed > 0 {
			u.fault[name] = fmt.Sprintf("%d of its %d entries cannot be understood", missed, db.Entries)
		}
		if _, ok := u.state.Files[name+".sig"]; !ok || u.o.Keyring == nil {
			continue
		}
		err := u.verifyFile(u.dir, name)
		if disk := (*diskError)(nil); errors.As(err, &disk) {
			return nil, err
		}
		if err != nil {
			u.fault[name] = err.Error()
			problems = append(problems, u.problem("%s: %v", db.Dir, err))
			continue
		}
		u.signed[name] = true
	}
	return problems, nil
}
