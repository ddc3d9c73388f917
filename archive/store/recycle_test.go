package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"distkeep/archive/layout"
)

// recycle deletes contents as a run does.
func recycle(t testing.TB, s *Store, cs ...*layout.Content) {
	t.Helper()
	missing, _, err := s.Recycle.Keep(cs)
	if err != nil || len(missing) > 0 {
		t.Fatalf("recycle: %v, missing %v", err, missing)
	}
	for _, c := range cs {
		if err := s.Recycle.Unpublish(c, none); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SyncRemoved(); err != nil {
		t.Fatal(err)
	}
}

func TestRecycle(t *testing.T) {
	t.Parallel()
	s := open(t, "flat", "filename-hash BLAKE2B 8:8")
	c := publish(t, s, "sub/a", "data")
	keep := publish(t, s, "b", "other")
	before := tree(t, s.Published())
	missing, _, err := s.Recycle.Keep([]*layout.Content{c})
	if err != nil || len(missing) > 0 {
		t.Fatal(err, missing)
	}
	if got := tree(t, s.Published()); got != before {
		t.Errorf("Recycle alone has changed the published tree to %s", got)
	}
	if inode(t, s.RecyclePath(c)) != inode(t, s.Path("sub/a")) {
		t.Error("recycle has another inode than the published tree")
	}
	recycle(t, s, c) // again, as after a crash
	for _, rel := range paths(t, s, c) {
		if exists(s.Path(rel)) {
			t.Errorf("%s is still published", rel)
		}
	}
	if exists(s.Path("sub")) {
		t.Error("the empty directory sub is left")
	}
	for _, rel := range paths(t, s, keep) {
		if !exists(s.Path(rel)) {
			t.Errorf("%s is gone", rel)
		}
	}
	// Interrupted after the last link went: done once more, it is no error.
	if err := s.Recycle.Unpublish(c, none); err != nil {
		t.Error(err)
	}
	recycle(t, s, keep)
	if left, err := os.ReadDir(s.Published()); err != nil || len(left) > 0 {
		t.Errorf("left in the published tree: %v, %v", left, err)
	}
	if left, _ := os.ReadDir(s.PartsDir()); len(left) > 0 {
		t.Errorf("left in parts: %v", left)
	}

	commit(t, s, &Item{Content: *c, Have: look(s.RecyclePath(c))})
	if err := s.Recycle.Purge(c); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(s.Path("sub/a")); string(got) != "data" {
		t.Errorf("restored sub/a = %q", got)
	}
}

func TestRecycleMissing(t *testing.T) {
	t.Parallel()
	s := open(t)
	gone, there := publish(t, s, "gone", "g"), publish(t, s, "there", "t")
	changed := publish(t, s, "changed", "c")
	for _, rel := range paths(t, s, gone) {
		if err := os.Remove(s.Path(rel)); err != nil {
			t.Fatal(err)
		}
	}
	for _, rel := range paths(t, s, changed) {
		if err := os.Remove(s.Path(rel)); err != nil {
			t.Fatal(err)
		}
		write(t, s.Path(rel), "of another size")
	}
	other := publish(t, s, "other", "mine")
	for _, rel := range paths(t, s, other) {
		if err := os.Remove(s.Path(rel)); err != nil {
			t.Fatal(err)
		}
		write(t, s.Path(rel), "nine")
	}
	missing, stuck, err := s.Recycle.Keep([]*layout.Content{gone, there, changed, other})
	if err != nil || len(stuck) > 0 || !slices.Equal(missing, []*layout.Content{gone, changed, other}) {
		t.Errorf("missing = %v, %v, %v, want gone, changed and other", missing, stuck, err)
	}
	if exists(s.RecyclePath(other)) {
		t.Error("other bytes are in recycle")
	}
	if !exists(s.RecyclePath(there)) || exists(s.RecyclePath(gone)) {
		t.Error("recycle does not hold what was there, and that alone")
	}
	if err := s.Recycle.Unpublish(gone, none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Unpublish without a link in recycle: %v, want ErrNotExist", err)
	}
	if !exists(s.Path("changed")) {
		t.Error("a changed file was removed")
	}
}

// TestRecycleOtherInode: the content in recycle may be an older copy.
func TestRecycleOtherInode(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := publish(t, s, "a", "data")
	recycle(t, s, c)
	c = publish(t, s, "a", "data")
	if inode(t, s.RecyclePath(c)) == inode(t, s.Path("a")) {
		t.Fatal("test is void: one inode")
	}
	recycle(t, s, c)
	if exists(s.Path("a")) || exists(s.Path("by_cipher")) {
		t.Error("the second copy is still published")
	}
	if got, _ := os.ReadFile(s.RecyclePath(c)); string(got) != "data" {
		t.Errorf("recycled = %q", got)
	}
}

func TestUnpublishKeeps(t *testing.T) {
	t.Parallel()
	s := open(t, "flat", "content-hash SHA512 8")
	a := publish(t, s, "a", "data")
	b := &Item{Content: content("b", "data"), Have: look(s.Path("a"))}
	commit(t, s, b)
	if _, _, err := s.Recycle.Keep([]*layout.Content{a}); err != nil {
		t.Fatal(err)
	}
	// Somebody has put something else where a by_cipher path was.
	replaced := s.Path(a.CipherPaths()[0])
	if err := os.Remove(replaced); err != nil {
		t.Fatal(err)
	}
	write(t, replaced, "data")
	shared := paths(t, s, a)[2]
	var asked []string
	err := s.Recycle.Unpublish(a, func(rel string) bool {
		asked = append(asked, rel)
		return rel == shared
	})
	if err != nil {
		t.Fatal(err)
	}
	if exists(s.Path("a")) {
		t.Error("a is still published")
	}
	if !exists(s.Path(shared)) || !exists(s.Path("b")) {
		t.Error("what another name needs is gone")
	}
	if !exists(replaced) {
		t.Error("a file that is no link to the recycled inode was removed")
	}
	if want := paths(t, s, a); len(asked) != len(want) || asked[2] != want[0] {
		t.Errorf("asked for %q, want all of %q and by_cipher last", asked, want)
	}
}

// TestUnpublishReservedName: records from before a layout was added have names
// that cannot be published by it.
func TestUnpublishReservedName(t *testing.T) {
	t.Parallel()
	s := open(t)
	c := content("distinfo", "d")
	it := &Item{Content: c, Part: s.Parts.Path(c.Name, "w")}
	it.Named = false
	write(t, it.Part, "d")
	commit(t, s, it)
	write(t, s.Path("distinfo"), "the archive's own")
	recycle(t, s, &c)
	if !exists(s.Path("distinfo")) || exists(s.Path("by_cipher")) {
		t.Errorf("published tree: %s", tree(t, s.Published()))
	}
}

// TestPruneLeavesSymlinks: an operator may have moved a directory elsewhere.
func TestPruneLeavesSymlinks(t *testing.T) {
	t.Parallel()
	s := open(t)
	elsewhere := filepath.Join(filepath.Dir(s.Published()), "elsewhere")
	if err := errors.Join(os.Mkdir(elsewhere, 0o755), os.Symlink(elsewhere, s.Path("by_cipher"))); err != nil {
		t.Fatal(err)
	}
	c := publish(t, s, "a", "data")
	if len(tree(t, elsewhere)) == 0 {
		t.Error("nothing was published through the symbolic link")
	}
	recycle(t, s, c)
	if !exists(s.Path("by_cipher")) {
		t.Error("the operator's symbolic link was removed")
	}
	if got := tree(t, elsewhere); got != "" {
		t.Errorf("left behind the symbolic link: %s", got)
	}
}

func TestUnlink(t *testing.T) {
	t.Parallel()
	s := open(t)
	publish(t, s, "a", "data")
	old := "0f/a"
	if err := errors.Join(os.Mkdir(s.Path("0f"), 0o755), os.Link(s.Path("a"), s.Path(old))); err != nil {
		t.Fatal(err)
	}
	write(t, s.Path("copied/a"), "data")
	write(t, s.Path("foreign/x"), "mine")
	if err := errors.Join(s.Tree.Unlink(old, "a"), s.Tree.Unlink("copied/a", "a"), s.Tree.Unlink("nothing/here", "a"), s.Tree.Unlink("a/b", "a")); err != nil {
		t.Fatal(err)
	}
	if err := s.Tree.Unlink("foreign/x", "a"); err == nil {
		t.Error("other bytes are no error")
	}
	if exists(s.Path("0f")) || exists(s.Path("copied")) || !exists(s.Path("a")) || !exists(s.Path("foreign/x")) {
		t.Errorf("published tree: %s", tree(t, s.Published()))
	}
	if err := s.Tree.Unlink("a", "a"); err == nil || !exists(s.Path("a")) {
		t.Error("the only link was removed")
	}
	// The same entry by another way.
	if err := os.Symlink(".", s.Path("self")); err != nil {
		t.Fatal(err)
	}
	for _, rel := range []string{"foreign/x", "a"} {
		if err := s.Tree.Unlink("self/"+rel, rel); err == nil || !exists(s.Path(rel)) {
			t.Errorf("%s was removed by another spelling", rel)
		}
	}
	if err := s.Tree.Unlink("a", "nowhere"); !errors.Is(err, fs.ErrNotExist) || !exists(s.Path("a")) {
		t.Errorf("without the other link: %v", err)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := publish(t, s, "a", "data")
	b := &Item{Content: content("b", "data"), Have: look(s.Path("a"))}
	commit(t, s, b)
	recycle(t, s, a, &b.Content)
	dir := filepath.Dir(s.RecyclePath(a))
	if err := s.Recycle.Purge(a); err != nil {
		t.Fatal(err)
	}
	if exists(s.RecyclePath(a)) || !exists(s.RecyclePath(&b.Content)) {
		t.Error("Purge of a has not removed a alone")
	}
	if err := errors.Join(s.Recycle.Purge(&b.Content), s.Recycle.Purge(&b.Content), s.SyncRemoved()); err != nil {
		t.Fatal(err)
	}
	if exists(dir) || !exists(s.RecycleDir()) {
		t.Error("the directory of the content is left, or recycle itself is gone")
	}
}

// TestSyncRemoved: directories whose entries went are synchronised, those that
// went themselves are not looked for.
func TestSyncRemoved(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, b := publish(t, s, "dir/a", "a"), publish(t, s, "dir/b", "b")
	for _, c := range []*layout.Content{a, b} {
		if _, _, err := s.Recycle.Keep([]*layout.Content{c}); err != nil {
			t.Fatal(err)
		}
		if err := s.Recycle.Unpublish(c, none); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.shared.removed[s.Path("dir")]; ok != (c == a) {
			t.Errorf("after %s: dir is to be synchronised: %v", c.Name, ok)
		}
	}
	if _, ok := s.shared.removed[s.Published()]; !ok {
		t.Error("the published tree would not be synchronised")
	}
	s.shared.removed[s.Path("gone meanwhile")] = struct{}{}
	if err := s.SyncRemoved(); err != nil {
		t.Error(err)
	}
	if len(s.shared.removed) > 0 {
		t.Errorf("left to be synchronised: %v", s.shared.removed)
	}
}

// TestRecycleCopies: the paths of a content are files of their own.
func TestRecycleCopies(t *testing.T) {
	t.Parallel()
	s := open(t, "flat", "filename-hash BLAKE2B 8:8", "filename-hash SHA512 8")
	c := publish(t, s, "a", "data")
	ps := paths(t, s, c)
	for _, rel := range ps[1:3] {
		if err := os.Remove(s.Path(rel)); err != nil {
			t.Fatal(err)
		}
		write(t, s.Path(rel), "data")
	}
	if err := os.Remove(s.Path(ps[3])); err != nil {
		t.Fatal(err)
	}
	write(t, s.Path(ps[3]), "mine")
	if err := os.Remove(s.Path(ps[0])); err != nil {
		t.Fatal(err)
	}
	write(t, s.Path(ps[0]), "rot!")
	recycle(t, s, c)
	for i, rel := range ps {
		if want := i == 0 || i == 3; exists(s.Path(rel)) != want {
			t.Errorf("%s is published: %v, want %v", rel, !want, want)
		}
	}
	if got, err := os.ReadFile(s.RecyclePath(c)); string(got) != "data" {
		t.Errorf("recycle has %q, %v", got, err)
	}
}
