// Package takeover makes an archive know what another program knew of it: package
// imported reads that, and here it is put where it belongs.
//
// What the other program has in its recycle directory and in its lists is taken over
// at once. Since when nobody wants a file, and who wanted it last, is of use only
// when a run has adopted the file: it is kept until one that may delete recalls it.
// Nothing that the program left is changed.
//
// Begin reading at Import, and at Recall, which a run calls.
package takeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"distkeep/archive/export"
	"distkeep/archive/history"
	"distkeep/archive/imported"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A Summary says what Import has taken over.
type Summary struct {
	// Unwanted are the names of which is known since when nobody wants them,
	// Owners those of which is known who did last.
	Unwanted int `json:"unwanted"`
	Owners   int `json:"owners"`
	// Contents are the names of which is known what they have held.
	Contents int `json:"contents"`
	// Recycled are new in recycle, Held were there or in the archive before.
	Recycled layout.Count `json:"recycled"`
	Held     layout.Count `json:"held"`
	// History and Distinfo are the lines that the lists have now.
	History  int `json:"history"`
	Distinfo int `json:"distinfo"`
}

// Import makes an archive know what another program knew of it: at once what
// that has in its recycle directory, which may be empty, and what its lists have;
// and when a run comes to delete what nobody wants, since when that is so and who
// wanted it last. Nothing that the program left is changed. What cannot be read in
// the recycle directory is warned of.
func Import(ctx context.Context, v *vault.Vault, f *imported.Facts, recycle string) (*Summary, error) {
	if err := v.Load(ctx); err != nil {
		return nil, err
	}
	s := new(Summary)
	if err := keepFacts(v, f, s); err != nil {
		return nil, err
	}
	if err := mergeLists(v, f, s); err != nil {
		return nil, err
	}
	if recycle != "" {
		if err := admitRecycled(ctx, v, f, recycle, s); err != nil {
			return nil, err
		}
	}
	return s, export.Refresh(v, "import")
}

// keepFacts adds f to what was imported before, for the next run.
func keepFacts(v *vault.Vault, f *imported.Facts, s *Summary) error {
	path := store.ImportedFile(v.State)
	all, err := imported.Load(path)
	if err != nil {
		return err
	}
	all.Merge(f)
	*f = *all
	s.Unwanted, s.Owners, s.Contents = len(f.Unwanted)+len(f.History), len(f.Owners), len(f.Contents)
	if f.Empty() {
		return nil
	}
	return v.Store.Replace(path, v.Store.PartsDir(), f.Write)
}

// mergeLists adds the lines of dpb's lists to ours.
func mergeLists(v *vault.Vault, f *imported.Facts, s *Summary) error {
	old, err := history.LoadHistory(v.Store.Path("history"))
	if err != nil {
		return err
	}
	unwanted := func(catalog.Name, digest.Digest) bool { return false }
	records := history.Update(slices.Concat(old, f.History), nil, unwanted, v.Now)
	lines, n := f.Distinfo, len(f.Distinfo)
	for l, err := range history.Distinfo(v.Store.Path("distinfo"), nil) {
		if err != nil {
			return err
		}
		if n++; len(f.Distinfo) > 0 {
			lines = append(lines, l)
		}
	}
	s.History, s.Distinfo = len(records), n
	write := func(file string, content func(w io.Writer) error) error {
		_, err := history.WriteFileIfChanged(v.Store.Path(file), v.Store.PartsDir(), content, v.Store.Replace)
		return err
	}
	if len(f.History) > 0 {
		if err := write("history", func(w io.Writer) error { return history.WriteHistory(w, records) }); err != nil {
			return err
		}
	}
	if len(f.Distinfo) == 0 {
		return nil
	}
	if err := write("distinfo", func(w io.Writer) error { return history.WriteDistinfo(w, lines) }); err != nil {
		return err
	}
	var b ledger.Batch // the next run reads it
	v.Note(&b, func(n *ledger.Notes) { n.Changed = true })
	return v.Commit(&b)
}

