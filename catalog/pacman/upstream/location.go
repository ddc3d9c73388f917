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
// replaces them has the new ones in place a moment later. What is optional and
// cannot be had, or does not fit, is left out.
func (u *Repository) fetchLocation(ctx context.Context, l pacman.Location, dir string) (set *fileSet, err error) {
	if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(l.Dir)), 0o755); err != nil {
		return nil, &diskError{err}
	}
	for try := 1; ; try++ {
		var late map[string]error
		set, err = u.fetchSet(ctx, l, dir)
		if err == nil {
			late, err = u.judge(set)
		}
		if disk := (*diskError)(nil); ctx.Err() != nil || errors.As(err, &disk) {
			return nil, err
		}
		moved := errors.Is(err, errMoved)
		for _, why := range late {
			moved = moved || errors.Is(why, errMoved)
		}
		if moved && try < 3 {
			continue
		}
		for ext, why := range late {
			if err := u.leaveOut(set, ext, why); err != nil {
				return nil, err
			}
		}
		return set, err
	}
}

// A fileSet is what there is of one database.
type fileSet struct {
	pacman.Location
	dir   string
	files map[string]fileState // by path
	// missing says why optional files, by extension, are not there although
	// the upstream did not just say so.
	missing map[string]error
}

// path is where the file with that extension is.
func (s *fileSet) path(ext string) string {
	return filepath.Join(s.dir, filepath.FromSlash(s.Path(ext)))
}

// optional are the extensions that are asked for beside that of the database.
func (u *Repository) optional() (exts []string) {
	for _, ext := range indexExtensions[:len(indexExtensions)-1] {
		base := strings.TrimSuffix(ext, signatureSuffix)
		if u.o.NoFiles && base != ".db" || u.o.NoDatabaseSignature && ext == ".db"+signatureSuffix {
			continue
		}
		exts = append(exts, ext)
	}
	return exts
}

// fetchSet fetches what there is of one database.
func (u *Repository) fetchSet(ctx context.Context, l pacman.Location, dir string) (*fileSet, error) {
	set := &fileSet{l, dir, make(map[string]fileState), make(map[string]error)}
	kind, err := u.fetchDatabase(ctx, l, dir, set.files)
	if err != nil {
		return nil, err
	}
	for _, ext := range u.optional() {
		err := u.fetchOptional(ctx, set, kind, ext)
		disk := (*diskError)(nil)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil && !errors.As(err, &disk):
			err = u.leaveOut(set, ext, err)
		}
		if err != nil {
			return nil, err
		}
	}
	// Whatever came between belongs to the database only if that has not
	// been replaced meanwhile.
	db := set.files[l.Path(".db")]
	if db.Validator == "" {
		return set, nil
	}
	_, err = u.o.Getter.Get(ctx, l.URL(u.base(), l.Repo+".db"+kind), db.Version, pacman.MaxDatabase, func() (io.Writer, error) { return nil, errMoved })
	if !errors.Is(err, catalog.ErrUnchanged) {
		return nil, err
	}
	return set, nil
}

// fetchOptional fetches one file beside the database, whose name has kind in
// addition.
func (u *Repository) fetchOptional(ctx context.Context, set *fileSet, kind, ext string) error {
	base, isSig := strings.CutSuffix(ext, signatureSuffix)
	most := int64(pacman.MaxDatabase)
	if isSig {
		most = pacman.MaxSignature
	}
	from := strings.Replace(ext, base, base+kind, 1)
	if err := u.fetchFile(ctx, set.Location, from, ext, most, set.dir, set.files); err != nil || !isSig {
		return err
	}
	sig, err := os.ReadFile(set.path(ext))
	switch {
	case err != nil:
		return &diskError{err}
	case !isSignature(sig):
		return errNoSignature
	}
	return nil
}

// errNoSignature is an answer as well: there is no signature.
var errNoSignature = fmt.Errorf("%w: what came is no signature", catalog.ErrRefused)

