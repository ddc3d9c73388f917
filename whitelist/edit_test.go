package whitelist

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"distkeep/catalog"
)

func entry(t testing.TB, name catalog.Name) Entry {
	t.Helper()
	return Entry{Name: name, Author: "Joe <j@e>", Date: day(t, "2026-01-02"), Reason: "r"}
}

func content(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFormat(t *testing.T) {
	t.Parallel()
	a, b, c := entry(t, "a"), entry(t, "b/c"), entry(t, "sp ace")
	a.File, a.Line = "x", 7
	c.Reason = " first \n\n  # second\n"
	got, err := Format(a, b, c)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Joe <j@e> (2026-01-02)\n# r\na\nb/c\n\n# Joe <j@e> (2026-01-02)\n# first\n#\n# # second\nsp ace\n"; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFormatRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(e *Entry)
		want   string
	}{
		{"no author", func(e *Entry) { e.Author = "" }, `"a": no author`},
		{"no date", func(e *Entry) { e.Date = time.Time{} }, `"a": no date`},
		{"no reason", func(e *Entry) { e.Reason = " \n" }, `"a": no reason`},
		{"nothing", func(e *Entry) { *e = Entry{Name: "a"} }, "no author, no date, no reason"},
		{"author without mail", func(e *Entry) { e.Author = "Joe" }, "want Name <mail>"},
		{"author without name", func(e *Entry) { e.Author = "<j@e>" }, "want Name <mail>"},
		{"author of two lines", func(e *Entry) { e.Author = "Joe\nx <j@e>" }, "cannot be written"},
		{"author with a carriage return", func(e *Entry) { e.Author = "Joe <j@e>\r" }, "want Name <mail>"},
		{"time of day", func(e *Entry) { e.Date = e.Date.Add(time.Hour) }, "midnight"},
		{"year 10000", func(e *Entry) { e.Date = e.Date.AddDate(8000, 0, 0) }, "midnight"},
		{"control byte in the reason", func(e *Entry) { e.Reason = "a\x1bb" }, "reason"},
		{"comment for a name", func(e *Entry) { e.Name = "#a" }, `"#a" cannot be written`},
		{"blank around a name", func(e *Entry) { e.Name = " a" }, `" a" cannot be written`},
		{"two lines for a name", func(e *Entry) { e.Name = "a\nb" }, "cannot be written"},
		{"no name", func(e *Entry) { e.Name = "" }, "cannot be written"},
		{"bad name", func(e *Entry) { e.Name = "../a" }, "bad distfile name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := entry(t, "a")
			tc.change(&e)
			if got, err := Format(e); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Format(%+v) = %q, %v, want an error with %q", e, got, err, tc.want)
			}
			if got, err := Format(entry(t, "first"), e, entry(t, "last")); err == nil {
				t.Errorf("Format(..., %+v, ...) = %q, want an error", e, got)
			}
		})
	}
}

func TestDay(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 13*3600)
	if got, want := Day(time.Date(2026, 1, 2, 1, 0, 0, 0, zone)), day(t, "2026-01-02"); got != want {
		t.Errorf("Day = %v, want %v", got, want)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	const block = "# Joe <j@e> (2026-01-02)\n# r\nnew\n"
	for _, tc := range []struct{ name, before, after string }{
		{"empty", "", block},
		{"after a block", "# x\r\n  a \n", "# x\r\n  a \n\n" + block},
		{"after a blank line", "a\n\n", "a\n\n" + block},
		{"after an open line", "a", "a\n\n" + block},
		{"after an open blank line", "a\n ", "a\n \n" + block},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(write(t, map[string]string{"list": tc.before}), "list")
			if err := os.Chmod(file, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Add(file, entry(t, "new")); err != nil {
				t.Fatal(err)
			}
			if got := content(t, file); got != tc.after {
				t.Errorf("got %q, want %q", got, tc.after)
			}
			if st, err := os.Stat(file); err != nil || st.Mode() != 0o600 {
				t.Errorf("mode = %v, %v, want it kept", st.Mode(), err)
			}
		})
	}
}

func TestAddCreates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "list")
	if err := Add(file); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("adding nothing made a file: %v", err)
	}
	if err := Add(file, entry(t, "a")); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode()&^0o644 != 0 {
		t.Errorf("mode = %v, want 0644 less the umask", st.Mode())
	}
	// What is beside the list must not be taken for one.
	l, err := Load(dir)
	if err != nil || len(l.Entries()) != 1 {
		t.Errorf("Load = %v, %v, want the one entry", l, err)
	}
	if is := l.Check(day(t, "2026-01-02")); len(is) != 0 {
		t.Errorf("Check = %v, want nothing for what Add wrote", is)
	}
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	const before = "# x\nold\n"
	dir := write(t, map[string]string{"list": before, "broken": "ok\n/bad\n"})
	file, broken := filepath.Join(dir, "list"), filepath.Join(dir, "broken")
	anonymous := entry(t, "new")
	anonymous.Author = ""
	for _, tc := range []struct {
		file    string
		entries []Entry
		want    string
	}{
		{file, []Entry{entry(t, "new"), entry(t, "old")}, file + ":2 already"},
		{file, []Entry{entry(t, "new"), entry(t, "new")}, "given twice"},
		{file, []Entry{anonymous}, "no author"},
		{broken, []Entry{entry(t, "new")}, broken + ":2: "},
		{filepath.Join(dir, "no", "list"), []Entry{entry(t, "new")}, filepath.Join(dir, "no")},
	} {
		if err := Add(tc.file, tc.entries...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Add(%v) = %v, want an error with %q", tc.entries, err, tc.want)
		}
	}
	if got := content(t, file); got != before {
		t.Errorf("refused, but changed to %q", got)
	}
}

