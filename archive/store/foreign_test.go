package store

import (
	"errors"
	"os"
	"testing"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

// TestCommitForeign: what somebody else can write to is published as a copy, one
// for all names of a content, and what was published stays as it was verified.
func TestCommitForeign(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	day := time.Date(2020, 2, 2, 0, 0, 0, 0, time.UTC)
	for name, give := range map[string]func(path string) error{
		"writable by its group": func(path string) error { return os.Chmod(path, 0o464) },
		"writable by others":    func(path string) error { return os.Chmod(path, 0o446) },
		"of somebody else": func(path string) error {
			if os.Geteuid() != 0 {
				return errors.ErrUnsupported
			}
			return os.Chown(path, nobody, nobody)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, "flat", "filename-hash BLAKE2B 8")
			theirs := s.Path("a")
			write(t, theirs, "mine")
			err := errors.Join(os.Link(theirs, s.Path("b")), give(theirs), os.Chtimes(theirs, day, day))
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip("needs root")
			} else if err != nil {
				t.Fatal(err)
			}
			held, err := os.OpenFile(theirs, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			a := &Item{Content: content("a", "mine"), Have: look(s.Path("a"))}
			b := &Item{Content: content("b", "mine"), Have: look(s.Path("b"))}
			commit(t, s, a, b)
			if _, err := held.WriteString("evil"); err != nil {
				t.Fatal(err)
			}
			ours, err := os.Lstat(s.Path(paths(t, s, &a.Content)[0]))
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range []*Item{a, b} {
				for _, rel := range paths(t, s, &it.Content) {
					fi, err := os.Lstat(s.Path(rel))
					if err != nil {
						t.Fatal(err)
					}
					got, err := os.ReadFile(s.Path(rel))
					if string(got) != "mine" || !os.SameFile(fi, ours) || s.Tree.Foreign(fi) || !fi.ModTime().Equal(day) || !it.ModTime.Equal(day) {
						t.Errorf("%s: %q %v, %v, %v", rel, got, err, fi.Mode(), fi.ModTime())
					}
				}
			}
			if kept := s.Quarantine.Replaced(); len(kept) > 0 {
				t.Errorf("in quarantine: %q", kept)
			}
		})
	}
}

// TestCommitForeignRewritten: a file that its owner writes to, and gives its time
// back, after its digest was computed is not published.
func TestCommitForeignRewritten(t *testing.T) {
	t.Parallel()
	s := open(t)
	write(t, s.Path("a"), "mine")
	if err := os.Chmod(s.Path("a"), 0o666); err != nil {
		t.Fatal(err)
	}
	src := look(s.Path("a"))
	src.Read = true
	write(t, s.Path("a"), "evil")
	if err := os.Chtimes(s.Path("a"), time.Time{}, src.Was.ModTime()); err != nil {
		t.Fatal(err)
	}
	it := &Item{Content: content("a", "mine"), Have: src}
	if err := s.Tree.Commit([]*Item{it}, nil); err != nil || !errors.Is(it.Err, ErrDamaged) {
		t.Errorf("errors are %v and %v, want one for the item", err, it.Err)
	}
	if exists(s.Path(it.Content.CipherPaths()[0])) {
		t.Error("it was published below by_cipher")
	}
}

// TestRecycleForeign: what has become somebody else's is recycled as a copy, and
// all its paths go with it.
func TestRecycleForeign(t *testing.T) {
	t.Parallel()
	s := open(t, "flat", "filename-hash BLAKE2B 8")
	c := publish(t, s, "a", "mine")
	if err := os.Chmod(s.Path("a"), 0o666); err != nil {
		t.Fatal(err)
	}
	if missing, stuck, err := s.Recycle.Keep([]*layout.Content{c}); err != nil || len(missing)+len(stuck) > 0 {
		t.Fatal(missing, stuck, err)
	}
	if fi, err := os.Lstat(s.RecyclePath(c)); err != nil || s.Tree.Foreign(fi) {
		t.Errorf("%v, %v", fi, err)
	}
	if err := s.Recycle.Unpublish(c, func(string) bool { return false }); err != nil || exists(s.Path("a")) {
		t.Error(err)
	}
	sums, _, err := s.Hash(t.Context(), s.RecyclePath(c))
	if err != nil || sums.Get(digest.SHA256) != c.SHA256() {
		t.Error(err)
	}
}
