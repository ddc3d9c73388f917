package ledger

import (
	"slices"
	"testing"

	"distkeep/catalog/digest"
)

func TestWant(t *testing.T) {
	t.Parallel()
	a, b := digest.Set{digest.SHA256.Sum([]byte("a"))}, digest.Set{digest.SHA256.Sum([]byte("b"))}
	all := []string{
		Want("n", 1, a), Want("m", 1, a), Want("n", 2, a), Want("n", 1, b), Want("n", 1, nil),
	}
	if want := 5; len(slices.Compact(slices.Sorted(slices.Values(all)))) != want {
		t.Errorf("wants are not all different: %q", all)
	}
	if len(all[0]) != 16 || all[0] != Want("n", 1, a) {
		t.Errorf("want = %q, not 16 digits or not repeatable", all[0])
	}
}
