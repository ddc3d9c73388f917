package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// TestExpireDropsLooksAgain: a run may take hours. What is in the drop box at its
// end is not what was listed at its beginning, unless it looks the same still.
func TestExpireDropsLooksAgain(t *testing.T) {
	t.Parallel()
	const text = "the file that was taken"
	for name, c := range map[string]struct {
		change  func(path string) error
		stays   bool
		refused string
	}{
		"as it was": {change: func(string) error { return nil }},
		"refused":   {func(string) error { return nil }, true, "it is not what the tree wants"},
		"longer":    {func(path string) error { return os.WriteFile(path, []byte(text+" and more"), 0o644) }, true, ""},
		"another of its size and time": {func(path string) error {
			other := path + ".other"
			return errors.Join(os.WriteFile(other, []byte("THE FILE THAT WAS TAKEN"), 0o644), os.Chtimes(other, archivetest.T0, archivetest.T0), os.Rename(other, path))
		}, true, ""},
		"later": {func(path string) error { return os.Chtimes(path, archivetest.T0, archivetest.T0.Add(time.Second)) }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := archivetest.New(t, layout.Flat())
			key := box.Put("n", catalog.Gentoo, true, text)
			drop := t.TempDir()
			path := filepath.Join(drop, "n")
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, archivetest.T0, archivetest.T0)); err != nil {
				t.Fatal(err)
			}
			box.Do(func(a *vault.Vault) {
				facts, err := survey.Make(t.Context(), a, survey.Options{Local: drop})
				if err != nil {
					t.Fatal(err)
				}
				d := &dropBox{run: newRun(a, facts, "test")}
				var b ledger.Batch
				b.PutDropped(&ledger.Dropped{Name: "n", File: facts.Drops["n"].ID, SHA256: key.SHA256, Since: archivetest.T0, Refused: c.refused})
				if err := errors.Join(a.Commit(&b), c.change(path), d.expire(t.Context())); err != nil {
					t.Fatal(err)
				}
			})
			if _, err := os.Lstat(path); (err == nil) != c.stays {
				t.Errorf("the file in the drop box: %v", err)
			}
		})
	}
}
