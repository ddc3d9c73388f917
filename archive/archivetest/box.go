// Package archivetest makes archives for tests of what is built upon a vault.
package archivetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// T0 is when every Box begins.
var T0 = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// A Box is an archive of a test, which it ends when something goes wrong. Each
// method opens and closes the archive that needs it.
type Box struct {
	vault.Options
	t *testing.T
}

// New makes an empty archive.
func New(t *testing.T, conf ...layout.Layout) *Box {
	t.Helper()
	d, s := vault.Dirs(t.TempDir())
	if err := vault.Init(d, s, conf, T0); err != nil {
		t.Fatal(err)
	}
	b := &Box{vault.Options{Distfiles: d, State: s, What: "test"}, t}
	b.At(T0)
	return b
}

// At sets the clock.
func (b *Box) At(now time.Time) { b.Now = func() time.Time { return now } }

// Do calls f with the archive open.
func (b *Box) Do(f func(v *vault.Vault)) {
	b.t.Helper()
	v, err := vault.Open(b.Options)
	if err != nil {
		b.t.Fatal(err)
	}
	f(v)
	if err := v.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// Put archives text under name.
func (b *Box) Put(name string, kind catalog.Kind, named bool, text string) ledger.Key {
	b.t.Helper()
	h := digest.NewHasher(digest.BLAKE2B, digest.SHA512)
	h.Write([]byte(text))
	key := ledger.Key{Name: catalog.Name(name), SHA256: h.Sum().Get(digest.SHA256)}
	b.Do(func(v *vault.Vault) {
		if err := v.Load(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		part := filepath.Join(v.Store.PartsDir(), "x.part")
		if err := os.WriteFile(part, []byte(text), 0o644); err != nil {
			b.t.Fatal(err)
		}
		add := &vault.Addition{Part: part, Entry: ledger.Distfile{
			Content: layout.Content{Name: key.Name, Digests: h.Sum(), Size: int64(len(text)), Named: named, Kind: kind},
			Owner:   "p::r", Origin: "https://h.example/" + name, Added: v.Now, Verified: v.Now,
		}}
		if err := v.Publish([]*vault.Addition{add}, nil); err != nil || add.Err != nil {
			b.t.Fatal(err, add.Err)
		}
		if err := export.Refresh(v, "test"); err != nil {
			b.t.Fatal(err)
		}
	})
	return key
}

// Records are those of held contents, a line each.
func (b *Box) Records() (lines []string) {
	b.t.Helper()
	b.Do(func(v *vault.Vault) {
		s, err := v.Ledger().Load()
		if err != nil {
			b.t.Fatal(err)
		}
		for _, d := range s.Distfiles {
			algs := fmt.Sprint(d.Digests.Algorithms())
			lines = append(lines, fmt.Sprintf("%s %.8s %d named=%v kind=%s %s", d.Name, d.SHA256().Hex(), d.Size, d.Named, d.Kind, algs))
		}
	})
	slices.Sort(lines)
	return lines
}

// Path is a path of the published tree.
func (b *Box) Path(elem ...string) string {
	return filepath.Join(append([]string{b.Distfiles}, elem...)...)
}
