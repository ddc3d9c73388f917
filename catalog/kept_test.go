package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type aboutList struct {
	Kept
	More string `json:"more"`
}

// TestKeep: what is kept is what was got from the same URL, or it is damaged.
func TestKeep(t *testing.T) {
	t.Parallel()
	full := errors.New("too little room")
	const text = "one\ntwo\n"
	for name, c := range map[string]struct {
		change func(k *Keep)
		want   string // the list, or part of the error
	}{
		"as it was":   {func(*Keep) {}, text},
		"another URL": {func(k *Keep) { k.URL = "https://b.example/" }, ""},
		"dry": {func(k *Keep) {
			k.Dry = true
			if err := k.Store(new(aboutList), []byte("x")); err != nil {
				t.Error(err)
			}
		}, text},
		"no room": {func(k *Keep) {
			k.Room = func(need int64) error { return full }
			if err := k.Store(new(aboutList), []byte("x")); !errors.Is(err, full) {
				t.Error(err)
			}
		}, text},
		"other bytes": {func(k *Keep) { rewrite(t, k, "two", "too") }, "its digest is wrong"},
		"cut off":     {func(k *Keep) { k.Most = 40 }, "is damaged: remove it"},
		"no line":     {func(k *Keep) { rewrite(t, k, "{", "") }, "is damaged: remove it"},
		"gone":        {func(k *Keep) { k.Dir += "x" }, ""},
	} {
		k := &Keep{Dir: filepath.Join(t.TempDir(), "state"), URL: "https://a.example/", Most: 1 << 10, Room: func(int64) error { return nil }}
		about := &aboutList{More: "more"}
		about.Version.Validator = "v"
		if err := k.Store(about, []byte(text)); err != nil {
			t.Fatal(err)
		}
		c.change(k)
		got := new(aboutList)
		list, err := k.Load(got)
		switch {
		case err != nil:
			if c.want == "" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		case string(list) != c.want:
			t.Errorf("%s: the list is %q, want %q", name, list, c.want)
		case list != nil && *got != *about:
			t.Errorf("%s: it is %+v, want %+v", name, got, about)
		}
	}
}

func rewrite(t *testing.T, k *Keep, old, new string) {
	t.Helper()
	data, err := os.ReadFile(k.path())
	if err == nil {
		err = os.WriteFile(k.path(), []byte(strings.Replace(string(data), old, new, 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
