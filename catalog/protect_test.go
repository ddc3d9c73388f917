package catalog

import "testing"

func TestProtected(t *testing.T) {
	t.Parallel()
	c := Merge([]*Scan{{Repo: "r", Problems: []Problem{
		{Repo: "r", Package: "a/b-1", Scope: OnePackage, Names: []Name{"n"}},
		{Repo: "r", Package: "a/dir", Scope: OnePackage},
		{Repo: "r", Package: "recipe", Scope: OnePackage},
		{Repo: "r", Package: "a/whole", Names: []Name{"w"}},
	}}, {Repo: "other"}})
	if c.Complete() {
		t.Error("a problem of the whole tree leaves the catalog complete")
	}
	for _, tc := range []struct {
		name  Name
		owner string
		want  bool
	}{
		{"n", "x/y-1::other", true},
		{"m", "a/b-1::r", true},
		{"m", "a/b-1::other", false},
		{"m", "a/b-1::former", true}, // a repository was renamed
		{"m", "a/dir-2::former", true},
		{"m", "a/b-2::former", false},
		{"m", "a/b-1-r1::r", false},
		{"m", "a/b-2::r", false},
		{"m", "a/dir-2.0-r1::r", true},
		{"m", "a/dir-x-2::r", false},
		{"m", "a/dir,-main::r", true},
		{"m", "a/dirt-2::r", false},
		{"m", "recipe/1.0::r", true},
		{"m", "recipes/1.0::r", false},
		{"w", "a/whole::r", false},
		{"m", "", false},
		{"m", "a/b-1", true}, // imported from emirrordist
		{"m", "a/dir-2", true},
		{"m", "a/b-2", false},
	} {
		if got := c.Protected(tc.name, tc.owner); got != tc.want {
			t.Errorf("Protected(%s, %q) = %v", tc.name, tc.owner, got)
		}
	}
	if c := Merge([]*Scan{{Problems: []Problem{{Package: "a/b-1", Scope: OnePackage}}}}); !c.Complete() {
		t.Error("a problem of one package makes the catalog incomplete")
	}
	if n := c.Repos[0].Protected; n != 2 {
		t.Errorf("%d names protected, want 2", n)
	}
}
