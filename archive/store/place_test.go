package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"distkeep/archive/disk"
	"distkeep/catalog"
)

// TestCommitKeepsTheLastLink: what somebody puts in the way between the look at
// the archive and the publication is not lost.
func TestCommitKeepsTheLastLink(t *testing.T) {
	t.Parallel()
	s := open(t)
	write(t, s.Path("a"), "mine")
	publish(t, s, "a", "theirs")
	kept := s.Quarantine.Replaced()
	if len(kept) != 1 {
		t.Fatalf("replaced: %q, want one file", kept)
	}
	if got, err := os.ReadFile(kept[0]); string(got) != "mine" || filepath.Dir(kept[0]) != s.QuarantineDir() {
		t.Errorf("%s has %q, %v", kept[0], got, err)
	}
	if got, _ := os.ReadFile(s.Path("a")); string(got) != "theirs" {
		t.Errorf("a = %q, want the published content", got)
	}
	// What is below by_cipher as well is safe, and so is what is there already.
	publish(t, s, "a", "newer")
	publish(t, s, "a", "newer")
	if kept := s.Quarantine.Replaced(); len(kept) > 0 {
		t.Errorf("replaced: %q, want nothing", kept)
	}
}

// TestCommitKeepsLongNames: the name in quarantine fits.
func TestCommitKeepsLongNames(t *testing.T) {
	t.Parallel()
	s := open(t)
	name := catalog.Name(strings.Repeat("n", 250))
	for i := range 2 {
		if err := os.RemoveAll(s.Path(string(name))); err != nil {
			t.Fatal(err)
		}
		write(t, s.Path(string(name)), fmt.Sprint("mine ", i))
		publish(t, s, name, "theirs")
		if kept := s.Quarantine.Replaced(); len(kept) != 1 || !strings.HasSuffix(kept[0], fmt.Sprint(".", i)) {
			t.Errorf("replaced: %q, want one file", kept)
		}
	}
}

// TestSupplantTwoLinks: two names of one file are replaced at the same time, and
// each replacement would leave the other link.
func TestSupplantTwoLinks(t *testing.T) {
	t.Parallel()
	s := open(t)
	src := filepath.Join(s.PartsDir(), "src")
	write(t, src, "theirs")
	fi, err := os.Lstat(src)
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{s.Path("a"), s.Path("b")}
	for i := range 500 {
		for _, path := range paths {
			if err := s.shared.remove(path); err != nil {
				t.Fatal(err)
			}
		}
		write(t, paths[0], "mine")
		if err := os.Link(paths[0], paths[1]); err != nil {
			t.Fatal(err)
		}
		var g errgroup.Group
		for _, path := range paths {
			g.Go(func() error { return s.Tree.supplant(src, fi, path, "") })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if kept := s.Quarantine.Replaced(); len(kept) != 1 {
			t.Fatalf("time %d: replaced: %q, want one file", i, kept)
		}
	}
}

// TestMoveAside: what cannot be linked is moved, and over nothing.
func TestMoveAside(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i := range 2 {
		write(t, s.Path("a"), fmt.Sprint("mine ", i))
		kept, err := s.Quarantine.moveAside("replaced.a", s.Path("a"))
		if err != nil || exists(s.Path("a")) || kept != filepath.Join(s.QuarantineDir(), fmt.Sprint("replaced.a.", i)) {
			t.Errorf("moved to %s, %v", kept, err)
		}
		if got, _ := os.ReadFile(kept); string(got) != fmt.Sprint("mine ", i) {
			t.Errorf("%s has %q", kept, got)
		}
	}
}

// TestCommitOtherThanRead: what was replaced or written to since its digest was
// computed is not published by that.
func TestCommitOtherThanRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, path string){
		"replaced": func(t *testing.T, path string) {
			fi, err := os.Stat(path)
			if err == nil {
				err = os.Rename(path, path+".old")
			}
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, "fine")
			if err := os.Chtimes(path, fi.ModTime(), fi.ModTime()); err != nil {
				t.Fatal(err)
			}
		},
		"written to": func(t *testing.T, path string) {
			write(t, path, "fine")
			if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			write(t, s.Path("a"), "mine")
			was, err := os.Lstat(s.Path("a"))
			if err != nil {
				t.Fatal(err)
			}
			change(t, s.Path("a"))
			it := &Item{Content: content("a", "mine"), Have: Source{Path: s.Path("a"), Was: was, Read: true}}
			if err := s.Tree.Commit([]*Item{it}, nil); err != nil || it.Err == nil {
				t.Errorf("errors are %v and %v, want one for the item", err, it.Err)
			}
			if exists(s.Path(it.Content.CipherPaths()[0])) {
				t.Error("it was published below by_cipher")
			}
		})
	}
}

