package vault_test

import (
	"os"
	"path/filepath"
	"testing"

	"distkeep/archive/layout"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/archive/vault/depottest"
)

func TestDepot(t *testing.T) {
	t.Parallel()
	depottest.Test(t, func(t *testing.T) *depottest.World {
		dir := t.TempDir()
		s, err := store.Open(filepath.Join(dir, "distfiles"), filepath.Join(dir, "state"), layout.Conf{layout.Flat()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return &depottest.World{
			Depot: vault.InFiles(s),
			Part: func(t *testing.T, data string) string {
				f, err := os.CreateTemp(s.PartsDir(), "*.part")
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if _, err := f.WriteString(data); err != nil {
					t.Fatal(err)
				}
				return f.Name()
			},
			Damage: func(t *testing.T, c *layout.Content, data string) {
				path := s.RecyclePath(c)
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(data), 0o444); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
