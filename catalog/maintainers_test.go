package catalog

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseMaintainers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                                  nil,
		"Jane Doe <jane@example.org>":       {"jane@example.org"},
		"jane@example.org":                  {"jane@example.org"},
		"A <a@x.org>, B C <b@x.org>":        {"a@x.org", "b@x.org"},
		"Doe, Jane <jane@x.org>,b@x.org":    {"jane@x.org", "b@x.org"},
		"The ports list <ports@x.org> ,":    {"ports@x.org"},
		"Unknown Packager":                  {"Unknown Packager"},
		"J\u00f6rg [x] <j@x.org>":           {"j@x.org"},
		"nobody <>":                         {"nobody <>"},
		"a\x1b[31m <a@x.org>\n":             {"a@x.org"},
		"bad\x1b[31m\xff name":              {"bad[31m name"},
		strings.Repeat("a@x.org,", 20):      {"a@x.org", "a@x.org", "a@x.org", "a@x.org", "a@x.org", "a@x.org", "a@x.org", "a@x.org"},
		strings.Repeat("\u00e4", 200):       {strings.Repeat("\u00e4", 60)},
		"first, second, third":              {"first, second, third"},
		"a@x.org, second, third, d@x.org":   {"a@x.org", "second, third, d@x.org"},
		"\"Doe, Jane\" <jane@x.org>, b@x.y": {"jane@x.org", "b@x.y"},
	} {
		if diff := cmp.Diff(want, ParseMaintainers(text)); diff != "" {
			t.Errorf("%q: -want +got:\n%s", text, diff)
		}
	}
}

func FuzzParseMaintainers(f *testing.F) {
	f.Add("A <a@x.org>, B")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range ParseMaintainers(text) {
			if m == "" || len(m) > maxMaintainer || !utf8.ValidString(m) || strings.ContainsAny(m, "\n\t\x1b") {
				t.Errorf("%q has %q", text, m)
			}
		}
	})
}

func TestMaintainers(t *testing.T) {
	t.Parallel()
	says := func(pkg string) []string { return []string{"for " + pkg} }
	c := Merge([]*Scan{{Repo: "one", Maintainers: says}, {Repo: "two"}})
	for owner, want := range map[string][]string{
		"cat/a-1::one": {"for cat/a-1"}, "a::b::one": {"for a::b"}, "cat/a-1::two": nil, "cat/a-1::none": nil, "cat/a-1": nil, "": nil,
	} {
		if diff := cmp.Diff(want, c.Maintainers(owner)); diff != "" {
			t.Errorf("%q: -want +got:\n%s", owner, diff)
		}
	}
}
