package archive

import (
	"context"
	"os"
	"sync"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// facts are those of the plan, and what a run has found out beyond them.
type facts struct {
	plan.Facts
	v     *vault.Vault
	whole map[string]bool // the parts that interrupted commits left, by path
	// readBack are contents in recycle that were read and are right.
	readBack map[ledger.Key]*vault.Returning
	failedMu sync.Mutex // of Failed and FailedDrops, while readings go on
}

// look reads the ledger, the published tree and the drop box. The facts have no
// catalog yet.
func (m *mirror) look(ctx context.Context) (f *facts, err error) {
	v := m.v
	if err := v.Load(ctx); err != nil {
		return nil, err
	}
	f = &facts{v: v, whole: make(map[string]bool), readBack: make(map[ledger.Key]*vault.Returning)}
	f.Facts = plan.Facts{
		Options: plan.Options{
			Delete: m.o.Delete, DeletionDelay: m.o.DeletionDelay, RecycleDelay: m.o.RecycleDelay,
			MaxDelete: m.o.MaxDelete, Partial: m.o.Partial, Retired: m.o.Retired,
		},
		Now: v.Now, Published: v.Store.Published(), State: v.State, Index: v.Index, Shelf: v.Shelf,
		Whitelisted: m.whitelisted,
		Part:        func(k ledger.FailureKey) bool { return len(f.whole) > 0 && f.whole[v.Store.Parts.Path(k.Name, k.Want)] },
		There: func(rel string) bool {
			_, err := os.Lstat(v.Store.Path(rel))
			return err == nil
		},
		Recycled: lookOnce(v),
		Read:     make(map[string]bool), Failed: make(map[string]error), FailedDrops: make(map[catalog.Name]error),
		Stuck: make(map[ledger.Key]bool), Unread: make(map[ledger.Key]bool),
	}
	if len(v.Index.Notes.Layouts) == 0 {
		// No run has come to its end with this ledger.
		if f.Ciphers, err = listCiphers(v.Store); err != nil {
			return nil, err
		}
		if len(v.Index.Distfiles) == 0 && len(f.Ciphers) > 0 {
			v.Warn("%s has no record of the %d files below by_cipher: mirror reads them and records what they are, "+
				"but what was scheduled for deletion or in recycle only distkeep doctor --repair can tell", v.Store.LedgerDir(), len(f.Ciphers))
		}
	}
	f.Drops, err = listDrops(m.o.Local, v.Warn, v.Distfiles, v.State)
	return f, err
}

// pathOf is the absolute path of the file of a reading.
func (f *facts) pathOf(r *plan.Reading) string {
	switch {
	case r.Part:
		key := r.Want.Key()
		return f.v.Store.Parts.Path(key.Name, key.Want)
	case r.Drop != nil:
		return r.Drop.Path
	}
	return f.v.Store.Path(r.Rel)
}

// lookOnce looks at each file in recycle when it is first asked for, and anew when
// its record has changed.
func lookOnce(v *vault.Vault) func(*ledger.Recycled) layout.File {
	seen := make(map[*ledger.Recycled]layout.File)
	return func(r *ledger.Recycled) layout.File {
		f, ok := seen[r]
		if !ok {
			f = store.LookAt(v.Recycle.Path(r))
			seen[r] = f
		}
		return f
	}
}
