package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
)

// TestExpireDropsLooksAgain: a run may take hours. What is in the drop box at its
// end is not what was listed at its beginning, unless it looks the same still.
func TestExpireDropsLooksAgain(t *testing.T) {
	t.Parallel()
	const text = "the file that was taken"
	for name, c := range map[string]struct {
		change func(path string) error
		stays  bool
	}{
		"as it was": {func(string) error { return nil }, false},
		"longer":    {func(path string) error { return os.WriteFile(path, []byte(text+" and more"), 0o644) }, true},
		"later":     {func(path string) error { return os.Chtimes(path, t0, t0.Add(time.Second)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := newBox(t, layout.Flat())
			key := box.put("n", catalog.Gentoo, true, text)
			drop := t.TempDir()
			path := filepath.Join(drop, "n")
			if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chtimes(path, t0, t0)); err != nil {
				t.Fatal(err)
			}
			box.do(func(a *Archive) {
				m, err := a.change(t.Context(), "test")
				if err != nil {
					t.Fatal(err)
				}
				if m.view.drops, err = listDrops(drop, m.warn, a.o.Distfiles, a.o.State); err != nil {
					t.Fatal(err)
				}
				var b ledger.Batch
				b.PutDropped(&ledger.Dropped{Name: "n", Size: int64(len(text)), ModTime: t0, SHA256: key.SHA256, Since: t0})
				if err := errors.Join(m.commit(&b), c.change(path), m.expireDrops()); err != nil {
					t.Fatal(err)
				}
			})
			if _, err := os.Lstat(path); (err == nil) != c.stays {
				t.Errorf("the file in the drop box: %v", err)
			}
		})
	}
}
