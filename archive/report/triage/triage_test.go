package triage

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/report"
)

var (
	day1 = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	day2 = day1.AddDate(0, 0, 1)
)

func failures() []report.Failure {
	answer := func(hosts ...string) (as []report.Answer) {
		for _, h := range hosts {
			as = append(as, report.Answer{Host: h, URL: "https://" + h + "/x", Class: "gone"})
		}
		return as
	}
	return []report.Failure{
		{Name: "a", Class: "gone", Owner: "cat/a-1::g", Owners: []string{"cat/a-1::g", "cat/b-1::guru"}, Maintainers: []string{"Jane@x.org"}, Size: 10, First: day1, Answers: answer("h1.example", "h2.example", "h1.example")},
		{Name: "b", Class: "gone", Owner: "cat/a-2::g", Maintainers: []string{"jo@x.org", "Jane@x.org"}, Size: 5, New: true, First: day2, Answers: answer("h1.example")},
		{Name: "c", Class: "disk", Owner: "cat/c-1::g", Maintainers: []string{"jo@x.org"}, Size: 100, First: day2, Answers: answer("h1.example")},
		{Name: "", Class: "package", Owner: "cat/d::g", First: day1},
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		f    Filter
		want string
	}{
		{"all", Filter{}, "abc-"},
		{"new", Filter{New: true}, "b"},
		{"since", Filter{Since: day2}, "bc"},
		{"class", Filter{Class: "gone"}, "ab"},
		{"host", Filter{Host: "h2.*"}, "a"},
		{"host in capitals", Filter{Host: "H1.EXAMPLE"}, "abc"},
		{"a dot is a dot", Filter{Host: "h1?examplex"}, ""},
		{"owner with its repository", Filter{Owner: "cat/a-1::g"}, "a"},
		{"owner without", Filter{Owner: "cat/a-*"}, "ab"},
		{"another owner", Filter{Owner: "*::guru"}, "a"},
		{"owner of one", Filter{Owner: "cat/d"}, "-"},
		{"maintainer", Filter{Maintainer: "jane@*"}, "ab"},
		{"the second maintainer", Filter{Maintainer: "j?@x.org"}, "bc"},
		{"name", Filter{Name: "[a]"}, ""},
		{"names", Filter{Name: "?"}, "abc"},
		{"together", Filter{Name: "a", New: true}, ""},
	} {
		got := ""
		means := c.f.Means()
		for _, f := range failures() {
			if !means(&f) {
				continue
			}
			if f.Name == "" {
				f.Name = "-"
			}
			got += f.Name
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	for by, want := range map[string][]*Group{
		Class: {
			{"gone", 2, 1, 15, day1, "b", "fix the URI in the package, or supply the file in distfiles-local"},
			{"disk", 1, 0, 100, day2, "c", "free some space, or check the disk and the permissions of the state directory"},
			{"package", 1, 0, 0, day1, "", "mend the package, or its metadata: until then everything that it may want is kept"},
		},
		Host:       {{"h1.example", 2, 1, 15, day1, "b", ""}, {Ours, 1, 0, 100, day2, "c", ""}, {Unknown, 1, 0, 0, day1, "", ""}, {"h2.example", 1, 0, 10, day1, "a", ""}},
		Maintainer: {{"Jane@x.org", 2, 1, 15, day1, "b", ""}, {Ours, 1, 0, 100, day2, "c", ""}, {Unknown, 1, 0, 0, day1, "", ""}, {"jo@x.org", 1, 1, 5, day2, "b", ""}},
		Package:    {{Ours, 1, 0, 100, day2, "c", ""}, {"cat/a-1::g", 1, 0, 10, day1, "a", ""}, {"cat/a-2::g", 1, 1, 5, day2, "b", ""}, {"cat/b-1::guru", 1, 0, 10, day1, "a", ""}, {"cat/d::g", 1, 0, 0, day1, "", ""}},
		Repository: {{"g", 3, 1, 15, day1, "b", ""}, {Ours, 1, 0, 100, day2, "c", ""}, {"guru", 1, 0, 10, day1, "a", ""}},
	} {
		if diff := cmp.Diff(want, Groups(report.Each(failures()), by)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", by, diff)
		}
	}
	if got := Groups(report.Each[report.Failure](nil), Class); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
