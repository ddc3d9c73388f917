package fetch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for name, age := range map[string]time.Duration{"old": PartAge, "young": PartAge - time.Second, "future": -time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("12345"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "sub"), now, now.Add(-2*PartAge)); err != nil {
		t.Fatal(err)
	}
	files, bytes, err := Sweep(dir, now, PartAge)
	if files != 1 || bytes != 5 || err != nil {
		t.Errorf("%d files, %d bytes, %v", files, bytes, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"future", "sub", "young"}; !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
	if _, _, err := Sweep(filepath.Join(dir, "missing"), now, PartAge); !os.IsNotExist(err) {
		t.Errorf("missing directory: %v", err)
	}
}
