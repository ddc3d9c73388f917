package catalog

import (
	"slices"
	"testing"
)

// TestCompareVersions: each version of a list is older than all behind it, PMS 3.3.
func TestCompareVersions(t *testing.T) {
	t.Parallel()
	for _, list := range [][]string{
		{"1_alpha", "1_alpha1", "1_alpha2_p1", "1_beta", "1_pre9", "1_pre10", "1_rc", "1", "1-r1", "1-r9", "1-r10", "1_p", "1_p20240101", "1a", "1b", "1.0", "1.01", "1.1", "1.2", "1.10", "2", "10", "9999"},
		{"1.010", "1.011", "1.02", "1.1", "1.2"}, // with a leading zero a component is a fraction
		{"99999999999999999999", "100000000000000000000"},
	} {
		for i, a := range list {
			for j, b := range list {
				c, ok := CompareVersions(a, b)
				if !ok || (c < 0) != (i < j) || (c > 0) != (i > j) {
					t.Errorf("CompareVersions(%q, %q) = %d, %v", a, b, c, ok)
				}
			}
		}
	}
	for _, pair := range [][2]string{{"1", "01"}, {"1.0", "1.00"}, {"1-r0", "1"}, {"1_p0", "1_p"}, {"1-r1", "1-r01"}} {
		if c, ok := CompareVersions(pair[0], pair[1]); c != 0 || !ok {
			t.Errorf("%q is not equal to %q: %d, %v", pair[0], pair[1], c, ok)
		}
	}
	for _, bad := range []string{"", "a", "1.", "1ab", "1_", "1_foo", "1-r", "1-1", "1 "} {
		if _, ok := CompareVersions("1", bad); ok {
			t.Errorf("%q passes for a version", bad)
		}
	}
}

func TestComparePackages(t *testing.T) {
	t.Parallel()
	want := []string{
		"", "a-b", "app-misc/a", "app-misc/a-9", "app-misc/a-9-r2", "app-misc/a-10", "app-misc/a-b-1", "app-misc/b-1",
		"devel/port", "devel/port,-main", "unknown",
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	if slices.SortFunc(got, ComparePackages); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
