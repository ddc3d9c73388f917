package history

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"distkeep/catalog/regular"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		for _, line := range strings.SplitAfter(s, "\n") {
			if _, err := io.WriteString(w, line); err != nil {
				return err
			}
		}
		return nil
	}
}

// entries are the names in a directory.
func entries(t *testing.T, dir string) string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestWriteFileIfChanged(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "f")
	for _, step := range []struct {
		content string
		changed bool
	}{
		{"", true}, {"", false}, {"a\nb\n", true}, {"a\nb\n", false}, {"a\nc\n", true},
		{"a\nc\nd", true}, {"a\nc\n", true}, {"a\nc\n", false}, {"", true},
	} {
		changed, err := WriteFileIfChanged(path, temp, text(step.content), regular.Replace)
		if err != nil || changed != step.changed {
			t.Errorf("%q: changed = %t, %v, want %t", step.content, changed, err, step.changed)
		}
		b, err := os.ReadFile(path)
		if err != nil || string(b) != step.content {
			t.Errorf("content = %q, %v, want %q", b, err, step.content)
		}
		if got := entries(t, dir) + "|" + entries(t, temp); got != "f|" {
			t.Errorf("%q left behind %q", step.content, got)
		}
	}
}

func TestWriteFileIfChangedTouchesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if _, err := WriteFileIfChanged(path, dir, text("a\n"), regular.Replace); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	past := time.Unix(1000, 0)
	for _, p := range []string{path, dir} {
		if err := os.Chtimes(p, past, past); err != nil {
			t.Fatal(err)
		}
	}
	if changed, err := WriteFileIfChanged(path, dir, text("a\n"), regular.Replace); changed || err != nil {
		t.Errorf("changed = %t, %v", changed, err)
	}
	for _, p := range []string{path, dir} {
		if st, err := os.Stat(p); err != nil || !st.ModTime().Equal(past) {
			t.Errorf("%s was touched at %v, %v", p, st.ModTime(), err)
		}
	}
	if changed, err := WriteFileIfChanged(path, dir, text("b\n"), regular.Replace); !changed || err != nil {
		t.Errorf("changed = %t, %v", changed, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o640 {
		t.Errorf("mode = %v, %v, want it kept", st.Mode(), err)
	}
}

func TestWriteFileIfChangedErrors(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "f")
	broken := errors.New("broken")
	half := func(w io.Writer) error {
		if _, err := io.WriteString(w, "other"); err != nil {
			return err
		}
		return broken
	}
	if changed, err := WriteFileIfChanged(path, temp, half, regular.Replace); changed || !errors.Is(err, broken) {
		t.Errorf("new file: %t, %v", changed, err)
	}
	if got := entries(t, dir) + "|" + entries(t, temp); got != "|" {
		t.Errorf("left behind %q", got)
	}
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if changed, err := WriteFileIfChanged(path, temp, half, regular.Replace); changed || !errors.Is(err, broken) {
		t.Errorf("old file: %t, %v", changed, err)
	}
	if err := os.WriteFile(path, []byte("other and more"), 0o644); err != nil {
		t.Fatal(err)
	}
	if changed, err := WriteFileIfChanged(path, temp, half, regular.Replace); changed || !errors.Is(err, broken) {
		t.Errorf("same beginning: %t, %v", changed, err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "other and more" {
		t.Errorf("content = %q, %v, want the old one", b, err)
	}
	if changed, err := WriteFileIfChanged(path, filepath.Join(temp, "no"), text("new"), regular.Replace); changed || err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no temp: %t, %v", changed, err)
	}
	if changed, err := WriteFileIfChanged(dir, temp, text("new"), regular.Replace); changed || err == nil {
		t.Errorf("a directory: %t, %v", changed, err)
	}
}
