package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/layout"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// A world is a published tree with a directory of snapshots and a clock.
type world struct {
	t    *testing.T
	tree string
	dir  string
	now  time.Time
	d    *Dir
}

func newWorld(t *testing.T) *world {
	t.Helper()
	top := t.TempDir()
	w := &world{t: t, tree: filepath.Join(top, "distfiles"), dir: filepath.Join(top, "snapshots"), now: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}
	w.check(os.Mkdir(w.tree, 0o755))
	var err error
	w.d, err = Make(w.dir, w.tree, func() time.Time { return w.now })
	w.check(err)
	t.Cleanup(func() { w.d.Close() })
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// write puts a file at rel by rename, as the archive does.
func (w *world) write(rel, text string, mode fs.FileMode) {
	w.t.Helper()
	path := filepath.Join(w.tree, rel)
	w.check(os.MkdirAll(filepath.Dir(path), 0o755))
	temp := filepath.Join(filepath.Dir(w.tree), "temp")
	w.check(os.WriteFile(temp, []byte(text), 0o600))
	w.check(os.Chmod(temp, mode))
	w.check(os.Rename(temp, path))
}

// publish puts a distfile at rel and below by_cipher.
func (w *world) publish(rel, text string) {
	w.t.Helper()
	w.write(rel, text, 0o444)
	w.link(rel, cipherPath(w.t, rel, text))
}

func (w *world) link(rel, to string) {
	w.t.Helper()
	to = filepath.Join(w.tree, to)
	w.check(os.MkdirAll(filepath.Dir(to), 0o755))
	if err := os.Link(filepath.Join(w.tree, rel), to); err != nil && !errors.Is(err, fs.ErrExist) {
		w.t.Fatal(err)
	}
}

func cipherPath(t *testing.T, rel, text string) string {
	t.Helper()
	return layout.ByCipher(digest.SHA256.Sum([]byte(text)), filepath.Base(rel))
}

// create makes a snapshot, an hour after the last.
func (w *world) create(o CreateOptions) Snapshot {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	s, err := w.d.Create(w.t.Context(), w.tree, o)
	w.check(err)
	return s
}

func (w *world) view(s Snapshot) string { return filepath.Join(w.dir, s.Name) }

// sums returns what is in dir: the SHA-256 of files, the targets of links.
func sums(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case rel == recordName:
		case e.IsDir():
			got[rel] = "dir"
		case e.Type() == fs.ModeSymlink:
			got[rel], err = os.Readlink(path)
		default:
			var text []byte
			text, err = os.ReadFile(path)
			h := sha256.Sum256(text)
			got[rel] = hex.EncodeToString(h[:])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.Lstat(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.Lstat(b)
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

func listDir(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}

func TestViewIsTheTree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a%2Fb@v1.zip", "a")
	w.publish("sub/dir/b.tar", "bb")
	w.publish(".hidden", "ccc")
	w.publish("core/os/any/core.db", "") // its name is one of an index below by_cipher, too
	w.publish("core/os/any/core.db.sig", "")
	w.write("layout.conf", "[structure]\n", 0o644)
	w.write("distinfo", "x\n", 0o644)
	w.check(os.Symlink("sub/dir/b.tar", filepath.Join(w.tree, "link")))
	w.check(os.Mkdir(filepath.Join(w.tree, "private"), 0o750))
	w.check(os.Mkdir(filepath.Join(w.tree, "lost+found"), 0o700))
	want := sums(t, w.tree)
	delete(want, "lost+found")

	s := w.create(CreateOptions{})
	if diff := cmp.Diff(want, sums(t, w.view(s))); diff != "" {
		t.Errorf("-tree +snapshot:\n%s", diff)
	}
	wantS := Snapshot{
		Name: "2026-01-02T040000Z", Time: w.now, ByCipher: true, Latest: true,
		Files: 8, Bytes: 1 + 2 + 3 + int64(len("[structure]\n")+len("x\n")+len("sub/dir/b.tar")),
	}
	if diff := cmp.Diff(wantS, s); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	list, err := w.d.List()
	if diff := cmp.Diff([]Snapshot{wantS}, list); err != nil || diff != "" {
		t.Errorf("list: %v, -want +got:\n%s", err, diff)
	}
	fi, err := os.Stat(filepath.Join(w.view(s), "private"))
	if err != nil || fi.Mode().Perm() != 0o750 {
		t.Errorf("private directory: %v, %v", fi.Mode(), err)
	}
	if target, err := os.Readlink(filepath.Join(w.dir, "latest")); target != s.Name {
		t.Errorf("latest -> %q, %v", target, err)
	}

	s = w.create(CreateOptions{NoByCipher: true, Label: "x"})
	maps.DeleteFunc(want, func(path, _ string) bool { return path == layout.ByCipherDir || inByCipher(path) })
	if diff := cmp.Diff(want, sums(t, w.view(s))); diff != "" || s.ByCipher || s.Files != 8 {
		t.Errorf("without by_cipher: %+v, -tree +snapshot:\n%s", s, diff)
	}
}

// What a restored snapshot has of its own is not part of the tree.
func TestViewOfView(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	one := w.create(CreateOptions{})
	w.check(os.RemoveAll(w.tree))
	w.check(os.Rename(w.view(one), w.tree))
	w.publish("b", "b")
	two := w.create(CreateOptions{})
	got, err := w.d.get(two.Name)
	if err != nil || got.Files != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestInodes says what is linked and what is copied.
func TestInodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("read-only", "a")
	w.write("new", "b", 0o444)
	w.write("adopted", "c", 0o644)
	w.link("adopted", "by_cipher/sha256/cc/cc/adopted")
	w.write("index.html", "d", 0o644)
	w.write("sub/index.html", "e", 0o604)
	w.write("large", strings.Repeat("f", maxCopy+1), 0o644)
	for _, name := range []string{"layout.conf", "distinfo", "history", "lastsync", "lastupdate"} {
		w.write(name, name, 0o444)
	}
	s := w.create(CreateOptions{})
	for name, linked := range map[string]bool{
		"read-only": true, "new": true, "adopted": true, "large": true, cipherPath(t, "read-only", "a"): true,
		"index.html": false, "sub/index.html": false,
		"layout.conf": false, "distinfo": false, "history": false, "lastsync": false, "lastupdate": false,
	} {
		if got := sameFile(t, filepath.Join(w.tree, name), filepath.Join(w.view(s), name)); got != linked {
			t.Errorf("%s: linked %v, want %v", name, got, linked)
		}
		fi, err := os.Stat(filepath.Join(w.view(s), name))
		if err != nil || !linked && fi.Mode().Perm()&0o222 != 0 {
			t.Errorf("%s: mode %v, %v", name, fi.Mode(), err)
		}
		orig, err := os.Stat(filepath.Join(w.tree, name))
		if err != nil || !orig.ModTime().Equal(fi.ModTime()) || orig.Mode().Perm()&^0o222 != fi.Mode().Perm()&^0o222 {
			t.Errorf("%s: %v %v, want %v %v", name, fi.ModTime(), fi.Mode(), orig.ModTime(), orig.Mode())
		}
	}
	before := sums(t, w.view(s))
	for _, name := range []string{"layout.conf", "index.html", "sub/index.html"} {
		f, err := os.OpenFile(filepath.Join(w.tree, name), os.O_WRONLY|os.O_APPEND, 0)
		w.check(err)
		_, err = f.WriteString("more")
		w.check(errors.Join(err, f.Close()))
	}
	if diff := cmp.Diff(before, sums(t, w.view(s))); diff != "" {
		t.Errorf("written in place, -before +after:\n%s", diff)
	}

	// A copy that is still right is shared with the snapshot before.
	two := w.create(CreateOptions{})
	for name, shared := range map[string]bool{"distinfo": true, "history": true, "layout.conf": false, "index.html": false} {
		if got := sameFile(t, filepath.Join(w.view(s), name), filepath.Join(w.view(two), name)); got != shared {
			t.Errorf("%s: shared with the snapshot before: %v", name, got)
		}
	}
	// Neither the same time nor the same size makes it right.
	fi, err := os.Stat(filepath.Join(w.tree, "history"))
	w.check(err)
	w.write("history", "HISTORY", 0o444)
	w.check(os.Chtimes(filepath.Join(w.tree, "history"), fi.ModTime(), fi.ModTime()))
	then := w.now
	w.check(os.Chtimes(filepath.Join(w.tree, "lastsync"), then, then))
	three := w.create(CreateOptions{})
	if fi, err := os.Stat(filepath.Join(w.view(three), "lastsync")); err != nil || !fi.ModTime().Equal(then) {
		t.Errorf("lastsync is of %v, %v", fi.ModTime(), err)
	}
	if text, err := os.ReadFile(filepath.Join(w.view(three), "history")); string(text) != "HISTORY" {
		t.Errorf("history is %q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(w.view(two), "history")); string(text) != "history" {
		t.Errorf("the old history is %q, %v", text, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	w.create(CreateOptions{Label: "b"})
	w.check(os.Mkdir(filepath.Join(w.dir, "2026-01-02T040000Z.empty"), 0o755))
	before := listDir(t, w.dir)
	full := errors.New("no room")
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(context.Canceled)
	for _, c := range []struct {
		name string
		ctx  context.Context
		o    CreateOptions
		tree string
		want error
	}{
		{name: "same name", o: CreateOptions{Label: "b", Room: func() error { t.Error("walked for nothing"); return nil }}, want: fs.ErrExist},
		{name: "an empty directory", o: CreateOptions{Label: "empty"}, want: fs.ErrExist},
		{name: "cancelled", ctx: gone, want: context.Canceled},
		{name: "no room", o: CreateOptions{Room: func() error { return full }}, want: full},
		{name: "no tree", tree: filepath.Join(w.tree, "none"), want: fs.ErrNotExist},
		{name: "label with a slash", o: CreateOptions{Label: "a/b"}},
		{name: "label with a dot first", o: CreateOptions{Label: "..b"}},
		{name: "long label", o: CreateOptions{Label: strings.Repeat("a", 65)}},
	} {
		if c.ctx == nil {
			c.ctx = t.Context()
		}
		if c.tree == "" {
			c.tree = w.tree
		}
		_, err := w.d.Create(c.ctx, c.tree, c.o)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if diff := cmp.Diff(before, listDir(t, w.dir)); diff != "" {
			t.Errorf("%s: something is left, -before +after:\n%s", c.name, diff)
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	top := filepath.Dir(w.tree)
	w.check(os.Symlink(w.tree, filepath.Join(top, "alias")))
	for _, path := range []string{
		filepath.Join(w.tree, "snapshots"), w.tree, top, filepath.Join(top, "alias", "s"), filepath.Join(top, "none", "..", "distfiles", "s"),
	} {
		if _, err := Make(path, w.tree, nil); !errors.Is(err, errPlace) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if names := listDir(t, w.tree); len(names) > 0 {
		t.Errorf("made %v", names)
	}
	if _, err := Make(filepath.Join(top, "none", "s"), w.tree, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("parent is missing: %v", err)
	}
	other, err := os.MkdirTemp("/dev/shm", "distkeep-test")
	if err != nil {
		t.Skip("no other file system")
	}
	defer os.RemoveAll(other)
	a, _ := device(other)
	if b, _ := device(w.tree); a == b {
		t.Skip("no other file system")
	}
	_, err = Make(filepath.Join(other, "s"), w.tree, nil)
	if !errors.Is(err, errPlace) || !strings.Contains(err.Error(), "different file systems") || len(listDir(t, other)) > 0 {
		t.Errorf("other file system: %v", err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	s := w.create(CreateOptions{})
	w.check(os.Symlink(s.Name, filepath.Join(w.dir, "2026-01-02T050000Z")))
	w.check(os.Mkdir(filepath.Join(w.dir, "2026-01-02T060000Z"), 0o755))
	for _, name := range []string{"2026-01-02T0700Z", "2026-1-2T070000Z", "2026-01-02T070000Z.", "2026-01-02T070000Z..x", "2026-02-30T000000Z", "other", "2026-01-02T030000.000Z", "2026-01-02T030000,5Z"} {
		w.check(os.MkdirAll(filepath.Join(w.dir, name), 0o755))
		w.check(os.WriteFile(filepath.Join(w.dir, name, recordName), []byte("{}"), 0o444))
	}
	list, err := w.d.List()
	if err != nil || len(list) != 1 || list[0].Name != s.Name {
		t.Errorf("list: %v, %v", list, err)
	}
	for _, name := range append(listDir(t, w.dir), "..", ".", "", "../distfiles", "2026-01-02T040000Z/../2026-01-02T040000Z", "2026-01-02T080000Z") {
		if name == s.Name {
			continue
		}
		if _, err := w.d.Remove(t.Context(), s.Name, name); !errors.Is(err, errNotFound) {
			t.Errorf("remove %q: %v", name, err)
		}
		if _, err := w.d.OpenSnapshot(name); !errors.Is(err, errNotFound) && name != latestName {
			t.Errorf("open %q: %v", name, err)
		}
	}
	if _, err := w.d.get(s.Name); err != nil {
		t.Errorf("a refused removal removed: %v", err)
	}
	record := filepath.Join(w.view(s), recordName)
	w.check(os.Remove(record))
	w.check(os.WriteFile(record, []byte("{"), 0o444))
	if _, err := w.d.List(); err == nil || !strings.Contains(err.Error(), s.Name) {
		t.Errorf("damaged record: %v", err)
	}
}

// TestSweep removes what was interrupted, and nothing else that is hidden.
func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	w.create(CreateOptions{})
	foreign := []string{".new-x", ".old-x", ".keep", ".2026-01-02T030000Z"}
	for _, name := range append([]string{".new-2026-01-02T030000Z", ".old-2026-01-02T030000Z.b"}, foreign...) {
		w.check(os.MkdirAll(filepath.Join(w.dir, name, "d"), 0o755))
		w.check(os.Link(filepath.Join(w.tree, "a"), filepath.Join(w.dir, name, "d", "a")))
	}
	w.check(os.Symlink("x", filepath.Join(w.dir, newPrefix+latestName)))
	w.create(CreateOptions{})
	want := slices.Sorted(slices.Values(append(foreign, "2026-01-02T040000Z", "2026-01-02T050000Z", "latest", "lock")))
	if diff := cmp.Diff(want, listDir(t, w.dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	s := w.create(CreateOptions{})
	held, err := store.Lock(w.dir, "somebody", w.now)
	w.check(err)
	w.now = w.now.Add(time.Hour)
	_, err1 := w.d.Create(t.Context(), w.tree, CreateOptions{})
	_, err2 := w.d.Remove(t.Context(), s.Name)
	_, _, err3 := w.d.Prune(t.Context(), Policy{Last: 1})
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "somebody") {
			t.Errorf("locked: %v", err)
		}
	}
	if _, err := w.d.List(); err != nil {
		t.Errorf("list needs no lock: %v", err)
	}
	w.check(held.Unlock())
	w.create(CreateOptions{})
}

// A file has at most 65,000 links on ext4.
func TestTooManyLinks(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes 65,000 links")
	}
	w := newWorld(t)
	w.write("a", "content", 0o444)
	w.link("a", "b")
	more := filepath.Join(filepath.Dir(w.tree), "more")
	w.check(os.Mkdir(more, 0o755))
	for i := 0; ; i++ {
		err := os.Link(filepath.Join(w.tree, "a"), filepath.Join(more, time.Duration(i).String()))
		if err != nil {
			break
		}
		if i > 70_000 {
			t.Skip("the file system has no such limit")
		}
	}
	s := w.create(CreateOptions{})
	if diff := cmp.Diff(sums(t, w.tree), sums(t, w.view(s))); diff != "" {
		t.Errorf("-tree +snapshot:\n%s", diff)
	}
	if sameFile(t, filepath.Join(w.tree, "a"), filepath.Join(w.view(s), "a")) {
		t.Error("linked although there was no link left")
	}
	if !sameFile(t, filepath.Join(w.view(s), "a"), filepath.Join(w.view(s), "b")) {
		t.Error("copied twice")
	}
	if s.Bytes != int64(len("content")) || s.Files != 2 {
		t.Errorf("%+v", s)
	}
}

// FuzzRecord: a record says nothing that its name does, and what is understood of
// it means the same when it is written again.
func FuzzRecord(f *testing.F) {
	f.Add("2026-01-02T030000Z.label", []byte(`{"name":"x","time":"2026-01-02T03:00:00Z","files":3,"bytes":14,"by_cipher":true}`))
	f.Add("2026-01-02T030000Z", []byte(`{"latest":true,"future":true,"vanished":1,"newer":{}}`))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		at, label, ok := parseName(name)
		if again, err := Name(at, label); ok && (err != nil || again != name) {
			t.Fatalf("%q is the name %q, %v", name, again, err)
		}
		s, err := parseRecord(name, text)
		if !ok || err != nil {
			return
		}
		if s.Name != name || !s.Time.Equal(at) || s.Label != label || s.Latest || s.Future {
			t.Fatalf("%q is %+v", name, s)
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := parseRecord(name, again); err != nil || second != s {
			t.Fatalf("%+v became %+v, %v", s, second, err)
		}
	})
}
