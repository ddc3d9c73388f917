package gentoo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	t.Parallel()
	const hash = "0123456789012345678901234567890123456789"
	log := func(unix string) string {
		return hash + " " + hash + " Jo Doe <jo@example.org> " + unix + " +0100\tpull: Fast-forward\n"
	}
	made, commit := time.Date(2026, 11, 28, 12, 30, 1, 0, time.UTC), time.Unix(1764331200, 0).UTC()
	for what, c := range map[string]struct {
		files        map[string]string
		made, commit time.Time
	}{
		"nothing":     {},
		"rsync":       {map[string]string{"metadata/timestamp.chk": "Sat, 28 Nov 2026 12:30:01 +0000\n", "metadata/timestamp.commit": hash + " 1764331200 2025-11-28T12:00:00+00:00\n"}, made, commit},
		"a zone":      {map[string]string{"metadata/timestamp.chk": "Sat, 28 Nov 2026 13:30:01 +0100"}, made, time.Time{}},
		"clone":       {map[string]string{".git/logs/HEAD": log("1") + log("1764331200")}, time.Time{}, commit},
		"old clone":   {map[string]string{".git/logs/HEAD": strings.Repeat(log("1"), 99) + log("1764331200")}, time.Time{}, commit},
		"garbage":     {map[string]string{"metadata/timestamp.chk": "today", "metadata/timestamp.commit": hash, ".git/logs/HEAD": "x"}, time.Time{}, time.Time{}},
		"huge number": {map[string]string{"metadata/timestamp.commit": hash + " 9223372036854775807", ".git/logs/HEAD": log("-5")}, time.Time{}, time.Time{}},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if m, c2 := readAge(root); !m.Equal(c.made) || !c2.Equal(c.commit) {
			t.Errorf("%s: made %v, commit %v; want %v, %v", what, m, c2, c.made, c.commit)
		}
	}
}