// leaveOut does without an optional file and its signature. While the database
// is that of the last run, what belonged to it then still does, unless the
// upstream says that it has it no more.
func (u *Repository) leaveOut(set *fileSet, ext string, why error) error {
	exts := []string{ext}
	if !strings.HasSuffix(ext, signatureSuffix) {
		exts = append(exts, ext+signatureSuffix)
	}
	db := set.Path(".db")
	same := set.files[db].SHA256 == u.state.Files[db].SHA256 && u.state.Base == u.base()
	gone := errors.Is(why, fs.ErrNotExist)
	for _, ext := range exts {
		name := set.Path(ext)
		delete(set.files, name)
		if err := os.Remove(set.path(ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &diskError{err}
		}
		if old, had := u.state.Files[name]; had && same && !gone {
			if err := linkInto(filepath.Join(u.state.dir(u.o.State), filepath.FromSlash(name)), set.path(ext)); err != nil {
				return &diskError{err}
			}
			set.files[name] = old
		}
	}
	_, had := u.state.Files[set.Path(ext)]
	if _, there := set.files[set.Path(ext)]; had && !there || !errors.Is(why, catalog.ErrRefused) {
		set.missing[ext] = why
	}
	return nil
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
	got := fileState{Version: v, SHA256: hash.Sum().Get(digest.SHA256).Hex(), Undated: v.ModTime.IsZero()}
	if got.Undated {
		got.ModTime = u.o.Now()
	}
	if to == ".db" && u.older(&got, &old) {
		return errors.Join(&staleError{catalog.Redact(l.URL(u.base(), l.Repo+from)), got.ModTime, old.ModTime, u.o.State}, os.Remove(path))
	}
	files[name] = got
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

// judge refuses a set whose database is none, or is not signed by anybody of the
// keyring. late says what optional files, by extension, do not belong to it: a
// .files or .links database that is none, is not signed by anybody of the
// keyring, or names packages which the database does not.
func (u *Repository) judge(set *fileSet) (late map[string]error, err error) {
	db, err := parseFile(set.path(".db"), set.Repo+".db")
	if err != nil {
		return nil, err
	}
	if _, ok := set.files[set.Path(".db.sig")]; ok {
		if err := u.verifyFile(set.dir, set.Path(".db")); err != nil {
			return nil, movedError{err}
		}
	}
	named := make(map[catalog.Name]digest.Digest, len(db.Packages))
	for i := range db.Packages {
		named[db.Packages[i].Filename] = db.Packages[i].Digests().Strongest()
	}
	late = make(map[string]error)
	for _, ext := range []string{".files", ".links"} {
		if _, ok := set.files[set.Path(ext)]; !ok {
			continue
		}
		err := u.judgeOptional(set, ext, named)
		if disk := (*diskError)(nil); errors.As(err, &disk) {
			return nil, err
		}
		if err != nil {
			late[ext] = err
		}
	}
	return late, nil
}

// judgeOptional judges a database beside the one that has the packages named.
func (u *Repository) judgeOptional(set *fileSet, ext string, named map[catalog.Name]digest.Digest) error {
	if _, ok := set.files[set.Path(ext+signatureSuffix)]; ok {
		if err := u.verifyFile(set.dir, set.Path(ext)); err != nil {
			return movedError{err}
		}
	}
	more, err := parseFile(set.path(ext), set.Repo+ext)
	if disk := (*diskError)(nil); err != nil && !errors.As(err, &disk) {
		err = fmt.Errorf("%w: %w", catalog.ErrRefused, err) // a page, or whatever it is
	}
	if err != nil {
		return err
	}
	for _, p := range more.Packages {
		if sum, ok := named[p.Filename]; !ok || sum != p.Digests().Strongest() {
			return movedError{fmt.Errorf("%s names %s, which %s does not", set.Repo+ext, p.Filename, set.Repo+".db")}
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

// verifyFile checks the signature of a database, if there is a keyring.
func (u *Repository) verifyFile(dir, name string) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	sig, err := regular.Read(path+".sig", pacman.MaxSignature)
	if err != nil {
		return &diskError{err}
	}
	base := filepath.Base(path)
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
