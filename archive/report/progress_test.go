package report

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/catalog/regular"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := &Progress{PID: 7, Phase: "fetch", Done: 1, Total: 2, Bytes: 3, TotalBytes: 4, Failures: 5, Took: time.Second, At: day}
	if got := LoadProgress(dir, 7); got != nil {
		t.Errorf("before any: %v", got)
	}
	if err := WriteProgress(dir, want, regular.Replace); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, LoadProgress(dir, 7)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := LoadProgress(dir, 8); got != nil {
		t.Errorf("of another process: %v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "progress.json"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := LoadProgress(dir, 7); got != nil {
		t.Errorf("of garbage: %v", got)
	}
	for range 2 {
		if err := DropProgress(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestProgressLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p    Progress
		rate int64
		left time.Duration
	}{
		{Progress{}, 0, 0},
		{Progress{Bytes: 100, TotalBytes: 400, Took: 10 * time.Second}, 10, 30 * time.Second},
		{Progress{Done: 1, Total: 4, Took: 10 * time.Second}, 0, 30 * time.Second},
		{Progress{Bytes: 0, TotalBytes: 400, Took: 10 * time.Second}, 0, 0},
		{Progress{Bytes: 500, TotalBytes: 400, Took: 10 * time.Second}, 50, 0},
		{Progress{Bytes: 1, TotalBytes: 1 << 62, Took: time.Hour}, 0, 0},
	} {
		if rate, left := c.p.Rate(), c.p.Left(); rate != c.rate || left != c.left {
			t.Errorf("%+v: %d, %v; want %d, %v", c.p, rate, left, c.rate, c.left)
		}
	}
}
