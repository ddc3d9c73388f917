// Package survey gathers the facts that a run decides by: the records and the
// published tree, the catalog, the whitelist and the drop box.
//
// What a run finds out later, by reading a file or because people change what is
// theirs meanwhile, is noted in the Survey as well, so that each plan is made of all
// that is known. It changes nothing in the archive.
//
// Begin reading at Make.
package survey

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"distkeep/archive/imported"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/whitelist"
)

// Options say what the facts are gathered from.
type Options struct {
	plan.Options
	// Repositories are scanned in this order: the first that wants a name
	// decides its content.
	Repositories []catalog.Repository
	// Whitelist reads the list of what to keep although no package wants it.
	// Nil keeps nothing.
	Whitelist func() (*whitelist.List, error)
	// Local is the directory distfiles-local; empty means that there is none.
	Local string
	// AdoptFrom are directories whose files may be what is missing.
	AdoptFrom []string
}

// A Survey is the facts, and what a run has found out beyond them.
type Survey struct {
	plan.Facts
	// Whole are the parts that interrupted commits left, by path.
	Whole map[string]bool
	// Back are contents in recycle that were read and are right.
	Back map[ledger.Key]*vault.Returning

	v     *vault.Vault
	o     Options
	white *whitelist.List
	mu    sync.Mutex // of Wrong, Failed and FailedDrops, while readings go on
}

// Make scans the repositories and looks at the archive meanwhile.
func Make(ctx context.Context, v *vault.Vault, o Options) (*Survey, error) {
	s := newSurvey(v, o)
	if err := s.readWhitelist(); err != nil {
		return nil, err
	}
	v.Events.Phase("scan", len(o.Repositories), 0)
	lctx, stop := context.WithCancel(ctx)
	defer stop()
	var lerr error
	var looking sync.WaitGroup
	looking.Go(func() { lerr = s.look(lctx) })
	cat, err := catalog.Collect(ctx, o.Repositories)
	if err != nil {
		stop()
	}
	looking.Wait()
	if err == nil {
		err = lerr
	}
	if cat != nil {
		cat = cat.Cut(v.Part)
		s.ours(cat)
	}
	s.Catalog, s.Strays = cat, s.listStrays(ctx)
	return s, err
}

// FullScan makes the catalog anew, and reads what was not read because it seemed to be
// as it was in an earlier run.
func (s *Survey) FullScan(ctx context.Context) error {
	s.v.Events.Phase("scan", len(s.o.Repositories), 0)
	cat, err := s.Catalog.FullScan(ctx)
	if err == nil {
		s.Catalog = cat
	}
	return err
}

func newSurvey(v *vault.Vault, o Options) *Survey {
	s := &Survey{
		v: v, o: o, white: new(whitelist.List),
		Whole: make(map[string]bool), Back: make(map[ledger.Key]*vault.Returning),
	}
	s.Facts = plan.Facts{
		Options: o.Options, Now: v.Now, Published: v.Store.Published(), State: v.State,
		Whitelisted: func(name catalog.Name) bool {
			_, ok := s.white.Has(name)
			return ok
		},
		Part: func(k ledger.FailureKey) bool { return len(s.Whole) > 0 && s.Whole[v.Store.Parts.Path(k.Name, k.Want)] },
		There: func(rel string) bool {
			_, err := os.Lstat(v.Store.Path(rel))
			return err == nil
		},
		Recycled: lookOnce(v),
		Read:     make(map[string]bool), Tried: make(map[ledger.FailureKey]bool), Wrong: make(map[string]string), Failed: make(map[string]error), FailedDrops: make(map[catalog.Name]error),
		Stuck: make(map[ledger.Key]bool), Unread: make(map[ledger.Key]bool),
	}
	return s
}

// look reads the ledger, the published tree and the drop box.
func (s *Survey) look(ctx context.Context) (err error) {
	v := s.v
	if err := v.Load(ctx); err != nil {
		return err
	}
	s.Index, s.Shelf = v.Index, v.Shelf
	if len(v.Index.Notes.Layouts) == 0 {
		// No run has come to its end with this ledger.
		if s.Ciphers, err = listCiphers(v.Store); err != nil {
			return err
		}
		if len(v.Index.Distfiles) == 0 && len(s.Ciphers) > 0 {
			v.Warn("%s has no record of the %d files below by_cipher: mirror reads them and records what they are, "+
				"but what was scheduled for deletion or in recycle only distkeep doctor --repair can tell", v.Store.LedgerDir(), len(s.Ciphers))
		}
	}
	known, err := imported.Load(store.ImportedFile(v.State))
	if err != nil {
		return err
	}
	s.Remembered = known.Paths(v.Store.Layouts())
	s.Drops, err = listDrops(s.o.Local, v.Warn, v.Distfiles, v.State)
	return err
}

