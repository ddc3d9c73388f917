package gentoo

import "testing"

func TestIsVersion(t *testing.T) {
	t.Parallel()
	good := []string{"1", "0.0", "1.2.3", "20240101", "1a", "1.2z", "1_p", "1_alpha", "1_beta2", "1_pre3_rc4_p5", "1-r0", "1.2b_p1-r10", "9999"}
	bad := []string{"", "a", ".1", "1.", "1..2", "1ab", "1A", "1_", "1_foo", "1_p1x", "1-r", "1-rx", "1-r1x", "1-1", "-r1", "1_p-", "1-r1-r2", "1 "}
	for _, s := range good {
		if !isVersion(s) {
			t.Errorf("isVersion(%q) = false", s)
		}
	}
	for _, s := range bad {
		if isVersion(s) {
			t.Errorf("isVersion(%q) = true", s)
		}
	}
}

func TestSplitVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, pkg, version string }{
		{"foo-1", "foo", "1"},
		{"foo-bar-1.2-r3", "foo-bar", "1.2-r3"},
		{"font-adobe-100dpi-1", "font-adobe-100dpi", "1"},
		{"a+b_c-0_p1", "a+b_c", "0_p1"},
		{"foo-r1-2", "foo-r1", "2"},
		{"foo", "", ""},
		{"foo-", "", ""},
		{"foo-r1", "", ""},
		{"foo-1-2", "", ""},    // foo-1 is no package name
		{"foo-1-r2-3", "", ""}, // nor is foo-1-r2
		{"-1", "", ""},
		{"+foo-1", "", ""},
		{"foo.bar-1", "", ""},
		{"Manifest.gz", "", ""},
	} {
		pkg, version, ok := splitVersion(c.in)
		if pkg != c.pkg || version != c.version || ok != (c.pkg != "") {
			t.Errorf("splitVersion(%q) = %q, %q, %v", c.in, pkg, version, ok)
		}
	}
}

func TestRepoName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"gentoo": "gentoo", " my overlay\r": "my-overlay", "x-tree.git": "x-tree-git", "-a-": "a-", "a  b..c": "a-b-c",
		"für-alle": "f-r-alle", "": "", "..": "", "_x+1": "_x-1",
	} {
		if got := repoName(in); got != want || got != "" && !validRepoName(got) {
			t.Errorf("repoName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind string
		is   func(string) bool
		good []string
		bad  []string
	}{
		{"category", validCategory, []string{"app-misc", "virtual", "x.y", "_a+b"}, []string{"", "-a", ".git", "..", "+a", "a/b", "a b", "a\n"}},
		{"shape", isCategoryShaped, []string{"app-misc", "virtual"}, []string{"metadata", "profiles", "eclass", "licenses", "-a", ".git-x"}},
		{"package", validPackage, []string{"a", "gtk+", "C-x1", "foo-r1", "9base"}, []string{"", "-a", "+a", ".a", "a.b", "foo-1", "foo-1-r1", "a b"}},
		{"repository", validRepoName, []string{"gentoo", "x-y_Z9"}, []string{"", "-x", "a b", "a/b", "a.b", "a\n"}},
	} {
		for _, s := range c.good {
			if !c.is(s) {
				t.Errorf("%q is a good %s name", s, c.kind)
			}
		}
		for _, s := range c.bad {
			if c.is(s) {
				t.Errorf("%q is a bad %s name", s, c.kind)
			}
		}
	}
}