// admitRecycled takes over the files of a recycle directory. A file that has not
// the size that the program knew begins its time there anew, as it has it.
func admitRecycled(ctx context.Context, v *vault.Vault, f *imported.Facts, dir string, s *Summary) error {
	entries, err := os.ReadDir(dir)
	if err == nil {
		var real string
		if real, err = filepath.EvalSymlinks(dir); err == nil {
			err = apart(real, v)
		}
	}
	if err != nil {
		return fmt.Errorf("recycle-dir: %w", err)
	}
	algs := append(v.Store.Layouts().Algorithms(), digest.BLAKE2B, digest.SHA512)
	for _, e := range entries {
		name, err := catalog.ParseName(e.Name())
		fi, ierr := e.Info()
		if err == nil {
			err = ierr
		}
		if err == nil && !fi.Mode().IsRegular() {
			err = errors.New("not a regular file")
		}
		if err != nil {
			v.Warn("recycle-dir: %s: %v", filepath.Join(dir, e.Name()), err)
			continue
		}
		found := vault.Found{Path: filepath.Join(dir, e.Name()), Name: name, Owner: f.Owners[name], Since: v.Now}
		if r, ok := f.Recycled[name]; ok && r.Size == fi.Size() {
			found.Since = r.Since
		}
		size, news, err := v.Recycle.Admit(ctx, found, algs...)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case vault.Broken(err):
			return err
		case err != nil:
			v.Warn("recycle-dir: %v", err)
		case news:
			s.Recycled.Add(size)
		default:
			s.Held.Add(size)
		}
	}
	return nil
}

// apart refuses a recycle directory that is one of the archive's.
func apart(dir string, v *vault.Vault) error {
	for _, own := range []string{v.Distfiles, v.State} {
		own, err := vault.RealPath(own)
		if err != nil {
			return err
		}
		if vault.Within(dir, own) || vault.Within(own, dir) {
			return fmt.Errorf("%s and the archive's %s must not be inside one another", dir, own)
		}
	}
	return nil
}

// A Memory is what another program knew of an archive.
type Memory struct {
	v     *vault.Vault
	facts *imported.Facts
	clock func(catalog.Name, digest.Digest) time.Time
}

// Recall makes records what another program knew of them: who wanted them last,
// and, of those that are scheduled for deletion, since when nobody does.
func Recall(v *vault.Vault) (*Memory, error) {
	facts, err := imported.Load(store.ImportedFile(v.State))
	if err != nil {
		return nil, err
	}
	m := &Memory{v, facts, facts.Clock()}
	if facts.Empty() {
		return m, nil
	}
	var b ledger.Batch
	for _, d := range v.Index.Distfiles {
		if owner := facts.Owners[d.Name]; d.Owner == "" && owner != "" {
			owned := *d
			owned.Owner = owner
			b.PutDistfile(&owned)
		}
	}
	for k, s := range v.Index.Deletions {
		if since := m.knew(k); !s.Undone && since.Before(s.Since) {
			earlier := *s
			earlier.Since, earlier.Owner = since, cmp.Or(s.Owner, facts.Owners[k.Name])
			b.PutDeletion(&earlier)
		}
	}
	return m, v.Commit(&b)
}

// Outdate ends what the other program knew of what somebody wants by now: when nobody
// does any more, a new time begins. names are what packages want, keeps tells which
// records stay.
func (m *Memory) Outdate(names []*catalog.Distfile, keeps func(*ledger.Distfile) bool) error {
	f := m.facts
	if len(f.Unwanted)+len(f.History) == 0 {
		return nil
	}
	unwanted, lines := len(f.Unwanted), len(f.History)
	for _, d := range names {
		delete(f.Unwanted, d.Name)
	}
	held := make(map[history.Line]bool)
	for _, d := range m.v.Index.Distfiles {
		if keeps(d) {
			delete(f.Unwanted, d.Name)
			held[history.Line{Name: d.Name, SHA256: d.SHA256()}] = true
		}
	}
	f.History = slices.DeleteFunc(f.History, func(r history.Record) bool {
		r.Base64 = false // a matter of spelling
		return held[r.Line]
	})
	if len(f.Unwanted) == unwanted && len(f.History) == lines {
		return nil
	}
	m.clock = f.Clock()
	return m.v.Store.Replace(store.ImportedFile(m.v.State), m.v.Store.PartsDir(), f.Write)
}

// Since is when a content that nobody wants was first found to be unwanted: now,
// unless the other program knew better, and nobody has taken it back since then.
func (m *Memory) Since(k ledger.Key) time.Time {
	if m.v.Index.Deletions[k] != nil {
		return m.v.Now
	}
	return m.knew(k)
}

// knew is what the other program knew of the clock of a content, or now.
func (m *Memory) knew(k ledger.Key) time.Time {
	if t := m.clock(k.Name, k.SHA256); !t.IsZero() && t.Before(m.v.Now) {
		return t
	}
	return m.v.Now
}

// Forget ends it, when all that it was about is in the ledger.
func (m *Memory) Forget() error {
	err := os.Remove(store.ImportedFile(m.v.State))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