func (s *Survey) readWhitelist() error {
	if s.o.Whitelist == nil {
		return nil
	}
	white, err := s.o.Whitelist()
	if err == nil {
		s.white = white
	}
	return err
}

// Reread reads again what people may have changed since the run began, hours
// ago perhaps: the whitelist and the drop box. A package that has come to want a
// file since is served by the next run, out of recycle.
func (s *Survey) Reread() error {
	if err := s.readWhitelist(); err != nil {
		return err
	}
	drops, err := listDrops(s.o.Local, func(string, ...any) {}, s.v.Distfiles, s.v.State)
	if err != nil {
		return err
	}
	s.Drops = drops
	s.ours(s.Catalog)
	return nil
}

// ours leaves of the drop box what other workers do not take, who may have the same one.
func (s *Survey) ours(cat *catalog.Catalog) {
	if s.o.Single {
		return // nothing is taken but what somebody waits for
	}
	maps.DeleteFunc(s.Drops, func(name catalog.Name, _ *plan.Drop) bool { return cat.Elsewhere(name) })
}

// PathOf is the absolute path of the file of a reading.
func (s *Survey) PathOf(r *plan.Reading) string {
	switch {
	case r.Part:
		key := r.Want.Key()
		return s.v.Store.Parts.Path(key.Name, key.Want)
	case r.Drop != nil:
		return r.Drop.Path
	case r.Stray != nil:
		return r.Stray.Path
	}
	return s.v.Store.Path(r.Rel)
}

// Unreadable notes what came of an attempt to read r, and reports whether the
// file is there all the same. It may be called concurrently.
func (s *Survey) Unreadable(r *plan.Reading, err error) bool {
	if r.Rel != "" {
		s.v.Disk.Look(r.Rel)
		if f, ok := s.v.Disk.Get(r.Rel); !ok && f.Err == nil {
			return false
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Drop != nil {
		s.FailedDrops[r.Name] = err
	} else if r.Rel != "" {
		s.Failed[r.Rel] = err
	}
	return true
}

// Misfit notes why the file of r, in the place of what is wanted, is not that. It may
// be called concurrently.
func (s *Survey) Misfit(r *plan.Reading, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Wrong[r.Rel] = why
}

// ReadBack reads contents in recycle and returns those that are right: they are in
// Back. fail is told of what cannot be read now, which may be another time.
func (s *Survey) ReadBack(ctx context.Context, rs []*ledger.Recycled, fail func(*plan.Failing)) (right []*ledger.Recycled, err error) {
	back, err := s.v.Recycle.ReadBack(ctx, rs)
	if err != nil {
		return nil, err
	}
	for _, r := range back {
		switch {
		case r.Err == nil:
			s.Back[r.Key()] = r
			right = append(right, r.Recycled)
		case errors.Is(r.Err, vault.ErrWrong), errors.Is(r.Err, fs.ErrNotExist):
		default:
			if s.Unread[r.Key()] = true; !errors.Is(r.Err, store.ErrStuck) {
				fail(plan.UnreadFailing(&r.Distfile, r.Err))
			}
		}
	}
	return right, nil
}

// lookOnce looks at each file in recycle when it is first asked for, and anew when
// its record has changed.
func lookOnce(v *vault.Vault) func(*ledger.Recycled) layout.File {
	seen := make(map[*ledger.Recycled]layout.File)
	return func(r *ledger.Recycled) layout.File {
		f, ok := seen[r]
		if !ok {
			f = v.Recycle.Look(r)
			seen[r] = f
		}
		return f
	}
}

// listCiphers lists by_cipher. The base64 spellings are further links to what
// the hex ones have.
func listCiphers(s *store.Store) ([]plan.Cipher, error) {
	var files []plan.Cipher
	root := s.Path("")
	err := filepath.WalkDir(s.Path(layout.CipherDir), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil // a record that needs it asks for it
		} else if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		sum, name, ok := layout.ParseByCipher(rel)
		if !ok || !e.Type().IsRegular() {
			return nil
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		files = append(files, plan.Cipher{Key: ledger.Key{Name: name, SHA256: sum}, Rel: rel, Size: fi.Size(), Inode: store.InodeOf(fi)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list archive: %w", err)
	}
	return files, nil
}
