package archive

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"distkeep/archive/archivetest"
	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A reader counts the bytes that are read of each file.
type reader struct {
	disk.FS
	mu   sync.Mutex
	read map[layout.Inode]int64
}

func (r *reader) ReadAt(f *os.File, p []byte, off int64) (int, error) {
	n, err := r.FS.ReadAt(f, p, off)
	if fi, err := f.Stat(); err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.read[store.InodeOf(fi)] += int64(n)
	}
	return n, err
}

// An old mirror is what somebody has left for an archive to take over.
type oldMirror struct {
	t    *testing.T
	b    *archivetest.Box
	want static
}

// wants returns a content that a package wants under name.
func (o *oldMirror) wants(name string, size int) []byte {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte(digest.SHA256.Sum([]byte(name)).Raw())).Read(data)
	sums, _ := digest.NewSet(digest.SHA512.Sum(data), digest.BLAKE2B.Sum(data))
	o.want = append(o.want, &catalog.Distfile{Name: catalog.Name(name), Size: int64(size), Digests: sums})
	return data
}

func (o *oldMirror) put(path string, data []byte, mode os.FileMode) {
	o.t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, data, mode)
	}
	if err == nil {
		err = os.Chmod(path, mode) // whatever the umask is
	}
	if err == nil {
		err = os.Chtimes(path, archivetest.T0.AddDate(-1, 0, 0), archivetest.T0.AddDate(-1, 0, 0))
	}
	o.check(err)
}

func (o *oldMirror) link(old, path string) {
	o.t.Helper()
	o.check(os.MkdirAll(filepath.Dir(path), 0o755))
	o.check(os.Link(old, path))
}

