package snapshot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/layout"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// hook makes a Room that calls f with growing numbers, once for each piece of a
// directory that was read and not yet linked.
func hook(f func(n int)) func() error {
	var mu sync.Mutex
	n := 0
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		n++
		f(n)
		return nil
	}
}

// TestReadAgain adds and replaces files of a directory behind the place to
// which it has been read.
func TestReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := make(map[string]string)
	for i := range 3 * batch {
		w.write(fmt.Sprint("early", i), "", 0o444)
	}
	s := w.create(CreateOptions{Room: hook(func(n int) {
		// The directory is read for the indexes first, in at least 4 pieces.
		if n != 6 {
			return
		}
		for i := range 200 {
			w.write(fmt.Sprint("late", i), "", 0o444)
		}
		w.write("new/sub/file", "", 0o444)
	})})
	for name := range sums(t, w.tree) {
		want[name] = ""
	}
	got := sums(t, w.view(s))
	for name := range got {
		got[name] = ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-tree +snapshot:\n%s", diff)
	}
	if s.Files != 3*batch+201 || s.Vanished != 0 {
		t.Errorf("%+v", s)
	}
}

// TestVanished removes files between their being listed and linked.
func TestVanished(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"a", "d"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish("a", "a")
			w.publish("b", "b")
			w.publish("d/c", "c")
			once := sync.OnceFunc(func() { w.check(os.RemoveAll(filepath.Join(w.tree, what))) })
			s := w.create(CreateOptions{Room: hook(func(n int) {
				if n >= 3 { // 1 and 2 are the top and d, for the indexes
					once()
				}
			})})
			if diff := cmp.Diff(sums(t, w.tree), sums(t, w.view(s))); diff != "" {
				t.Errorf("-tree +snapshot:\n%s", diff)
			}
			if s.Vanished != 1 || s.Files != 2 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestNoIndexBeforeFiles publishes, during the walk, files that databases and
// distinfo then name.
func TestNoIndexBeforeFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repos := []string{"a", "core", "extra", "m", "n", "z"}
	var names []string
	publish := func(n int) {
		name := fmt.Sprintf("pool%02d/p-%04d.pkg.tar.zst", n%32, n)
		w.write(name, "", 0o444)
		names = append(names, name)
		list := strings.Join(names, "\n")
		for _, r := range repos {
			w.write(r+"/os/any/"+r+".db", list, 0o444)
			w.write(r+"/os/any/"+r+".files.tar.gz", list, 0o444)
		}
		w.write("distinfo", list, 0o644)
	}
	publish(0)
	s := w.create(CreateOptions{Room: hook(publish)})
	if len(names) < 50 {
		t.Fatalf("the tree changed %d times only", len(names))
	}
	lists := []string{"distinfo"}
	for _, r := range repos {
		lists = append(lists, r+"/os/any/"+r+".db", r+"/os/any/"+r+".files.tar.gz")
	}
	for _, list := range lists {
		text, err := os.ReadFile(filepath.Join(w.view(s), list))
		w.check(err)
		for name := range strings.FieldsSeq(string(text)) {
			if _, err := os.Stat(filepath.Join(w.view(s), name)); err != nil {
				t.Fatalf("%s names what is not there: %v", list, err)
			}
		}
	}
}

// A mirror publishes, replaces and removes the contents of names, as a run
// does, until it is stopped.
type mirror struct {
	store *store.Store
	r     *rand.Rand
	have  map[catalog.Name]*layout.Content
	n     int
}

// text makes a content that says how long it is.
func text(n int) string {
	s := strings.Repeat(fmt.Sprint("content ", n, "\n"), n%50+1)
	return fmt.Sprintf("%d\n%s", len(s), s)
}

func whole(s string) bool {
	var n int
	_, err := fmt.Sscanf(s, "%d\n", &n)
	return err == nil && len(s) == len(fmt.Sprintln(n))+n
}

