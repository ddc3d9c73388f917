package fetch_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
	"distkeep/fetch/fetchtest"
)

// TestQuarantineUsed: bytes that were wrong, until the tree was put right, are not
// asked for again. They are verified all the same.
func TestQuarantineUsed(t *testing.T) {
	t.Parallel()
	u := upstream(t, "127.0.0.1:0")
	dir, q := t.TempDir(), t.TempDir()
	o := options(u.URL)
	o.Quarantine = fetch.Quarantine{Dir: q}
	u.Add("a", fetchtest.Content("a", 1000))
	for _, tt := range []struct {
		name  string
		touch func(path string)
		asked bool
	}{
		{name: "as they were"},
		{name: "changed in quarantine", touch: func(path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[7] ^= 1
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, asked: true},
	} {
		f := fetcher(t, o)
		r := want(t, dir, "a", fetchtest.Content("a", 1000), u.URL+"/wrong/a")
		checkClass(t, run(t, t.Context(), f, r)["a"], failure.Digest, nil)
		kept, err := fetch.ListQuarantine(q)
		if err != nil || len(kept) != 1 || kept[0].Kind != fetch.KeptFetched || kept[0].Name() != "a" {
			t.Fatalf("%s: %+v, %v", tt.name, kept, err)
		}
		data, err := os.ReadFile(filepath.Join(q, kept[0].ID))
		if err != nil {
			t.Fatal(err)
		}
		if tt.touch != nil {
			tt.touch(filepath.Join(q, kept[0].ID))
		}
		before := u.Total()
		res := run(t, t.Context(), fetcher(t, o), want(t, dir, "a", data, u.URL+"/wrong/a"))["a"]
		checkClass(t, res, "", data)
		if asked := u.Total() > before; asked != tt.asked {
			t.Errorf("%s: asked for again: %v", tt.name, asked)
		}
		if left, err := fetch.ListQuarantine(q); err != nil || len(left) != 0 {
			t.Errorf("%s: left in quarantine: %+v, %v", tt.name, left, err)
		}
		if err := os.Remove(res.Request.Part); err != nil {
			t.Error(err)
		}
	}
}

// TestQuarantineBounds: what nobody fetched has time before it goes.
func TestQuarantineBounds(t *testing.T) {
	t.Parallel()
	q := t.TempDir()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	add := func(name string, days int) {
		path := filepath.Join(q, name)
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		at := now.AddDate(0, 0, -days)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	sum := digest.NewHasher(digest.SHA256).Sum().Get(digest.SHA256).Hex()
	add("changed."+sum+".0", 40)
	add("replaced.foo-1.tar.gz.0", 29)
	add(sum, 50) // without a record
	add("unknown.0", 31)
	add("replaced.foo-1.tar.gz.1", 1)
	o := options("http://127.0.0.1:80")
	o.Quarantine = fetch.Quarantine{Dir: q, MaxBytes: 100}
	o.Now = func() time.Time { return now }
	fetcher(t, o).Close()
	list, err := fetch.ListQuarantine(q)
	var ids []string
	for _, k := range list {
		ids = append(ids, k.ID+" "+k.Kind+" "+string(k.Name()))
	}
	want := []string{"replaced.foo-1.tar.gz.0 replaced foo-1.tar.gz", "replaced.foo-1.tar.gz.1 replaced foo-1.tar.gz"}
	if err != nil || !slices.Equal(ids, want) {
		t.Errorf("left: %q, %v; want %q", ids, err, want)
	}
}
