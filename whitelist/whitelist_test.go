package whitelist

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/catalog"
)

func day(t testing.TB, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// write makes the files of a tree below a new directory.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(es []Entry) []catalog.Name {
	ns := make([]catalog.Name, len(es))
	for i, e := range es {
		ns[i] = e.Name
	}
	return ns
}

func TestParse(t *testing.T) {
	t.Parallel()
	jane, jan2 := "Jane Doe <jane@example.org>", day(t, "2026-01-02")
	for _, tc := range []struct {
		name, in string
		want     []Entry
	}{
		{"empty", "", nil},
		{"license alone", "# Copyright\n# License\n\n", nil},
		{
			"block", "# Jane Doe <jane@example.org> (2026-01-02)\n# Media need it.\n# Bug #1.\na-1.tar.gz\nb-1.tar.gz\n",
			[]Entry{
				{"a-1.tar.gz", jane, jan2, "Media need it.\nBug #1.", "f", 4},
				{"b-1.tar.gz", jane, jan2, "Media need it.\nBug #1.", "f", 5},
			},
		},
		{
			"blank line ends the block", "# Jane Doe <jane@example.org> (2026-01-02)\n# r\na\n \t\nb\n",
			[]Entry{{"a", jane, jan2, "r", "f", 3}, {"b", "", time.Time{}, "", "f", 5}},
		},
		{
			"blank line below the comment", "# Jane Doe <jane@example.org> (2026-01-02)\n# r\n\na\n",
			[]Entry{{"a", "", time.Time{}, "", "f", 4}},
		},
		{
			"emirrordist", "  a.zip \r\n#b.zip\n\tsp ace.zip\ngo/a%2Fb@v1.zip",
			[]Entry{
				{"a.zip", "", time.Time{}, "", "f", 1}, {"sp ace.zip", "", time.Time{}, "", "f", 3},
				{"go/a%2Fb@v1.zip", "", time.Time{}, "", "f", 4},
			},
		},
		{
			"notes and a head among names", "#Jane Doe <jane@example.org> (2026-01-02)\n#\n#   r\n#\na\n# a note\nb\n## Joe <j@e> (3 Feb 2026)\n## s\nc\n",
			[]Entry{
				{"a", jane, jan2, "r", "f", 5}, {"b", jane, jan2, "r", "f", 7},
				{"c", "Joe <j@e>", day(t, "2026-02-03"), "s", "f", 10},
			},
		},
		{"old date", "# Joe <j@e> (13 March 2009)\n# r\na\n", []Entry{{"a", "Joe <j@e>", day(t, "2009-03-13"), "r", "f", 3}}},
		{"no mail", "# Joe (2026-01-02)\n# r\na\n", []Entry{{"a", "Joe", jan2, "r", "f", 3}}},
		{"no date", "# Joe <j@e>\n# r\na\n", []Entry{{"a", "Joe <j@e>", time.Time{}, "r", "f", 3}}},
		{"bad date", "# Joe <j@e> (2026-02-30)\n# r\na\n", []Entry{{"a", "Joe <j@e>", time.Time{}, "r", "f", 3}}},
		{"no reason", "# Joe <j@e> (2026-01-02)\na\n", []Entry{{"a", "Joe <j@e>", jan2, "", "f", 2}}},
		{"no head", "# r (really)\n# s\na\n", []Entry{{"a", "", time.Time{}, "r (really)\ns", "f", 3}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse("f", strings.NewReader(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"a\n\n../x\n", `f:3: bad distfile name "../x"`},
		{"# c\n/a\n", `f:2: bad distfile name "/a"`},
		{"a\x00b\n", "f:1: bad distfile name"},
		{strings.Repeat("x", 256) + "\n", "f:1: bad distfile name"},
		{strings.Repeat("#\n", maxFile/2) + "a", "f is longer than"},
	} {
		if es, err := Parse("f", strings.NewReader(tc.in)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Parse(%.20q) = %v, %v, want an error with %q", tc.in, es, err, tc.want)
		}
	}
	if _, err := Parse("f", iotest.ErrReader(os.ErrInvalid)); err == nil || !strings.Contains(err.Error(), "read f: invalid") {
		t.Errorf("error = %v, want that of the reader with the name of the file", err)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"single":       "z\na\n",
		"d/20-b":       "b\na\n",
		"d/10-c":       "c\n",
		"d/.hidden":    "hidden\n",
		"d/10-c~":      "backup\n",
		"d/sub/x":      "x\n",
		"d/.git/y":     "git\n",
		"d/sub~/y":     "y\n",
		"elsewhere/ln": "ln\n",
	})
	if err := os.Symlink("../elsewhere/ln", filepath.Join(dir, "d", "30-link")); err != nil {
		t.Fatal(err)
	}
	l, err := Load(filepath.Join(dir, "single"), filepath.Join(dir, "d"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(l.Entries()), []catalog.Name{"z", "a", "c", "b", "a", "ln", "x"}; !slices.Equal(got, want) {
		t.Errorf("names = %q, want %q", got, want)
	}
	e, ok := l.Has("a")
	if want := (Entry{Name: "a", File: filepath.Join(dir, "single"), Line: 2}); !ok || e != want {
		t.Errorf("Has(a) = %v, %t, want %v", e, ok, want)
	}
	if e, ok := l.Has("hidden"); ok {
		t.Errorf("Has(hidden) = %v", e)
	}
}

func TestLoadNothing(t *testing.T) {
	t.Parallel()
	l, err := Load()
	if err != nil || len(l.Entries()) != 0 {
		t.Errorf("Load() = %v, %v", l, err)
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"bad": "ok\n..\n", "good": "a\n", "dangling/x": "x\n", "todir/x": "x\n"})
	for link, target := range map[string]string{"dangling/ln": "nowhere", "todir/ln": "../dangling"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"missing":  filepath.Join(dir, "missing"),
		"bad":      filepath.Join(dir, "bad") + ":2: ",
		"dangling": filepath.Join(dir, "dangling", "ln"),
		"todir":    filepath.Join(dir, "todir", "ln") + " is a symbolic link to a directory",
	} {
		l, err := Load(filepath.Join(dir, "good"), filepath.Join(dir, path))
		if l != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load(%s) = %v, %v, want an error with %q", path, l, err, want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"list": strings.Join([]string{
		"# Joe <j@e> (2026-01-02)", "# r", "good", "", // 1
		"bare", "", // 5
		"# r", "anonymous", "", // 7
		"# Joe <j@e> (2026-01-02)", "unexplained", "", // 10
		"# Joe <j@e>", "# r", "undated", "", // 13
		"# Joe <j@e> (2026-01-03)", "# r", "today-somewhere", "good", "x # y", "", // 17
		"# Joe <j@e> (2026-01-04)", "# r", "tomorrow", // 23
	}, "\n")})
	file := filepath.Join(dir, "list")
	l, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range l.Check(time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)) {
		got = append(got, strings.TrimPrefix(i.String(), file))
	}
	want := []string{
		`:5: bare: no comment: want "# Author Name <mail> (YYYY-MM-DD)" and a reason above it`,
		`:8: anonymous: comment has no author and no date: want "# Author Name <mail> (YYYY-MM-DD)" and a reason`,
		`:11: unexplained: comment has no reason: want "# Author Name <mail> (YYYY-MM-DD)" and a reason`,
		`:15: undated: comment has no date: want "# Author Name <mail> (YYYY-MM-DD)" and a reason`,
		`:20: good: is at ` + file + `:3 already`,
		`:21: x # y: the whole line is taken for the name: put the comment on a line of its own`,
		`:25: tomorrow: date 2026-01-04 is in the future`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("# A B <c@d> (2026-01-02)\n# r\n#\n# s\na\nb c\n\nd/e\n")
	f.Add("#A (2 Jan 2006)\na\n#B <m>(1 May 1999)\n# # x\nb")
	f.Fuzz(func(t *testing.T, in string) {
		es, err := Parse("f", strings.NewReader(in))
		if err != nil {
			t.Skip()
		}
		es = slices.DeleteFunc(es, func(e Entry) bool {
			_, err := Format(e)
			return err != nil
		})
		text, err := Format(es...)
		if err != nil {
			t.Fatalf("one by one they can be written, together not: %v", err)
		}
		again, err := Parse("again", strings.NewReader(string(text)))
		if err != nil || len(again) != len(es) {
			t.Fatalf("%d entries come back as %d, %v:\n%s", len(es), len(again), err, text)
		}
		for i := range es {
			es[i].File, es[i].Line, again[i].File, again[i].Line = "", 0, "", 0
			if es[i] != again[i] {
				t.Fatalf("%+v comes back as %+v", es[i], again[i])
			}
		}
	})
}
