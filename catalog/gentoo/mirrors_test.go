package gentoo

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"
)

// TestMirrorsAreStacked takes single mirrors away, and whole groups, as portage's
// stack_dictlist does.
func TestMirrorsAreStacked(t *testing.T) {
	t.Parallel()
	own, master := small(t), small(t)
	write(t, filepath.Join(own, "profiles/thirdpartymirrors"), []byte("a https://1 https://2\nb https://3 -https://3 https://4\nc https://5\n"))
	write(t, filepath.Join(master, "profiles/thirdpartymirrors"), []byte("a -https://2 https://6 https://1\nb -* https://7\nc -*\nd -https://8 https://8\n"))
	r, err := Open(own, Options{Masters: []string{master}})
	if err != nil {
		t.Fatal(err)
	}
	got, _, errs := r.mirrors()
	want := map[string][]string{"a": {"https://1", "https://6"}, "b": {"https://7"}, "d": {"https://8"}}
	if len(errs) > 0 || !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, %v; want %v", got, errs, want)
	}
}