func (o *oldMirror) check(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// TestFound: whatever an old mirror has of what is wanted is taken over, wherever it
// lies and whoever can write to it, and each file is read once.
func TestFound(t *testing.T) {
	t.Parallel()
	hashed, err := layout.Parse("filename-hash BLAKE2B 8")
	if err != nil {
		t.Fatal(err)
	}
	o := &oldMirror{t: t, b: archivetest.New(t, layout.Flat(), hashed)}
	other := t.TempDir()
	at := func(l layout.Layout, name string) string {
		return o.b.Path((&layout.Content{Name: catalog.Name(name)}).Path(l))
	}
	// Links, copies and a file in one layout alone.
	o.put(at(layout.Flat(), "links"), o.wants("links", 1000), 0o644)
	o.link(at(layout.Flat(), "links"), at(hashed, "links"))
	copies := o.wants("copies", 1100)
	o.put(at(layout.Flat(), "copies"), copies, 0o644)
	o.put(at(hashed, "copies"), copies, 0o644)
	o.put(at(hashed, "hashed"), o.wants("hashed", 1200), 0o600)
	// Somebody else can write to them.
	o.put(at(layout.Flat(), "foreign"), o.wants("foreign", 1300), 0o666)
	o.link(at(layout.Flat(), "foreign"), at(hashed, "foreign"))
	o.link(at(layout.Flat(), "foreign"), filepath.Join(other, "theirs"))
	// Symbolic links, here and to elsewhere.
	o.put(filepath.Join(other, "x"), o.wants("symlink", 1400), 0o644)
	o.check(os.Symlink(filepath.Join(other, "x"), at(layout.Flat(), "symlink")))
	o.put(at(hashed, "inside"), o.wants("inside", 1500), 0o644)
	o.check(os.Symlink(at(hashed, "inside"), at(layout.Flat(), "inside")))
	// Where no layout would have it, under its name and another.
	o.put(o.b.Path("._emirrordist_fetch_.1234abcd"), o.wants("hidden", 1600), 0o644)
	o.put(o.b.Path("ab", "cd", "former"), o.wants("former", 1700), 0o644)
	o.put(filepath.Join(other, "deep", "down"), o.wants("adopted", 1800), 0o644)
	// Wrong: by size, by bytes, and only in one of two places.
	short := o.wants("short", 1900)[:1800]
	o.put(at(layout.Flat(), "short"), short, 0o644)
	o.put(at(hashed, "bytes"), append([]byte("x"), o.wants("bytes", 2000)[1:]...), 0o644)
	mixed := o.wants("mixed", 2100)
	o.put(at(layout.Flat(), "mixed"), append([]byte("x"), mixed[1:]...), 0o644)
	o.put(at(hashed, "mixed"), mixed, 0o644)

	sizes := make(map[layout.Inode]int64)
	for _, root := range []string{o.b.Distfiles, other} {
		o.check(filepath.Walk(root, func(_ string, fi os.FileInfo, err error) error {
			if err == nil && fi.Mode().IsRegular() {
				sizes[store.InodeOf(fi)] = fi.Size()
			}
			return err
		}))
	}
	r := &reader{read: make(map[layout.Inode]int64)}
	o.b.Around = func(fs disk.FS) disk.FS {
		r.FS = fs
		return r
	}
	var told report.Found
	o.b.Events.Found = func(f report.Found) { told = f }
	o.b.Do(func(v *vault.Vault) {
		s, err := Mirror(t.Context(), v, MirrorOptions{Repositories: []catalog.Repository{o.want}, AdoptFrom: []string{other}})
		if err != nil {
			t.Fatal(err)
		}
		want := report.Found{
			Right:     layout.Count{Files: 5, Bytes: 1000 + 1100 + 1200 + 1500 + 2100},
			Foreign:   layout.Count{Files: 1, Bytes: 1300},
			Elsewhere: layout.Count{Files: 4, Bytes: 1400 + 1600 + 1700 + 1800},
			Wrong:     layout.Count{Files: 3, Bytes: 1800 + 2000 + 2100},
			Missing:   layout.Count{Files: 2, Bytes: 1900 + 2000},
		}
		if told != want || s.Found != want {
			t.Errorf("found %+v, want %+v", told, want)
		}
		if len(s.Wrong) != 3 {
			t.Errorf("wrong: %+v", s.Wrong)
		}
		for _, w := range s.Wrong {
			if _, err := os.Stat(w.Kept); err != nil {
				t.Errorf("%s: %v", w.Path, err)
			}
		}
	})
	for id, n := range r.read {
		if size, ok := sizes[id]; ok && n > size {
			t.Errorf("%d bytes were read of a file of %d", n, size)
		} else if !ok {
			t.Errorf("%d bytes of a copy were read", n)
		}
	}
	o.published(at, layout.Flat(), hashed)
	// What somebody else writes later is theirs alone.
	o.put(filepath.Join(other, "theirs"), bytes.Repeat([]byte("z"), 1300), 0o666)
	o.published(at, layout.Flat(), hashed)
}

// published checks that everything wanted is published rightly or not at all.
func (o *oldMirror) published(at func(layout.Layout, string) string, layouts ...layout.Layout) {
	o.t.Helper()
	for _, w := range o.want {
		var first os.FileInfo
		for _, l := range layouts {
			path := at(l, string(w.Name))
			data, err := os.ReadFile(path)
			if missing := w.Name == "short" || w.Name == "bytes"; missing {
				if !os.IsNotExist(err) {
					o.t.Errorf("%s: %v, want that it is gone", path, err)
				}
				continue
			} else if err != nil {
				o.t.Error(err)
				continue
			}
			if digest.SHA512.Sum(data) != w.Digests.Get(digest.SHA512) {
				o.t.Errorf("%s has the wrong bytes", path)
			}
			fi, err := os.Lstat(path)
			o.check(err)
			if first == nil {
				first = fi
			}
			if !fi.Mode().IsRegular() || !os.SameFile(first, fi) {
				o.t.Errorf("%s: %v, not the file of the other layouts", path, fi.Mode())
			}
			if fi.ModTime().After(archivetest.T0.Add(-24 * time.Hour)) {
				o.t.Errorf("%s has a new time", path)
			}
		}
	}
}