// TestExposeForeign: an index that is not the archive's is kept.
func TestExposeForeign(t *testing.T) {
	t.Parallel()
	s := open(t)
	for i, c := range []Copy{
		{Rel: "repo/index", Data: []byte("first"), Foreign: true},
		{Rel: "repo/index", Data: []byte("first"), Foreign: true},
		{Rel: "repo/index", Data: []byte("second")},
		{Rel: "repo/index", Data: []byte("third"), Foreign: true},
	} {
		if err := s.Views.Expose(nil, []Copy{c}); err != nil {
			t.Fatal(err)
		}
		kept := s.Quarantine.Replaced()
		if want := i == 3; (len(kept) == 1) != want {
			t.Errorf("%d: replaced: %q, want one: %v", i, kept, want)
		}
	}
	got, err := fs.Glob(os.DirFS(s.QuarantineDir()), "*")
	if err != nil || len(got) != 1 || got[0] != "replaced.index.0" {
		t.Errorf("in quarantine: %q, %v", got, err)
	}
}

// TestSyncFollowsLinks: directories behind symbolic links are made durable as
// well, and links to nowhere or to what the tree is in do no harm.
func TestSyncFollowsLinks(t *testing.T) {
	t.Parallel()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := openAt(t, dir, conf(t))
	s.shared.sync.Whole = false
	aside := filepath.Join(dir, "aside")
	write(t, filepath.Join(aside, "below", "file"), "")
	for name, to := range map[string]string{"aside": aside, "loop": "loop", "up": dir, "none": "none/such", "file": filepath.Join(aside, "below", "file")} {
		if err := os.Symlink(to, s.Path(name)); err != nil {
			t.Fatal(err)
		}
	}
	here, err := disk.MountOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	dirs := make(dirSet)
	if err := addTree(dirs, s.published, here); err != nil {
		t.Fatal(err)
	}
	want := dirSet{s.published: {}, aside: {}, filepath.Join(aside, "below"): {}}
	if fmt.Sprint(dirs) != fmt.Sprint(want) {
		t.Errorf("directories are %v, want %v", dirs, want)
	}
	if err := s.Sync(); err != nil {
		t.Error(err)
	}
}

// TestCommitDamaged: a file that is held to have a content does not take the
// place of one that has it, and no path is linked to it.
func TestCommitDamaged(t *testing.T) {
	t.Parallel()
	s := open(t, "flat", "filename-hash BLAKE2B 8")
	c := publish(t, s, "a", "mine")
	ps := paths(t, s, c)
	if err := errors.Join(os.Remove(s.Path(ps[0])), os.Remove(s.Path(ps[1]))); err != nil {
		t.Fatal(err)
	}
	write(t, s.Path(ps[1]), "mime")
	it := &Item{Content: *c, Have: look(s.Path(ps[1]))}
	if err := s.Tree.Commit([]*Item{it}, nil); err != nil || !errors.Is(it.Err, ErrDamaged) {
		t.Errorf("errors are %v and %v, want one for the item", err, it.Err)
	}
	if got, _ := os.ReadFile(s.Path(ps[2])); string(got) != "mine" || exists(s.Path(ps[0])) || len(s.Quarantine.Replaced()) > 0 {
		t.Errorf("%s has %q; by_cipher exists: %v", ps[2], got, exists(s.Path(ps[0])))
	}
	// The other way round it is the right one.
	it = &Item{Content: *c, Have: look(s.Path(ps[2]))}
	commit(t, s, it)
	if got, _ := os.ReadFile(s.Path(ps[1])); string(got) != "mine" || len(s.Quarantine.Replaced()) != 1 {
		t.Errorf("%s has %q", ps[1], got)
	}
}
