package deletion

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
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/archive/views"
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
		s, err := survey.Make(t.Context(), a, survey.Options{Whitelist: func() (*whitelist.List, error) { return whitelist.Load(list) }, Local: drop})
		if err != nil {
			t.Fatal(err)
		}
		var due []*ledger.Distfile // the first batch is of files that are gone
		for i := range vault.BatchFiles {
			text := fmt.Appendf(nil, "gone-%d", i)
			sum := digest.SHA256.Sum(text)
			due = append(due, &ledger.Distfile{Content: layout.Content{Name: catalog.Name(text), Digests: digest.Set{sum}}})
		}
		for _, k := range keys {
			due = append(due, a.Index.Distfiles.Get(k))
		}
		if _, err := Delete(a, s, views.New(a, views.Options{}), due, nil); err != nil {
			t.Fatal(err)
		}
		for name, k := range keys {
			if held := a.Index.Distfiles.Get(k) != nil; held != (name != "nobodys") {
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
		if err := write(""); err != nil {
			t.Fatal(err)
		}
		s, err := survey.Make(t.Context(), a, survey.Options{Whitelist: func() (*whitelist.List, error) { return whitelist.Load(list) }})
		if err != nil {
			t.Fatal(err)
		}
		var ds []*ledger.Distfile
		for _, k := range keys {
			ds = append(ds, a.Index.Distfiles.Get(k))
		}
		if _, _, err := a.Recycle.Put(ds); err != nil {
			t.Fatal(err)
		}
		if err := write("listed\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := Delete(a, s, views.New(a, views.Options{}), nil, slices.Collect(maps.Values(a.Index.Recycled))); err != nil {
			t.Fatal(err)
		}
		for name, k := range keys {
			if is := a.Index.Recycled[k] != nil; is != (name == "listed") {
				t.Errorf("%s is in recycle: %v", name, is)
			}
		}
	})
}
