package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// TestForeignLinks: in a published tree that others may write to, what is done at a
// path is not done behind a symbolic link that a stranger has put on the way; it is
// a file in the place of a directory. Those of this user are followed.
func TestForeignLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(t *testing.T, s *Store, c *layout.Content) error
	}{
		{"commit", func(t *testing.T, s *Store, c *layout.Content) error {
			it := part(t, s, "view/new", "new")
			return errors.Join(s.Tree.Commit([]*Item{it}, nil), it.Err)
		}},
		{"expose a link", func(t *testing.T, s *Store, c *layout.Content) error {
			return s.Views.Expose([]Link{{Rel: "view/link", Have: look(s.Path(c.CipherPaths()[0]))}}, nil)
		}},
		{"expose a copy", func(t *testing.T, s *Store, c *layout.Content) error {
			return s.Views.Expose(nil, []Copy{{Rel: "view/copy", Data: []byte("copy")}})
		}},
		{"expose in the place of what is there", func(t *testing.T, s *Store, c *layout.Content) error {
			return s.Views.Expose(nil, []Copy{{Rel: "view/victim", Data: []byte("copy")}})
		}},
		{"withdraw", func(t *testing.T, s *Store, c *layout.Content) error { return s.Views.Withdraw("view/victim") }},
		{"set aside", func(t *testing.T, s *Store, c *layout.Content) error {
			fi, err := os.Stat(s.Path("view/victim"))
			if err != nil {
				return err
			}
			_, err = s.Quarantine.SetAside("aside", fi, []string{s.Path("view/victim")})
			return err
		}},
		{"prune", func(t *testing.T, s *Store, c *layout.Content) error {
			s.Prune(s.Path("view/empty"))
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, ours := range []bool{true, false} {
				s := open(t)
				held := publish(t, s, "held", "held")
				secret := t.TempDir()
				if err := errors.Join(os.Mkdir(filepath.Join(secret, "empty"), 0o755), os.WriteFile(filepath.Join(secret, "victim"), []byte("victim"), 0o644), os.Symlink(secret, s.Path("view"))); err != nil {
					t.Fatal(err)
				}
				before := tree(t, secret)
				if !ours {
					if err := os.Lchown(s.Path("view"), 12345, 12345); err != nil {
						t.Skip(err)
					}
				}
				err := c.do(t, s, held)
				if ours {
					if err != nil || tree(t, secret) == before {
						t.Errorf("through our link: %v, %s", err, tree(t, secret))
					}
					continue
				}
				if got := tree(t, secret); got != before {
					t.Errorf("behind the stranger's link is now\n%s\nwant\n%s", got, before)
				}
				if err != nil && !errors.Is(err, regular.ErrForeignLink) && !errors.Is(err, layout.ErrPath) {
					t.Errorf("error = %v", err)
				}
				if err := errors.Join(s.SyncRemoved(), s.Sync()); err != nil {
					t.Errorf("what comes after: %v", err)
				}
			}
		})
	}
}

// TestForeignLinkForOne: an item whose way is barred fails alone.
func TestForeignLinkForOne(t *testing.T) {
	t.Parallel()
	s := open(t)
	secret := t.TempDir()
	if err := os.Symlink(secret, s.Path("sub")); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(s.Path("sub"), 12345, 12345); err != nil {
		t.Skip(err)
	}
	items := []*Item{part(t, s, "sub/x", "one"), part(t, s, "y", "two")}
	if err := s.Tree.Commit(items, nil); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(items[0].Err, layout.ErrPath) || items[1].Err != nil || !exists(s.Path("y")) {
		t.Errorf("errors are %v, %v", items[0].Err, items[1].Err)
	}
	if got := tree(t, secret); got != "" {
		t.Errorf("behind the link is %s", got)
	}
	for _, name := range []catalog.Name{"sub/x", "y"} {
		if l := LookAt(s.Path(string(name))); (l.Size >= 0) != (name == "y") {
			t.Errorf("%s: %+v", name, l)
		}
	}
}
