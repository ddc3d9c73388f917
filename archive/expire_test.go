package archive

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
	"distkeep/whitelist"
)

// TestUnmissed: what leaves recycle for good is wanted by nobody, whoever has come
// to want it since the run began.
func TestUnmissed(t *testing.T) {
	t.Parallel()
	recycled := func(name, text string) *ledger.Recycled {
		h := digest.NewHasher()
		h.Write([]byte(text))
		return &ledger.Recycled{Distfile: ledger.Distfile{
			Content: layout.Content{Name: catalog.Name(name), Digests: h.Sum(), Size: int64(len(text)), Named: true},
		}, Since: archivetest.T0}
	}
	wants := func(name, text string) *catalog.Distfile {
		r := recycled(name, text)
		return &catalog.Distfile{Name: r.Name, Size: r.Size, Digests: r.Digests}
	}
	var rs []*ledger.Recycled
	for _, text := range []string{"gone", "wanted", "shadowed", "wanted elsewhere", "held elsewhere", "unverifiable", "other content", "listed", "dropped", "dropped unread", "dropped other"} {
		rs = append(rs, recycled(strings.ReplaceAll(text, " ", "-"), text))
	}
	file := filepath.Join(t.TempDir(), "whitelist")
	if err := os.WriteFile(file, []byte("# A <a@example.org> (2026-01-02)\n# Kept.\nlisted\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	white, err := whitelist.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	held := recycled("held", "held elsewhere").Distfile
	drop := func(name, text string) (*dropFile, *ledger.Dropped) {
		r := recycled(name, text)
		return &dropFile{name: r.Name, size: r.Size, modTime: archivetest.T0, id: regular.ID{Size: r.Size}},
			&ledger.Dropped{Name: r.Name, File: regular.ID{Size: r.Size}, SHA256: r.SHA256()}
	}
	x := ledger.NewIndex(&ledger.State{Distfiles: map[ledger.Key]*ledger.Distfile{held.Key(): &held}, Dropped: make(map[catalog.Name]*ledger.Dropped)})
	drops := make(map[catalog.Name]*dropFile)
	for name, text := range map[string]string{"dropped": "dropped", "dropped-unread": "dropped unread", "dropped-other": "another"} {
		f, r := drop(name, text)
		if drops[f.name] = f; name != "dropped-unread" {
			x.Dropped[f.name] = r
		}
	}
	m := &mirror{v: &vault.Vault{Now: archivetest.T0, Index: x}, white: white, facts: &facts{drops: drops, catalog: &catalog.Catalog{
		Distfiles: []*catalog.Distfile{
			wants("wanted", "wanted"), wants("another-name", "wanted elsewhere"), wants("held", "held elsewhere"),
			{Name: "unverifiable"}, wants("other-content", "re-rolled"),
		},
		Shadowed: []*catalog.Distfile{wants("shadowed", "shadowed")},
	}}}
	var left []string
	for _, r := range m.unmissed(rs) {
		left = append(left, string(r.Name))
	}
	if want := "[gone held-elsewhere other-content dropped-other]"; fmt.Sprint(left) != want {
		t.Errorf("nobody misses %v, want %s", left, want)
	}
}

// TestLetGoAsksAgain: people put names on the whitelist and files into the drop
// box while a run deletes. It looks at both before each batch.
func TestLetGoAsksAgain(t *testing.T) {
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
		if err := m.letGo(due, nil); err != nil {
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
		if err := m.letGo(nil, slices.Collect(maps.Values(m.v.Index.Recycled))); err != nil {
			t.Fatal(err)
		}
		for name, k := range keys {
			if is := m.v.Index.Recycled[k] != nil; is != (name == "listed") {
				t.Errorf("%s is in recycle: %v", name, is)
			}
		}
	})
}
