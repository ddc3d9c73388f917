package archive

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestFailpointNames: the list is what the crash tests go by.
func TestFailpointNames(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	rooms, _ := filepath.Glob("[ev]*/*.go")
	files = append(files, rooms...)
	if err != nil || len(files) == 0 {
		t.Fatal("no source", err)
	}
	var called []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`store\.Failpoint\("([^"]*)"\)`).FindAllSubmatch(text, -1) {
			called = append(called, string(m[1]))
		}
	}
	slices.Sort(called)
	if want := slices.Sorted(slices.Values(Failpoints)); !slices.Equal(called, want) {
		t.Errorf("called are %q, listed %q", called, want)
	}
}
