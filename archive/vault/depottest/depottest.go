// Package depottest is what every vault.Depot has to do.
package depottest

import (
	"errors"
	"io/fs"
	"testing"

	"distkeep/archive/layout"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A World is an empty depot, and what surrounds it.
type World struct {
	vault.Depot
	// Part makes a file of data in the directory of parts.
	Part func(t *testing.T, data string) string
	// Damage replaces the bytes of a content in recycle.
	Damage func(t *testing.T, c *layout.Content, data string)
}

// Test runs the suite on depots that open makes.
func Test(t *testing.T, open func(t *testing.T) *World) {
	for name, test := range map[string]func(*testing.T, *World){
		"publish": publish, "names": names, "single": single, "recycle": recycle, "shared": shared, "back": back, "absent": absent, "damaged": damaged,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func (w *World) item(t *testing.T, name, data string) *store.Item {
	t.Helper()
	it := &store.Item{Part: w.Part(t, data)}
	it.Content = layout.Content{Name: catalog.Name(name), Named: true, Size: int64(len(data)), Digests: digest.Set{digest.SHA256.Sum([]byte(data))}}
	return it
}

// put publishes items, all of which must succeed.
func (w *World) put(t *testing.T, items ...*store.Item) {
	t.Helper()
	if err := w.Publish(items, nil); err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if it.Err != nil || it.ModTime.IsZero() {
			t.Fatalf("%s: %v, time %v", it.Name, it.Err, it.ModTime)
		}
		it.Content.ModTime = it.ModTime
	}
}

// away puts contents into recycle.
func (w *World) away(t *testing.T, its ...*store.Item) {
	t.Helper()
	var cs []*layout.Content
	for _, it := range its {
		cs = append(cs, &it.Content)
	}
	missing, stuck, err := w.Keep(cs)
	if err != nil || len(missing)+len(stuck) > 0 {
		t.Fatalf("Keep: %v missing, %v stuck, %v", missing, stuck, err)
	}
	for _, c := range cs {
		if err := w.Unpublish(c, func(string) bool { return false }); err != nil {
			t.Fatal(err)
		}
	}
}

// holds checks that recycle has a content with its bytes, or has none.
func (w *World) holds(t *testing.T, it *store.Item, want bool) {
	t.Helper()
	sums, size, _, err := w.Read(t.Context(), &it.Content, digest.BLAKE2B)
	switch {
	case !want && !errors.Is(err, fs.ErrNotExist):
		t.Errorf("%s is in recycle: %v", it.Name, err)
	case want && (err != nil || size != it.Size || sums.Get(digest.SHA256) != it.SHA256() || sums.Get(digest.BLAKE2B).IsZero()):
		t.Errorf("%s is not in recycle: %v, %d bytes (%v)", it.Name, sums, size, err)
	case want && w.Recycled(&it.Content).Size != it.Size:
		t.Errorf("%s looks like %+v", it.Name, w.Recycled(&it.Content))
	}
}

// publish: what was published can be published again, and may be none of many.
func publish(t *testing.T, w *World) {
	w.put(t)
	w.put(t, w.item(t, "a", "bytes"), w.item(t, "empty", ""))
	w.put(t, w.item(t, "a", "bytes"))
}

// names: a content has any number of names, at once or later.
func names(t *testing.T, w *World) {
	a, b := w.item(t, "a", "bytes"), w.item(t, "b", "bytes")
	w.put(t, a, b)
	w.put(t, w.item(t, "c", "bytes"))
	w.away(t, a)
	w.holds(t, a, true)
}

// single: what is wrong with one item is its own.
func single(t *testing.T, w *World) {
	good, short := w.item(t, "a", "bytes"), w.item(t, "b", "other bytes")
	short.Size++
	if err := w.Publish([]*store.Item{short, good}, nil); err != nil || good.Err != nil || short.Err == nil {
		t.Errorf("%v; %v; %v", err, good.Err, short.Err)
	}
}

// recycle: what is there stays until it is purged, and what a kill may have ended is done
// again without harm.
func recycle(t *testing.T, w *World) {
	a, b := w.item(t, "a", "bytes"), w.item(t, "b", "other")
	w.put(t, a, b)
	w.away(t, a, b)
	if err := w.Unpublish(&a.Content, func(string) bool { return false }); err != nil { // as after a kill
		t.Fatal(err)
	}
	w.holds(t, a, true)
	for range 2 {
		if err := w.purge(a, nil, nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	w.holds(t, a, false)
	w.holds(t, b, true)
}

// purge purges what others do not have.
func (w *World) purge(it *store.Item, published, recycled []*layout.Content) error {
	return w.Purge([]*layout.Content{&it.Content}, func(*layout.Content) (_, _ []*layout.Content) { return published, recycled })
}

// shared: bytes stay that another record has in the same place.
func shared(t *testing.T, w *World) {
	a, b := w.item(t, "dir/a", "bytes"), w.item(t, "other/a", "bytes") // one base
	w.put(t, a, b)
	w.away(t, a, b)
	if err := w.purge(a, nil, []*layout.Content{&b.Content}); err != nil {
		t.Fatal(err)
	}
	w.holds(t, b, true)
	if err := w.purge(b, nil, nil); err != nil {
		t.Fatal(err)
	}
	w.holds(t, b, false)
}

// back: what is in recycle is published again, and then is needed there no more.
func back(t *testing.T, w *World) {
	a := w.item(t, "a", "bytes")
	w.put(t, a)
	w.away(t, a)
	_, _, file, err := w.Read(t.Context(), &a.Content)
	if err != nil {
		t.Fatal(err)
	}
	again := &store.Item{Content: a.Content, Have: file}
	w.put(t, again)
	if err := w.purge(a, []*layout.Content{&a.Content}, nil); err != nil {
		t.Fatal(err)
	}
	w.away(t, again)
	w.holds(t, again, true)
}

// absent: what was never there is said not to be.
func absent(t *testing.T, w *World) {
	a := w.item(t, "a", "bytes")
	w.holds(t, a, false)
	if err := w.SetAside(&a.Content, "damaged."); err != nil {
		t.Error(err)
	}
}

// damaged: wrong bytes are found by reading, set aside, and then not there any more.
func damaged(t *testing.T, w *World) {
	a := w.item(t, "a", "bytes")
	w.put(t, a)
	w.away(t, a)
	w.Damage(t, &a.Content, "bytez")
	sums, _, _, err := w.Read(t.Context(), &a.Content)
	if err != nil || sums.Get(digest.SHA256) != digest.SHA256.Sum([]byte("bytez")) {
		t.Errorf("Read: %v, %v", sums, err)
	}
	if err := w.SetAside(&a.Content, "damaged."); err != nil {
		t.Fatal(err)
	}
	w.holds(t, a, false)
}
