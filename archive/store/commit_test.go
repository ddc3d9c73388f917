package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

func TestCommitLinksOneInode(t *testing.T) {
	t.Parallel()
	s := open(t, "filename-hash BLAKE2B 8", "flat", "content-hash SHA512 8:8")
	it := part(t, s, "a.tar", "data")
	want := inode(t, it.Part)
	commit(t, s, it)
	for _, rel := range paths(t, s, &it.Content) {
		if got := inode(t, s.Path(rel)); got != want {
			t.Errorf("%s is inode %d, want %d", rel, got, want)
		}
	}
	fi, err := os.Stat(s.Path("a.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode() != 0o444 {
		t.Errorf("mode = %v, want one that nobody writes to", fi.Mode())
	}
	if !it.ModTime.Equal(fi.ModTime()) {
		t.Errorf("ModTime = %v, want %v", it.ModTime, fi.ModTime())
	}
	if err := s.Parts.Release([]*Item{it}); err != nil || exists(it.Part) {
		t.Errorf("release: %v, part exists: %v", err, exists(it.Part))
	}
	if err := s.Parts.Release([]*Item{it}); err != nil {
		t.Errorf("second release: %v", err)
	}
}

// TestCommitOpenBSD: bsd.port.mk asks for base64 digests, whose "/" is a
// directory.
func TestCommitOpenBSD(t *testing.T) {
	t.Parallel()
	s := open(t)
	slashes, leading := 0, 0
	var items []*Item
	for i := 0; slashes < 5 || leading < 2; i++ {
		it := &Item{Content: content(catalog.Name(fmt.Sprintf("sub/f%d.tgz", i)), fmt.Sprint("data ", i))}
		b64 := it.SHA256().Base64()
		if !strings.Contains(b64, "/") {
			continue
		}
		slashes++
		if strings.Contains(b64[:3], "/") {
			leading++
		}
		it.Kind = catalog.OpenBSD
		it.Part = s.Parts.Path(it.Name, aWant)
		write(t, it.Part, fmt.Sprint("data ", i))
		items = append(items, it)
	}
	commit(t, s, items...)
	for _, it := range items {
		b64 := it.SHA256().Base64()
		// As make(1) spells it; the kernel takes "//" for "/".
		path := s.Published() + "/by_cipher/sha256/" + b64[:2] + "/" + b64 + "/" + it.Name.Base()
		if inode(t, path) != inode(t, s.Path(string(it.Name))) {
			t.Errorf("%s is not the file that was committed", path)
		}
	}
	// All of it goes again, directory by directory.
	for _, it := range items {
		if _, _, err := s.Recycle.Keep([]*layout.Content{&it.Content}); err != nil {
			t.Fatal(err)
		}
		if err := s.Recycle.Unpublish(&it.Content, none); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(s.Published()); err != nil || len(left) > 0 {
		t.Errorf("left in the published tree: %v, %v", left, err)
	}
}

func none(string) bool { return false }

func TestCommitReplaces(t *testing.T) {
	t.Parallel()
	s := open(t)
	publish(t, s, "a", "old")
	old, err := os.Open(s.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	publish(t, s, "a", "new!")
	if got, _ := os.ReadFile(s.Path("a")); string(got) != "new!" {
		t.Errorf("a = %q, want the new content", got)
	}
	b := make([]byte, 8)
	if n, _ := old.ReadAt(b, 0); string(b[:n]) != "old" {
		t.Errorf("a reader of the old file sees %q", b[:n])
	}
	oldContent := content("a", "old")
	if got, _ := os.ReadFile(s.Path(oldContent.CipherPaths()[0])); string(got) != "old" {
		t.Errorf("by_cipher of the old content = %q", got)
	}

	// A temporary link that a killed run has left is not in the way.
	write(t, filepath.Join(s.PartsDir(), fmt.Sprint(tempPrefix, s.shared.temps.Load()+1)), "left over")
	publish(t, s, "a", "newer")
	c := publish(t, s, "a", "new!")

	// What is no regular file is replaced itself, not what it points to.
	victim := filepath.Join(t.TempDir(), "victim")
	write(t, victim, "victim")
	if err := os.Remove(s.Path("a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, s.Path("a")); err != nil {
		t.Fatal(err)
	}
	commit(t, s, &Item{Content: *c, Have: look(s.Path(c.CipherPaths()[0]))})
	if got, _ := os.ReadFile(victim); string(got) != "victim" {
		t.Errorf("the target of a symbolic link was changed to %q", got)
	}
	if inode(t, s.Path("a")) != inode(t, s.Path(c.CipherPaths()[0])) {
		t.Error("the symbolic link was not replaced")
	}
	if left, _ := os.ReadDir(s.PartsDir()); len(left) > 0 {
		t.Errorf("left in parts: %v", left)
	}
}

func TestCommitHave(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := publish(t, s, "a", "data")
	b := &Item{Content: content("b", "data"), Have: look(s.Path("a"))}
	// A file of the operator's, where the archive would have it.
	write(t, s.Path("c"), "mine")
	c := &Item{Content: content("c", "mine"), Have: look(s.Path("c"))}
	commit(t, s, b, c)
	if inode(t, s.Path("b")) != inode(t, s.Path(a.CipherPaths()[0])) {
		t.Error("two names of one content are two inodes")
	}
	if inode(t, s.Path(c.Content.CipherPaths()[0])) != inode(t, s.Path("c")) {
		t.Error("an adopted file is not linked")
	}
	if c.ModTime.IsZero() {
		t.Error("an adopted file has no ModTime")
	}
	if err := s.Parts.Release([]*Item{b, c}); err != nil {
		t.Error(err)
	}
}

// TestCommitCircle: names of one batch may get the contents of one another,
// whatever they are linked from.
func TestCommitCircle(t *testing.T) {
	t.Parallel()
	for _, from := range []int{0, 1, 2} { // by_cipher and the layouts
		for _, others := range []int{0, 2 * syncEach} {
			t.Run(fmt.Sprint(from, " ", others), func(t *testing.T) {
				t.Parallel()
				s := open(t, "flat", "filename-hash BLAKE2B 8", "content-hash SHA512 8")
				names := []catalog.Name{"a", "b", "c"}
				var items []*Item
				for i, name := range names {
					c := publish(t, s, name, fmt.Sprint("content ", i))
					it := &Item{Content: *c, Have: look(s.Path(paths(t, s, c)[from]))}
					it.Name = names[(i+1)%len(names)]
					items = append(items, it)
				}
				for i := range others {
					items = append(items, part(t, s, catalog.Name(fmt.Sprint("other", i)), fmt.Sprint(i)))
				}
				commit(t, s, items...)
				for i, it := range items[:len(names)] {
					for _, rel := range paths(t, s, &it.Content) {
						if got, _ := os.ReadFile(s.Path(rel)); string(got) != fmt.Sprint("content ", i) {
							t.Errorf("%s has %q, want content %d", rel, got, i)
						}
					}
				}
			})
		}
	}
}

// TestCommitItemErrors: what is wrong with one item does not concern the others.
func TestCommitItemErrors(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 2 * syncEach} {
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			t.Parallel()
			s := open(t)
			publish(t, s, "file", "x")
			publish(t, s, "dir/x", "x")
			if err := os.Symlink("nowhere", s.Path("dangling")); err != nil {
				t.Fatal(err)
			}
			missing := part(t, s, "missing", "m")
			fifo, link, dir := part(t, s, "fifo", "f"), part(t, s, "link", "l"), part(t, s, "directory", "d")
			for _, it := range []*Item{missing, fifo, link, dir} {
				if err := os.Remove(it.Part); err != nil {
					t.Fatal(err)
				}
			}
			err := errors.Join(syscall.Mkfifo(fifo.Part, 0o644), os.Symlink(s.Path("file"), link.Part), os.Mkdir(dir.Part, 0o755))
			if err != nil {
				t.Fatal(err)
			}
			short := part(t, s, "short", "short")
			short.Size++
			bad := []*Item{
				missing, fifo, link, dir, short,
				part(t, s, "distinfo", "reserved"),
				part(t, s, "file/x", "below a file"),
				part(t, s, "file/x/y", "far below a file"),
				part(t, s, "dangling/x", "below nothing"),
				part(t, s, "dir", "in the place of a directory"),
				{Content: content("gone", "g"), Have: look(s.Path("gone"))},
			}
			items := []*Item{part(t, s, "first", "1")}
			items = append(items, bad...)
			for i := range batch {
				items = append(items, part(t, s, catalog.Name(fmt.Sprint("good", i)), fmt.Sprint(i)))
			}
			if err := s.Tree.Commit(items, nil); err != nil {
				t.Fatal(err)
			}
			for _, it := range bad {
				if it.Err == nil {
					t.Errorf("%s was published", it.Name)
				}
			}
			for _, it := range bad[5:10] {
				if !errors.Is(it.Err, layout.ErrPath) {
					t.Errorf("%s: error = %v, want ErrPath", it.Name, it.Err)
				}
			}
			for _, it := range append(items[:1:1], items[1+len(bad):]...) {
				if it.Err != nil || !exists(s.Path(string(it.Name))) {
					t.Errorf("%s: %v", it.Name, it.Err)
				}
			}
			if err := s.Parts.Release(items); err != nil {
				t.Error(err)
			}
			if !exists(short.Part) {
				t.Error("the part of an item that was not published is gone")
			}
			// A second try begins without the errors of the first.
			short.Size--
			commit(t, s, short)
		})
	}
}

// TestCommitUnsynced: when the kernel cannot say that bytes are on the disk,
// nobody may take them for good later.
func TestCommitUnsynced(t *testing.T) {
	t.Parallel()
	s := open(t)
	var items []*Item
	for i := range syncEach + 1 {
		items = append(items, part(t, s, catalog.Name(fmt.Sprint("f", i)), "data"))
	}
	if !s.shared.sync.Whole {
		t.Skip("needs a file system that syncfs is known to work on")
	}
	s.shared.sync.Dir.Close() // every syncfs fails from here on
	if err := s.Tree.Commit(items, nil); !errors.Is(err, os.ErrClosed) && !errors.Is(err, syscall.EBADF) {
		t.Errorf("error = %v, want that of syncfs", err)
	}
	for _, it := range items {
		if exists(it.Part) || exists(s.Path(string(it.Name))) {
			t.Errorf("%s is kept although nobody knows what is on the disk", it.Name)
		}
	}
	// What is to follow shares the fate of the synchronisation that it shares.
	var next []*Item
	items = nil
	for i := range syncEach {
		items = append(items, part(t, s, catalog.Name(fmt.Sprint("g", i)), fmt.Sprint("data", i)))
		next = append(next, part(t, s, catalog.Name(fmt.Sprint("h", i)), fmt.Sprint("more", i)))
	}
	if err := s.Tree.Commit(items, next); err == nil {
		t.Error("the links were made durable by nothing")
	}
	for i, it := range next {
		if exists(it.Part) || !exists(items[i].source()) {
			t.Errorf("%s is kept, or %s is not, although that was synchronised", it.Name, items[i].Name)
		}
	}
	// Nor does a later run take what else was written in this one for good.
	other := part(t, s, "other", "of this run")
	s.shared.sync, _ = disk.NewSyncer(s.published)
	again, err := Open(s.published, s.state, s.Tree.layouts, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.shared.failed = s.shared.failed
	if err := again.Close(); err != nil || exists(other.Part) {
		t.Errorf("parts are left after a synchronisation has failed: %v", err)
	}
	s.shared.failed = false
}

// TestCommitNotesWhatIsThere: a link that a killed run has made is not durable, and
// the directories above it are not either.
func TestCommitNotesWhatIsThere(t *testing.T) {
	t.Parallel()
	s := open(t)
	it := part(t, s, "sub/a", "data")
	commit(t, s, it)
	dirs := make(dirSet)
	if err := s.Tree.publish(it, dirs); err != nil {
		t.Fatal(err)
	}
	for _, rel := range paths(t, s, &it.Content) {
		for dir := filepath.Dir(s.Path(rel)); ; dir = filepath.Dir(dir) {
			if _, ok := dirs[dir]; !ok {
				t.Errorf("%s would not be synchronised", dir)
			}
			if dir == s.Published() {
				break
			}
		}
	}
}

// fill makes links to path in dir, numbered from n, until its inode takes no
// more. It returns the number of the first that it could not make.
func fill(t *testing.T, path, dir string, n int) int {
	t.Helper()
	for ; n < 70_000; n++ {
		err := os.Link(path, filepath.Join(dir, fmt.Sprint(n)))
		if errors.Is(err, syscall.EMLINK) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Skip("needs a file system with a bound on links, such as ext4")
	return 0
}

// TestTooManyLinks: ext4 allows 65,000 links to an inode.
func TestTooManyLinks(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes 65,000 links")
	}
	s := open(t, "flat", "content-hash SHA512 8")
	a := publish(t, s, "a", "data")
	full, dir := inode(t, s.Path("a")), t.TempDir()
	// One link is left: the second path of an item is one too many.
	n := fill(t, s.Path("a"), dir, 0)
	if err := os.Remove(filepath.Join(dir, fmt.Sprint(n-1))); err != nil {
		t.Fatal(err)
	}
	b := &Item{Content: content("b", "data"), Have: look(s.Path("a"))}
	c := &Item{Content: content("c", "data"), Have: look(s.Path("a"))}
	commit(t, s, b, c)
	spare := inode(t, s.Path("b"))
	if spare == full {
		t.Fatal("the inode took one more link than it can")
	}
	for _, it := range []*Item{b, c} {
		for _, rel := range paths(t, s, &it.Content) {
			if got := inode(t, s.Path(rel)); got != spare {
				t.Errorf("%s is inode %d, want %d as the others", rel, got, spare)
			}
		}
	}
	sums, fi, err := s.Hash(t.Context(), s.Path("b"))
	if err != nil || sums.Get(digest.SHA256) != a.SHA256() || fi.Mode() != 0o444 {
		t.Errorf("the second inode: %v, %v, %v", sums, fi.Mode(), err)
	}
	if !c.ModTime.Equal(fi.ModTime()) {
		t.Errorf("ModTime = %v, want that of the second inode %v", c.ModTime, fi.ModTime())
	}

	// Recycle needs a link that the first inode lacks.
	n = fill(t, s.Path("a"), dir, n)
	recycle(t, s, a)
	if exists(s.Path("a")) || exists(s.Path(a.CipherPaths()[0])) {
		t.Error("a is still published")
	}
	if got, _ := os.ReadFile(s.RecyclePath(a)); string(got) != "data" {
		t.Errorf("recycled = %q", got)
	}
	if left, _ := os.ReadDir(s.PartsDir()); len(left) > 0 {
		t.Errorf("left in parts: %v", left)
	}

	// A copy is made of what the digest says, and of nothing else.
	have := filepath.Join(dir, "0")
	fill(t, have, dir, n)
	if err := errors.Join(os.Chmod(have, 0o644), os.WriteFile(have, []byte("DATA"), 0o644)); err != nil {
		t.Fatal(err)
	}
	clear(s.Tree.spare)
	d := &Item{Content: content("d", "data"), Have: look(have)}
	if err := s.Tree.Commit([]*Item{d}, nil); err != nil || d.Err == nil || exists(s.Path("d")) {
		t.Errorf("a changed file was copied: %v, %v", err, d.Err)
	}
}