func TestSymlink(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"real": "a\n"})
	link := filepath.Join(dir, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if err := Add(link, entry(t, "b")); err != nil {
		t.Fatal(err)
	}
	if err := Remove(link, "a"); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("link became %v, %v", st.Mode(), err)
	}
	if got, want := content(t, filepath.Join(dir, "real")), "# Joe <j@e> (2026-01-02)\n# r\nb\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.Remove(filepath.Join(dir, "real")); err != nil {
		t.Fatal(err)
	}
	if err := Add(link, entry(t, "b")); err == nil {
		t.Error("Add through a dangling link succeeded")
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, before string
		remove       []catalog.Name
		after        string
	}{
		{"one of a block", "# c\r\n a \nb\n\nd\n", []catalog.Name{"a"}, "# c\r\nb\n\nd\n"},
		{"first block", "# c\na\n\n# d\nb\n", []catalog.Name{"a"}, "# d\nb\n"},
		{"middle block", "# c\na\n\n# d\nb\n# note\nb2\n\n\ne\n", []catalog.Name{"b", "b2"}, "# c\na\n\n\ne\n"},
		{"last block", "# c\na\n\n# d\nb\n", []catalog.Name{"b"}, "# c\na\n"},
		{"all", "# c\na\n\nb\n", []catalog.Name{"b", "a"}, ""},
		{"comments without names stay", "# license\n\n# c\na\n\n# end\n", []catalog.Name{"a"}, "# license\n\n# end\n"},
		{"all of one name", "a\nb\n\n# c\na\n", []catalog.Name{"a"}, "b\n"},
		{"no newline at the end", "a\nb", []catalog.Name{"a"}, "b"},
		{
			"neighbours are kept apart", "# c\na\n# J (2026-01-02)\nb\n\nd\n", []catalog.Name{"b"},
			"# c\na\n\nd\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(write(t, map[string]string{"list": tc.before}), "list")
			if err := Remove(file, tc.remove...); err != nil {
				t.Fatal(err)
			}
			if got := content(t, file); got != tc.after {
				t.Errorf("got %q, want %q", got, tc.after)
			}
		})
	}
}

func TestRemoveErrors(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"list": "# c\na\n"})
	file := filepath.Join(dir, "list")
	for _, n := range []catalog.Name{"b", ""} {
		if err := Remove(file, "a", n); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q is not in", n)) {
			t.Errorf("Remove(%q) = %v", n, err)
		}
	}
	if got := content(t, file); got != "# c\na\n" {
		t.Errorf("refused, but changed to %q", got)
	}
	missing := filepath.Join(dir, "missing")
	if err := Remove(missing, "a"); err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("Remove from nothing = %v", err)
	}
}

func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "list")
	var wg sync.WaitGroup
	for i := range 16 {
		e := entry(t, catalog.Name(fmt.Sprintf("n%d", i)))
		wg.Go(func() {
			if err := Add(file, e); err != nil {
				t.Error(err)
			}
			if i%2 == 1 {
				if err := Remove(file, e.Name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l, err := Load(file)
	if err != nil || len(l.Entries()) != 8 {
		t.Errorf("%d entries, %v, want 8", len(l.Entries()), err)
	}
}

func FuzzRemove(f *testing.F) {
	f.Add("# c\na\n\nb\n", "x")
	f.Add("x\n# note <m>\nb\n", "x")
	f.Add("#J(1 May 2020)\na\n#K(1 May 2020)\nx\n \nb", "x")
	f.Fuzz(func(t *testing.T, in, name string) {
		d, err := parse("f", in)
		if err != nil {
			t.Skip()
		}
		before := d.entries()
		out := d.remove(map[catalog.Name]bool{catalog.Name(name): true})
		d, err = parse("f", out)
		if err != nil {
			t.Fatal(err)
		}
		after := d.entries()
		for _, b := range before {
			if b.Name == catalog.Name(name) {
				continue
			}
			if len(after) == 0 {
				t.Fatalf("%q is lost: %q became %q", b.Name, in, out)
			}
			a := after[0]
			after = after[1:]
			// A note below a removed name may join the comment above it.
			if a.Name != b.Name || a.Date != b.Date {
				t.Fatalf("%+v became %+v: %q became %q", b, a, in, out)
			}
		}
		if len(after) != 0 {
			t.Fatalf("%v appeared: %q became %q", after, in, out)
		}
	})
}
