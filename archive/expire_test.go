package archive

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/whitelist"
)

// TestDeleteAsksAgain: people put names on the whitelist and files into the drop
// box while a run deletes. It looks at both before each batch.
func TestDeleteAsksAgain(t *testing.T) {
	t.Parallel()
	box := archivetest.New(t, layout.Flat())
	dir := t.TempDir()
	list, drop := filepath.Join(dir, "whitelist"), filepath.Join(dir, "drop")
	write := func(path, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Error(err)
		}
	}
	write(list, "")
	write(filepath.Join(drop, ".hidden"), "")
	keys := map[string]ledger.Key{}
	for _, name := range []string{"listed", "dropped", "nobodys"} {
		keys[name] = box.Put(name, catalog.Gentoo, true, name)
	}
	var once sync.Once
	box.Events.Removed = func(string, string) { // the first batch is under way
		once.Do(func() {
			write(list, "listed\n")
			write(filepath.Join(drop, "dropped"), "dropped")
		})
	}
	box.Do(func(a *vault.Vault) {
		m, err := change(t.Context(), a, "test")
		if err != nil {
			t.Fatal(err)
		}
		m.o.Whitelist, m.o.Local = func() (*whitelist.List, error) { return whitelist.Load(list) }, drop
		var due []*ledger.Distfile // the first batch is of files that are gone
		for i := range vault.BatchFiles {
			text := fmt.Appendf(nil, "gone-%d", i)
			sum := digest.SHA256.Sum(text)
			due = append(due, &ledger.Distfile{Content: layout.Content{Name: catalog.Name(text), Digests: digest.Set{sum}}})
		}
		for _, k := range keys {
			due = append(due, m.v.Index.Distfiles[k])
		}
		if err := m.delete(due, nil); err != nil {
			t.Fatal(err)
		}
		for name, k := range keys {
			if held := m.v.Index.Distfiles[k] != nil; held != (name != "nobodys") {
				t.Errorf("%s is held: %v", name, held)
			}
		}
	})
}

// TestPurgeAsksAgain: what leaves recycle for good is asked for once more, after
// the deletions of the run.
func TestPurgeAsksAgain(t *testing.T) {
	t.Parallel()
	box := archivetest.New(t, layout.Flat())
	list := filepath.Join(t.TempDir(), "whitelist")
	write := func(text string) error { return os.WriteFile(list, []byte(text), 0o644) }
	keys := map[string]ledger.Key{}
	for _, name := range []string{"listed", "nobodys"} {
		keys[name] = box.Put(name, catalog.Gentoo, true, name)
	}
	box.Do(func(a *vault.Vault) {
		m, err := change(t.Context(), a, "test")
		if err != nil {
			t.Fatal(err)
		}
		m.o.Whitelist = func() (*whitelist.List, error) { return whitelist.Load(list) }
		var ds []*ledger.Distfile
		for _, k := range keys {
			ds = append(ds, m.v.Index.Distfiles[k])
		}
		if err := errors.Join(write(""), m.reread(), m.recycle(ds), write("listed\n")); err != nil {
			t.Fatal(err)
		}
		if err := m.delete(nil, slices.Collect(maps.Values(m.v.Index.Recycled))); err != nil {
			t.Fatal(err)
		}
		for name, k := range keys {
			if is := m.v.Index.Recycled[k] != nil; is != (name == "listed") {
				t.Errorf("%s is in recycle: %v", name, is)
			}
		}
	})
}
