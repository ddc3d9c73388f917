package gentoo

import (
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// later is a clock by which no file of a test is too young for a stamp.
func later() time.Time { return time.Now().Add(time.Hour) }

// stamping are options with stamps in a directory of the test.
func stamping(t testing.TB, o Options) Options {
	o.Stamps, o.Program, o.Now = filepath.Join(t.TempDir(), "state", "stamps"), "test", later
	return o
}

func scan(t testing.TB, dir string, o Options) *catalog.Scan {
	t.Helper()
	r, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func md5Hex(text string) string { return fmt.Sprintf("%x", md5.Sum([]byte(text))) }

// difference tells how two scans differ in what they say of the tree.
func difference(want, got *catalog.Scan) string {
	w, g := *want, *got
	w.Maintainers, g.Maintainers, w.Stamped, g.Stamped, w.ReadAgain, g.ReadAgain = nil, nil, 0, 0, time.Time{}, time.Time{}
	return cmp.Diff(w, g, cmp.Comparer(func(a, b digest.Digest) bool { return a == b }))
}

// TestStampsOfIDs: a stamp tells all IDs apart, and where they are.
func TestStampsOfIDs(t *testing.T) {
	t.Parallel()
	sums := make(map[[stampSize]byte]bool)
	ids := []regular.ID{{}, {Dev: 1}, {Inode: 1}, {Size: 1}, {ModTime: 1}, {Changed: 1}}
	for _, a := range ids {
		for _, b := range ids {
			var s seen
			s.add(a)
			s.add(b)
			sums[s.sum()] = true
		}
	}
	if want := len(ids) * len(ids); len(sums) != want {
		t.Errorf("%d stamps of %d", len(sums), want)
	}
}

// TestStampsDiffer: a scan out of stamps is, to the last byte, the one that has read
// everything: of a generated tree, and of the real ones beside the checkout.
func TestStampsDiffer(t *testing.T) {
	t.Parallel()
	generated := t.TempDir()
	generate(t, generated, 250)
	// It has hardly anything but lines that no ebuild wants.
	var lines strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "DIST x%d 1\n", i)
	}
	write(t, filepath.Join(generated, "cat-000/x/Manifest"), []byte(lines.String()))
	write(t, filepath.Join(generated, "cat-000/x/x-1.ebuild"), []byte("EAPI=8\n"))
	write(t, filepath.Join(generated, cacheDir, "cat-000/x-1"), []byte("EAPI=8\nRESTRICT=nomirror\n_md5_="+md5Hex("EAPI=8\n")+"\n"))
	trees := map[string]string{"generated": generated}
	real, err := filepath.Glob("../../../shared/trees/gentoo/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range real {
		trees[filepath.Base(dir)] = dir
	}
	for name, dir := range trees {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, o := range []Options{{}, {Name: "other", Workers: 1, MirrorSkip: []string{"gnome"}, MirrorExemptions: []string{"gentoo"}, MirrorOverrides: map[string][]string{"some": {"https://a.example/"}}}} {
				want := scan(t, dir, o)
				o = stamping(t, o)
				if d := difference(want, scan(t, dir, o)); d != "" {
					t.Fatalf("the scan that makes stamps:\n%s", d)
				}
				got := scan(t, dir, o)
				if d := difference(want, got); d != "" {
					t.Errorf("out of stamps:\n%s", d)
				}
				if len(want.Problems) == 0 && (got.Stamped == 0 || name == "generated" && got.Stamped != 251) {
					t.Errorf("%d packages of %d come from stamps", got.Stamped, got.Packages)
				}
				o.ReadOnly = true
				if err := os.Truncate(o.Stamps, 100); len(want.Problems) == 0 && err != nil {
					t.Fatal(err)
				}
				if d := difference(want, scan(t, dir, o)); d != "" {
					t.Errorf("out of a part of the file:\n%s", d)
				}
			}
		})
	}
}

// TestStampsReadAgain: a scan tells until when what it has not read may stay unread.
func TestStampsReadAgain(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	generate(t, tree, 3)
	o, first := stamping(t, Options{}), later()
	o.Now = func() time.Time { return first }
	if s := scan(t, tree, o); s.Stamped != 0 || !s.ReadAgain.IsZero() {
		t.Fatalf("the first scan: %d stamped, read again at %v", s.Stamped, s.ReadAgain)
	}
	o.Now = func() time.Time { return first.Add(7 * time.Hour) }
	if s := scan(t, tree, o); s.Stamped == 0 || !s.ReadAgain.Equal(first.Add(fullScan)) {
		t.Errorf("the second scan: %d stamped, read again at %v, want a day after %v", s.Stamped, s.ReadAgain, first)
	}
}
