package snapshot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

func hexSum(text string) string { return digest.SHA256.Sum([]byte(text)).Hex() }

// changes compares two snapshots, or one with the tree.
func (w *world) changes(names ...string) []string {
	w.t.Helper()
	var views []*Tree
	for _, name := range names {
		v, err := w.d.OpenSnapshot(name)
		w.check(err)
		defer v.Close()
		views = append(views, v)
	}
	if len(views) == 1 {
		v, err := OpenTree(w.tree)
		w.check(err)
		defer v.Close()
		views = append(views, v)
	}
	var got []string
	w.check(Diff(w.t.Context(), views[0], views[1], func(c Change) error {
		got = append(got, strings.TrimSpace(strings.Join([]string{c.Op, c.Name, c.Old, c.New}, " ")))
		return nil
	}))
	return got
}

func TestDiff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"same", "gone", "other", "sub/gone", "sub/same", "gonedir/x/y", "becomes-dir", "was-dir/in"} {
		w.publish(name, "old "+name)
	}
	w.write("layout.conf", "one", 0o644)
	w.write("lastsync", "1", 0o644)
	w.check(os.Symlink("same", filepath.Join(w.tree, "link")))
	one := w.create(CreateOptions{})

	for _, name := range []string{"gone", "sub/gone", "gonedir", "becomes-dir", "was-dir", "link"} {
		w.check(os.RemoveAll(filepath.Join(w.tree, name)))
	}
	w.publish("new", "new")
	w.publish("newdir/x/y", "y")
	w.publish("becomes-dir/in", "in")
	w.publish("was-dir", "was-dir")
	w.publish("other", "new other")
	w.write("sub/same", "old sub/same", 0o444) // the same bytes again
	w.write("layout.conf", "two", 0o644)
	w.write("lastsync", "2", 0o644)
	w.check(os.Symlink("other", filepath.Join(w.tree, "link")))
	two := w.create(CreateOptions{NoByCipher: true})

	want := []string{
		"- becomes-dir", "- gone",
		"~ layout.conf " + hexSum("one") + " " + hexSum("two"),
		"~ link -> same -> other",
		"+ new",
		"~ other " + hexSum("old other") + " " + hexSum("new other"),
		"+ was-dir",
		"+ becomes-dir/in", "- gonedir/x/y", "+ newdir/x/y", "- sub/gone", "- was-dir/in",
	}
	if diff := cmp.Diff(want, w.changes(one.Name, two.Name)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(want, w.changes(one.Name)); diff != "" {
		t.Errorf("with the tree, -want +got:\n%s", diff)
	}
	if got := w.changes("latest", two.Name); len(got) > 0 {
		t.Errorf("with itself: %v", got)
	}
	back := w.changes(two.Name, one.Name)
	if len(back) != len(want) {
		t.Errorf("backwards: %v", back)
	}
}

// TestDiffDigests shows where digests come from: distinfo is believed when
// by_cipher confirms it, which is seen here because both lie, and is not when
// there is another inode or none.
func TestDiffDigests(t *testing.T) {
	t.Parallel()
	lie := strings.Repeat("ab", 32)
	lieBase64 := digestBase64(t, lie)
	for _, c := range []struct {
		name, line, cipher string
		believed           bool
	}{
		{"confirmed", "SHA256 (a) = " + lie, "by_cipher/sha256/ab/" + lie + "/a", true},
		{"confirmed, base64", "SHA256 (a) = " + lieBase64, "by_cipher/sha256/ab/" + lie + "/a", true},
		{"not confirmed", "SHA256 (a) = " + lie, "", false},
		{"another name", "SHA256 (b) = " + lie, "by_cipher/sha256/ab/" + lie + "/b", false},
		{"not a name", "SHA256 (../a) = " + lie, "", false},
		{"no digest", "SHA256 (a) = abab", "by_cipher/sha256/ab/" + lie + "/a", false},
		{"the end of a long line", strings.Repeat("x", maxLine) + "SHA256 (a) = " + lie, "by_cipher/sha256/ab/" + lie + "/a", false},
		{"after a long line", strings.Repeat("x", 2*maxLine) + "\nSHA256 (a) = " + lie, "by_cipher/sha256/ab/" + lie + "/a", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("a", "one", 0o444)
			one := w.create(CreateOptions{})
			w.write("a", "two", 0o444)
			w.write("distinfo", "# comment\n"+c.line+"\n", 0o644)
			if c.cipher != "" {
				w.link("a", c.cipher)
			}
			two := w.create(CreateOptions{})
			sum := hexSum("two")
			if c.believed {
				sum = lie
			}
			want := []string{"~ a " + hexSum("one") + " " + sum}
			if diff := cmp.Diff(want, w.changes(one.Name, two.Name)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			// Links to one inode are alike whatever is said of them.
			w.check(os.RemoveAll(filepath.Join(w.view(two), layout.ByCipherDir)))
			if got := w.changes(two.Name); len(got) > 0 {
				t.Errorf("one inode: %v", got)
			}
			// Another inode below by_cipher confirms nothing.
			w.write("a", "three", 0o444)
			want = []string{"~ a " + hexSum("one") + " " + hexSum("three")}
			if diff := cmp.Diff(want, w.changes(one.Name)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func digestBase64(t *testing.T, hex string) string {
	t.Helper()
	d, err := digest.Parse(digest.SHA256, hex)
	if err != nil {
		t.Fatal(err)
	}
	return d.Base64()
}

// TestDiffRemoved removes a snapshot while it is compared.
func TestDiffRemoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	one := w.create(CreateOptions{})
	w.publish("b", "b")
	w.create(CreateOptions{})
	a, err := w.d.OpenSnapshot(one.Name)
	w.check(err)
	defer a.Close()
	b, err := w.d.OpenSnapshot("latest")
	w.check(err)
	defer b.Close()
	err = Diff(t.Context(), a, b, func(Change) error {
		_, err := w.d.Remove(t.Context(), one.Name)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "was removed while it was read") {
		t.Errorf("error: %v", err)
	}
}

func TestDiffStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(CreateOptions{})
	for i := range 10 {
		w.publish(fmt.Sprint(i), "")
	}
	a, err := w.d.OpenSnapshot("latest")
	w.check(err)
	defer a.Close()
	b, err := OpenTree(w.tree)
	w.check(err)
	defer b.Close()
	stop, n := errors.New("stop"), 0
	if err := Diff(t.Context(), a, b, func(Change) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
		t.Errorf("%d calls: %v", n, err)
	}
}
