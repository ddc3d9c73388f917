package bucket

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"distkeep/archive/bucket/s3test"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// TestSpared: what any snapshot has is not removed, whatever the names are, until the
// last that has it is gone; and a snapshot is read from the bucket once.
func TestSpared(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	b.o.Cache = filepath.Join(t.TempDir(), "snapshots")
	its := []*store.Item{item(t, `odd","sha256":"00`, "bytes"), item(t, "b", "other"), item(t, "c", "nobody's")}
	if err := b.Publish(its, nil); err != nil {
		t.Fatal(err)
	}
	keep := func(name string, its ...*store.Item) {
		t.Helper()
		err := b.KeepSnapshot(t.Context(), name, map[string]string{"name": name}, func(yield func(Kept) bool) {
			for _, it := range its {
				yield(Kept{Name: string(it.Name), SHA256: it.SHA256().Hex(), Size: it.Size, Named: true})
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	left := func(want ...string) {
		t.Helper()
		var got []string
		for _, it := range its {
			if err := purge(b, it); err != nil {
				t.Fatal(err)
			}
			if _, ok := s.Get(b.blob(it.SHA256())); ok {
				got = append(got, string(it.Name))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("left: %q, want %q", got, want)
		}
	}
	drop := func(name string) {
		t.Helper()
		if err := b.DropSnapshot(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	keep("one", its[0], its[1])
	keep("two", its[1])
	left(string(its[0].Name), "b")
	s.Reset()
	for range 2 {
		var kept []string
		err := b.Kept(t.Context(), func(snapshot, name string, sum digest.Digest, size int64) {
			kept = append(kept, fmt.Sprintf("%s:%s:%d", snapshot, name, size))
		})
		if want := []string{"one:" + string(its[0].Name) + ":5", "one:b:5", "two:b:5"}; err != nil || !slices.Equal(kept, want) {
			t.Errorf("kept: %q, want %q (%v)", kept, want, err)
		}
	}
	if kinds, all := s.Requests(); all != 2 {
		t.Errorf("%v, want two listings", kinds)
	}
	drop("one")
	left("b")
	drop("two")
	left()
	if names, err := b.Snapshots(t.Context()); len(names) > 0 || err != nil {
		t.Errorf("there are %q (%v)", names, err)
	}
	if files, err := os.ReadDir(b.o.Cache); len(files) > 0 || err != nil {
		t.Errorf("left here: %v (%v)", files, err)
	}
	if err := b.Snapshot(t.Context(), "one", new(any), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is gone: %v", err)
	}
}

// TestSparedDamaged: nothing is removed while it is not known what snapshots have.
func TestSparedDamaged(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	b := open(t, s)
	it := item(t, "a", "bytes")
	if err := b.Publish([]*store.Item{it}, nil); err != nil {
		t.Fatal(err)
	}
	s.Put("some/where/doc/snapshots/one.jsonl.gz", "no gzip")
	if err := purge(b, it); err == nil {
		t.Error("it is purged")
	}
	if _, ok := s.Get(key("bytes")); !ok {
		t.Error("it is gone")
	}
}
