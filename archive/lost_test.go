package archive

import (
	"context"
	"os"
	"testing"

	"distkeep/archive/archivetest"
	"distkeep/archive/vault"
	"distkeep/archive/verify"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A static repository wants what it has.
type static []*catalog.Distfile

func (static) Name() string       { return "r" }
func (static) Kind() catalog.Kind { return catalog.Gentoo }

func (s static) Scan(context.Context) (*catalog.Scan, error) {
	return &catalog.Scan{Distfiles: s}, nil
}

// TestStuck: wrong bytes that cannot be moved to quarantine are told of in every
// run, and nothing else has to wait for them.
func TestStuck(t *testing.T) {
	t.Parallel()
	b := archivetest.New(t)
	b.Put("a.tgz", catalog.Gentoo, true, "a")
	b.Put("b.tgz", catalog.Gentoo, true, "b")
	sums, _ := digest.NewSet(digest.SHA512.Sum([]byte("a")), digest.BLAKE2B.Sum([]byte("a")))
	repo := static{{Name: "a.tgz", Size: 1, Digests: sums}}
	fi, err := os.Stat(b.Path("a.tgz"))
	if err == nil {
		err = os.Chmod(b.Path("a.tgz"), 0o644)
	}
	if err == nil {
		err = os.WriteFile(b.Path("a.tgz"), []byte("x"), 0o644)
	}
	if err == nil {
		err = os.Chtimes(b.Path("a.tgz"), fi.ModTime(), fi.ModTime())
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.Do(func(a *vault.Vault) {
			if err := os.Remove(a.Store.QuarantineDir()); err != nil {
				t.Fatal(err)
			}
			s, err := verify.Verify(t.Context(), a, verify.Options{})
			if err != nil || s.Verified.Files != 1 || len(s.Damaged) != 1 || !s.Damaged[0].Stuck {
				t.Errorf("Verify = %+v, %v", s, err)
			}
		})
	}
	if err := os.WriteFile(b.Path("a.tgz"), []byte("longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		b.Do(func(a *vault.Vault) {
			if err := os.Remove(a.Store.QuarantineDir()); err != nil {
				t.Fatal(err)
			}
			s, err := Mirror(t.Context(), a, MirrorOptions{Repositories: []catalog.Repository{repo}})
			if err != nil {
				t.Fatal(err)
			}
			if f := s.Failures[failure.Local]; len(s.Failures) != 1 || f.New != 1-i || f.Known != i || s.Lost.Files != 0 {
				t.Errorf("run %d: failures: %v, lost: %v", i, s.Failures, s.Lost)
			}
		})
	}
	if n := len(b.Records()); n != 2 {
		t.Errorf("%d records, want both", n)
	}
}
