package ledger

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

// What a hostile export may say about paths must not lead anywhere else: runs
// remove what a view had.
func TestNotesRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ key, text, want string }{
		"out of the tree":      {"views", `{"../../victim":{}}`, "component is . or .."},
		"absolute":             {"views", `{"/etc/passwd":{}}`, "empty name"},
		"index elsewhere":      {"views", `{"core/core.db":{"index":{"extra/core.db":{}}}}`, "in another directory"},
		"index out of it":      {"views", `{"core/core.db":{"index":{"core/../../x":{}}}}`, "component is . or .."},
		"suffix with a slash":  {"views", `{"core/core.db":{"suffix":"/../../x"}}`, "suffix"},
		"at the top":           {"views", `{"n0.tar":{}}`, "not in a directory"},
		"below by_cipher":      {"views", `{"by_cipher/sha256/x.db":{}}`, "not in a directory"},
		"layout":               {"layouts", `["../x"]`, "layout"},
		"a leaving layout":     {"leaving", `{"../x":"2026-01-02T03:00:00Z"}`, "layout"},
		"a change to nothing":  {"relayout", `{"from":["flat"],"to":[]}`, "cannot be what layout.conf lists"},
		"a layout twice":       {"relayout", `{"from":["flat"],"to":["flat","flat"]}`, "cannot be what layout.conf lists"},
		"a change from that":   {"relayout", `{"from":["../x"],"to":["flat"]}`, "layout"},
		"purged name":          {"purging", `[{"name":"../x","sha256":"` + strings.Repeat("a", 64) + `"}]`, "component is . or .."},
		"purged digest":        {"purging", `[{"name":"x","sha256":"../.."}]`, ""},
		"clock":                {"clock", "yesterday", "yesterday"},
		"repositories":         {"repositories", "{", "unexpected end"},
		"a newer program's":    {"weather", "../../victim", "-"},
		"a view as it must be": {"views", `{"core/core.db":{"index":{"core/core.db":{}},"suffix":".sig"}}`, "-"},
	} {
		err := new(Notes).set(c.key, c.text)
		switch {
		case c.want == "-":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case err == nil || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
}

// FuzzNotes: a note that is understood is kept as it is, and leads nowhere out of
// the published tree.
func FuzzNotes(f *testing.F) {
	for key, text := range map[string]string{
		"clock": "2026-01-02T03:00:00Z", "hold": "2026-01-02T03:00:00+02:00", "dirty": "yes",
		"layouts":      `["flat","filename-hash BLAKE2B 8"]`,
		"begun":        `["flat"]`,
		"leaving":      `{"flat":"2026-01-02T03:00:00Z"}`,
		"relayout":     `{"from":["flat"],"to":["filename-hash BLAKE2B 8"],"due":"2026-01-02T03:00:00Z"}`,
		"repositories": `[{"kind":"gentoo","name":"tree","distfiles":3}]`,
		"views":        `{"core/core.db":{"index":{"core/core.files":{"size":3}},"suffix":".sig"}}`,
		"purging":      `[{"name":"a/x","sha256":"` + strings.Repeat("a", 64) + `"}]`,
	} {
		f.Add(key, text)
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		var first, second Notes
		if first.set(key, text) != nil {
			return
		}
		for rel, v := range first.Views {
			for _, rel := range append([]string{rel, rel + v.Suffix}, keysOf(v.Index)...) {
				if !filepath.IsLocal(rel) || filepath.Clean(rel) != rel || !strings.Contains(rel, "/") {
					t.Fatalf("the view has %q", rel)
				}
			}
		}
		for _, n := range notes {
			text, err := n.text(&first)
			if err == nil && text != "" {
				err = second.set(n.key, text)
			}
			if err != nil {
				t.Fatalf("%s %q: %v", n.key, text, err)
			}
		}
		same := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(digest.Digest{}, layout.Layout{})}
		if diff := cmp.Diff(first, second, same); diff != "" {
			t.Fatalf("-first +second:\n%s", diff)
		}
	})
}

func keysOf[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

// TestLoadRefuses: names that no catalog can have given are not loaded, whoever
// has written them into the ledger: runs make paths of them.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	d := sample("../../victim", "content")
	for kind, put := range map[string]func(b *Batch){
		"distfile": func(b *Batch) { b.PutDistfile(d) },
		"recycled": func(b *Batch) { b.PutRecycled(&Recycled{Distfile: *d}) },
		"deletion": func(b *Batch) { b.PutDeletion(&Deletion{Key: d.Key()}) },
		"dropped":  func(b *Batch) { b.PutDropped(&Dropped{Name: d.Name, SHA256: d.SHA256()}) },
		"failure":  func(b *Batch) { b.PutFailure(&Failure{Name: d.Name, Want: "0123456789abcdef"}) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l := open(t, t.TempDir())
			var b Batch
			put(&b)
			if err := l.Commit(&b, NewIndex(newState())); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Load(); err == nil || !strings.Contains(err.Error(), "component is . or ..") {
				t.Errorf("loaded: %v", err)
			}
		})
	}
}
