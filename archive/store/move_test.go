package store

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

// TestCommitMoves: a part becomes the published file where nothing is in its way, and
// the other names of its content in the batch are linked all the same.
func TestCommitMoves(t *testing.T) {
	t.Parallel()
	for _, more := range []int{0, 2 * syncEach} {
		t.Run(fmt.Sprint(more, " more"), func(t *testing.T) {
			t.Parallel()
			s := open(t, "filename-hash BLAKE2B 8", "flat")
			publish(t, s, "taken", "before")
			if err := os.Mkdir(s.Path("dir"), 0o755); err != nil {
				t.Fatal(err)
			}
			first, taken, dir := part(t, s, "a", "one content"), part(t, s, "taken", "after"), part(t, s, "dir", "in the place of a directory")
			items := []*Item{first, taken, dir}
			for i := range 20 {
				it := &Item{Content: content(catalog.Name(fmt.Sprint("same", i)), "one content"), Have: look(first.Part)}
				items = append(items, it)
			}
			for i := range more {
				items = append(items, part(t, s, catalog.Name(fmt.Sprint("more", i)), fmt.Sprint(i)))
			}
			parts := make(map[*Item]string)
			for _, it := range items {
				parts[it] = it.Part
			}
			if err := s.Tree.Commit(items, nil); err != nil {
				t.Fatal(err)
			}
			for _, it := range items {
				moved := it != taken && it != dir && parts[it] != ""
				if moved == exists(parts[it]) && parts[it] != "" || moved != (it.Part == "") && parts[it] != "" {
					t.Errorf("%s: part is %q, there is one: %v", it.Name, it.Part, exists(parts[it]))
				}
				if it == dir {
					continue
				}
				if it.Err != nil {
					t.Fatalf("%s: %v", it.Name, it.Err)
				}
				for _, rel := range paths(t, s, &it.Content) {
					if inode(t, s.Path(rel)) != inode(t, s.Path(it.CipherPaths()[0])) {
						t.Errorf("%s is another file", rel)
					}
				}
			}
			if a := inode(t, s.Path("a")); a != inode(t, s.Path("same19")) {
				t.Error("one content has two files")
			}
			if !errors.Is(dir.Err, layout.ErrPath) || strings.Contains(tree(t, s.Published()), "in the place of a directory") {
				t.Errorf("a directory in the way: %v, and the bytes are published", dir.Err)
			}
			// What could not be published can be, once nothing is in its way.
			if err := os.Remove(s.Path("dir")); err != nil {
				t.Fatal(err)
			}
			dir.Err = nil
			commit(t, s, first, taken, dir)
			if err := s.Parts.Release(items); err != nil || exists(parts[taken]) {
				t.Errorf("%v, the part is left: %v", err, exists(parts[taken]))
			}
			if got := tree(t, s.Published()); !strings.Contains(got, "/taken=after") || !strings.Contains(got, "dir=in the place") {
				t.Errorf("published is\n%s", got)
			}
		})
	}
}