func (m *mirror) put(name catalog.Name) error {
	m.n++
	body := text(m.n)
	sums, _ := digest.NewSet(digest.SHA256.Sum([]byte(body)))
	part := filepath.Join(m.store.PartsDir(), string(name)+".part")
	if err := os.WriteFile(part, []byte(body), 0o644); err != nil {
		return err
	}
	it := &store.Item{Content: layout.Content{Name: name, Digests: sums, Size: int64(len(body)), Named: true, Kind: catalog.Gentoo}, Part: part}
	if err := errors.Join(m.store.Tree.Commit([]*store.Item{it}, nil), it.Err); err != nil {
		return err
	}
	m.have[name] = &it.Content
	return m.store.Parts.Release([]*store.Item{it})
}

func (m *mirror) drop(name catalog.Name) error {
	c := m.have[name]
	if _, _, err := m.store.Recycle.Keep([]*layout.Content{c}); err != nil {
		return err
	}
	if err := m.store.Recycle.Unpublish(c, func(string) bool { return false }); err != nil {
		return err
	}
	delete(m.have, name)
	return m.store.Recycle.Purge(c)
}

// step changes one of a hundred names; the first ten are never removed.
func (m *mirror) step() error {
	i := m.r.IntN(100)
	name := catalog.Name(fmt.Sprintf("file-%02d", i))
	if i >= 10 && m.have[name] != nil && m.r.IntN(2) == 0 {
		return m.drop(name)
	}
	return m.put(name)
}

// TestUnderRunningMirror is the promise of the package: snapshots that are made,
// pruned and removed while the tree changes hold whole files, everything that
// was there all the time, and never change.
func TestUnderRunningMirror(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	st, err := store.Open(w.tree, filepath.Join(filepath.Dir(w.tree), "state"), layout.Conf{layout.Flat()}, nil)
	w.check(err)
	defer st.Close()
	m := &mirror{store: st, r: rand.New(rand.NewPCG(1, 2)), have: make(map[catalog.Name]*layout.Content)}
	for i := range 50 {
		w.check(m.put(catalog.Name(fmt.Sprintf("file-%02d", i))))
	}
	ctx, stop := context.WithCancel(t.Context())
	stepped, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			err = m.step()
			select {
			case stepped <- struct{}{}:
			default:
			}
		}
		close(stepped)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		for range stepped {
		}
	})
	views := make(map[string]map[string]string)
	for i := range 8 {
		for range 3 {
			<-stepped
		}
		s := w.create(CreateOptions{Label: map[int]string{3: "pinned"}[i]})
		views[s.Name] = sums(t, w.view(s))
		for j := range 10 {
			if views[s.Name][fmt.Sprintf("file-%02d", j)] == "" {
				t.Errorf("%s lacks file-%02d, which was there all the time", s.Name, j)
			}
		}
		for path := range views[s.Name] {
			text, err := os.ReadFile(filepath.Join(w.view(s), path))
			if err == nil && !whole(string(text)) {
				t.Errorf("%s: %s is not whole: %q", s.Name, path, text)
			}
		}
		if i%4 == 3 {
			_, removed, err := w.d.Prune(t.Context(), Policy{Last: 3})
			w.check(err)
			for _, r := range removed {
				delete(views, r.Name)
			}
		}
	}
	stop()
	w.check(<-ended)
	list, err := w.d.List()
	w.check(err)
	if len(list) != len(views) || len(list) != 4 {
		t.Errorf("%d snapshots, want 4: %v", len(list), slices.Sorted(maps.Keys(views)))
	}
	for _, s := range list {
		if diff := cmp.Diff(views[s.Name], sums(t, w.view(s))); diff != "" {
			t.Errorf("%s has changed, -before +after:\n%s", s.Name, diff)
		}
	}
	for name := range m.have {
		if text, err := os.ReadFile(filepath.Join(w.tree, string(name))); err != nil || !whole(string(text)) {
			t.Errorf("the tree has lost %s: %v", name, err)
		}
	}
}
