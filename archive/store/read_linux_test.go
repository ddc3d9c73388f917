package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cachedPages is how many pages of the file are in memory.
func cachedPages(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st unix.Cachestat_t
	if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &st, 0); err != nil {
		t.Skipf("cachestat: %v", err) // older than Linux 6.5
	}
	return st.Cache
}

// TestRereadLeavesNoPages: what was read does not stay in memory.
func TestRereadLeavesNoPages(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, strings.Repeat("x", 20<<20)) // several uncacheEach
	var fsys unix.Statfs_t
	if err := unix.Statfs(path, &fsys); err != nil {
		t.Fatal(err)
	}
	if fsys.Type == unix.TMPFS_MAGIC {
		t.Skip("tmpfs is memory")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil { // only clean pages can be dropped
		t.Fatal(err)
	}
	if _, err := os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if n := cachedPages(t, path); n == 0 {
		t.Skip("this file system does not cache")
	}
	if _, _, err := Reread(t.Context(), path, nil); err != nil {
		t.Fatal(err)
	}
	if n := cachedPages(t, path); n > 64 {
		t.Errorf("%d pages are in memory", n)
	}
}
