package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "aaaa")
	w.publish("sub/b", "bb")
	outside := filepath.Join(filepath.Dir(w.tree), "outside")
	w.check(os.Mkdir(outside, 0o755))
	w.check(os.WriteFile(filepath.Join(outside, "file"), nil, 0o644))
	link := filepath.Join(filepath.Dir(w.tree), "link")
	w.check(os.Symlink(outside, link))
	one := w.create(CreateOptions{})
	w.check(os.Link(link, filepath.Join(w.view(one), "out")))
	w.check(os.RemoveAll(filepath.Join(w.tree, "by_cipher")))
	w.check(os.Remove(filepath.Join(w.tree, "a")))
	two := w.create(CreateOptions{})
	w.check(os.Link(link, filepath.Join(w.view(two), "out")))
	tree := sums(t, w.tree)
	kept := sums(t, w.view(one))

	// latest goes back to what is the newest then.
	removed, err := w.d.Remove(t.Context(), two.Name)
	w.check(err)
	if diff := cmp.Diff([]Removed{{Name: two.Name, Files: 2}}, removed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if target, _ := os.Readlink(filepath.Join(w.dir, "latest")); target != one.Name {
		t.Errorf("latest -> %q", target)
	}
	if diff := cmp.Diff(kept, sums(t, w.view(one))); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}

	removed, err = w.d.Remove(t.Context(), one.Name)
	w.check(err)
	if diff := cmp.Diff([]Removed{{Name: one.Name, Files: 5, Freed: 4}}, removed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"lock"}, listDir(t, w.dir)); diff != "" {
		t.Errorf("left:\n%s", diff)
	}
	if diff := cmp.Diff(tree, sums(t, w.tree)); diff != "" {
		t.Errorf("tree:\n%s", diff)
	}
	if len(listDir(t, outside)) != 1 {
		t.Error("a symbolic link was followed")
	}
}

// TestFreed counts what is freed by many links that go at once.
func TestFreed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 200 {
		w.publish(fmt.Sprintf("%d/a", i), fmt.Sprintf("%04d", i))
		w.link(fmt.Sprintf("%d/a", i), fmt.Sprintf("%d/b", 199-i))
	}
	s := w.create(CreateOptions{})
	w.check(os.RemoveAll(w.tree))
	removed, err := w.d.Remove(t.Context(), s.Name)
	w.check(err)
	if diff := cmp.Diff([]Removed{{Name: s.Name, Files: 600, Freed: 800}}, removed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestRemoveStops ends between two snapshots.
func TestRemoveStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	one, two := w.create(CreateOptions{}), w.create(CreateOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	removed, err := w.d.Remove(ctx, one.Name, two.Name)
	if len(removed) > 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", removed, err)
	}
	if target, _ := os.Readlink(filepath.Join(w.dir, "latest")); target != two.Name {
		t.Errorf("latest -> %q", target)
	}
}

// TestRemoveMount makes sure that a bind mount inside a snapshot is left alone. It
// needs the right to mount.
func TestRemoveMount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish("a", "a")
	w.check(os.Mkdir(filepath.Join(w.tree, "dir"), 0o755))
	s := w.create(CreateOptions{})
	bindMount(t, w.tree, filepath.Join(w.view(s), "dir"))
	before := sums(t, w.tree)
	if _, err := w.d.Remove(t.Context(), s.Name); !errors.Is(err, errMount) {
		t.Errorf("error: %v", err)
	}
	if diff := cmp.Diff(before, sums(t, w.tree)); diff != "" {
		t.Errorf("tree:\n%s", diff)
	}
}
