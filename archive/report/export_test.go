package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"distkeep/catalog/regular"
)

var day = time.Date(2026, 11, 21, 3, 4, 5, 0, time.UTC)

func TestFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := []Failure{
		{
			Name: "a%2Fb@v1.zip", Class: "gone", Reason: `404 <not "found"> & more`, Hint: "whitelist it", Owner: "cat/pkg-1::repo",
			First: day, Last: day.Add(time.Hour), Next: day.Add(24 * time.Hour), Count: 3, Answers: []Answer{{URL: "http://x/?a=1&b=2", Host: "x", Class: "gone", Text: "404"}},
		},
		{Name: "ä b", Class: "local", Reason: "r", First: day, Last: day, Count: 1},
	}
	if err := WriteFailures(dir, want, regular.Replace); err != nil {
		t.Fatal(err)
	}
	got, err := LoadFailures(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	text, err := os.ReadFile(filepath.Join(dir, "failures.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `?a=1&b=2`) || strings.Count(string(text), "\n") != 2 || strings.Contains(string(text), `"next":"0001`) {
		t.Errorf("text is not as jq users want it:\n%s", text)
	}
}

// TestPartOfFailures: what is decoded of no other line, or of none, is what all of them
// decoded tell, whatever texts look like a field.
func TestPartOfFailures(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all []Failure
	for i, class := range []string{"gone", "dns", "gone", "policy", `"class":"gone",`} {
		for _, text := range []string{"x", `,"last":"2026-01-01T00:00:00Z"`, `\",\"last":"9999-01-01T00:00:00Z`, `","class":"dns","`, "<&>\u2028"} {
			at := day.Add(time.Duration(i)*time.Hour + time.Duration(len(all)))
			all = append(all, Failure{
				Name: text, Class: class, Reason: text, Hint: text, Owner: text, Owners: []string{text}, Maintainers: []string{text, "last"}, First: day.Add(time.Duration(9-i) * time.Hour), Last: at,
				Answers: []Answer{{URL: text, Host: text, Class: "dns", Text: text}, {Class: "gone"}},
			})
		}
	}
	if err := WriteFailures(dir, all, regular.Replace); err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"gone", "dns", "policy", `"class":"gone",`, "none", ""} {
		var want []Failure
		for _, f := range all {
			if f.Class == class {
				want = append(want, f)
			}
		}
		got, err := collect(Failures(dir, Question{Class: class}))
		got = slices.DeleteFunc(got, func(f Failure) bool { return f.Class != class })
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Errorf("class %s: %v, -want +got:\n%s", class, err, diff)
		}
	}
	for i := range all {
		want := 0
		for _, f := range all {
			if f.Last.After(all[i].Last) {
				want++
			}
		}
		if got, err := CountFailures(dir, all[i].Last); got != want || err != nil {
			t.Errorf("%d failures after %v, %v; want %d", got, all[i].Last, err, want)
		}
	}
	for _, bad := range []string{"garbage", "", "null", "[]", `{"name":"a","cl`, `{"name":"a","last":"yesterday"}`, strings.Repeat("x", maxLine+1)} {
		if n, err := countLines("file", strings.NewReader("{}\n"+bad+"\n"), day); err == nil || !strings.HasPrefix(err.Error(), "file:2: ") {
			t.Errorf("%.20q is counted: %d, %v", bad, n, err)
		}
	}
}

// TestFailureTooLong: a tree may name any number of URIs for a file, and the
// readers' lines are bounded.
func TestFailureTooLong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := Failure{Name: "a", Reason: strings.Repeat("\x01ä", 1<<20)}
	for i := range 16384 {
		f.Answers = append(f.Answers, Answer{URL: fmt.Sprintf("https://mirror.example/%s/%d", strings.Repeat("\x01", 200), i)})
	}
	if err := WriteFailures(dir, []Failure{f, {Name: "b"}}, regular.Replace); err != nil {
		t.Fatal(err)
	}
	got, err := LoadFailures(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || len(got[0].Answers) == 0 || !slices.Equal(got[0].Answers, f.Answers[:len(got[0].Answers)]) {
		t.Fatalf("got %d failures, %d answers", len(got), len(got[0].Answers))
	}
	if !strings.HasSuffix(got[0].Reason, "ä…") && !strings.HasSuffix(got[0].Reason, "\x01…") {
		t.Errorf("reason ends in %q", got[0].Reason[len(got[0].Reason)-8:])
	}
	if len(f.Answers) != 16384 {
		t.Error("the caller's record was changed")
	}
}

func TestDeletions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := []Deletion{
		{Name: "a", SHA256: "00", Size: 1 << 40, Owner: "c/p", State: Scheduled, Since: day, Due: day.Add(time.Hour)},
		{Name: "b", SHA256: "01", State: Recycled, Since: day, Due: day},
	}
	if err := WriteDeletions(dir, want, regular.Replace); err != nil {
		t.Fatal(err)
	}
	got, err := LoadDeletions(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := WriteDeletions(dir, nil, regular.Replace); err != nil {
		t.Fatal(err)
	}
	if got, err := LoadDeletions(dir); err != nil || len(got) > 0 {
		t.Errorf("after none were written: %v, %v", got, err)
	}
}

type summary struct {
	Files int      `json:"files"`
	Names []string `json:"names"`
}

func TestStatus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := summary{Files: 3, Names: []string{"a", "<b>"}}
	if err := WriteStatus(dir, want, regular.Replace); err != nil {
		t.Fatal(err)
	}
	var got summary
	if err := LoadStatus(dir, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDistfiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if HasDistfiles(dir) {
		t.Error("an empty directory has distfiles")
	}
	want := []Distfile{
		{Name: "a<b>&c", SHA256: strings.Repeat("0a", 32), Size: 7, Modified: day, Digests: map[string]string{"BLAKE2B": "ff"}, Named: true, Owner: "c/p", Kind: "gentoo", Origin: "o", Added: day, Verified: day},
		{Name: "a", SHA256: strings.Repeat("0b", 32), Added: day, Verified: day, Recycled: true, Undone: day},
		{Name: "a", SHA256: strings.Repeat("0a", 32), Added: day, Verified: day},
		{Name: strings.Repeat("0b", 32), SHA256: strings.Repeat("0c", 32), Added: day, Verified: day, Digests: map[string]string{"sha256": strings.Repeat("0d", 32), "x": ""}},
	}
	err := WriteDistfiles(dir, func(yield func(*Distfile) bool) {
		for i := range want {
			if !yield(&want[i]) {
				return
			}
		}
	}, regular.Replace)
	if err != nil {
		t.Fatal(err)
	}
	got, err := LoadDistfiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !HasDistfiles(dir) {
		t.Error("there are no distfiles")
	}
	for d, err := range Distfiles(dir) {
		if err != nil || !cmp.Equal(*d, want[0]) {
			t.Errorf("first %+v, %v", d, err)
		}
		break
	}
	for name, indexes := range map[string][]int{
		"a": {1, 2}, "a<b>&c": {0}, "missing": nil, "": nil,
		want[0].SHA256: {0, 2}, want[1].SHA256: {1, 3}, strings.Repeat("0d", 32): nil,
	} {
		got, err := FindDistfiles(dir, name)
		var found []Distfile
		for _, i := range indexes {
			found = append(found, want[i])
		}
		if diff := cmp.Diff(found, got); diff != "" || err != nil {
			t.Errorf("%.8s: %v, -want +got:\n%s", name, err, diff)
		}
	}
}

// TestVersion: whoever follows what is exported sees each change, and nothing else.
func TestVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := func() Version {
		t.Helper()
		v, err := VersionOf(dir)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	seen := map[Version]bool{version(): true}
	if !seen[Version{}] {
		t.Error("an empty directory has a version")
	}
	none := func(func(*Distfile) bool) {}
	for i, change := range []func() error{
		func() error { return WriteDistfiles(dir, none, regular.Replace) },
		func() error { return WriteDistfiles(dir, none, regular.Replace) },
		func() error { return WriteStatus(dir, summary{Files: 1}, regular.Replace) },
		func() error { return WriteStatus(dir, summary{Files: 2}, regular.Replace) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if v := version(); seen[v] || version() != v {
			t.Errorf("change %d is not seen", i)
		} else {
			seen[v] = true
		}
	}
}

// TestNoRun: readers can tell that nothing was exported from an empty export.
func TestNoRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var s summary
	_, ferr := LoadFailures(dir)
	_, derr := LoadDeletions(dir)
	_, lerr := LoadDistfiles(dir)
	_, nerr := FindDistfiles(dir, "a")
	for _, err := range []error{ferr, derr, lerr, nerr, LoadStatus(dir, &s)} {
		if !errors.Is(err, ErrNoRun) || !strings.Contains(err.Error(), dir) {
			t.Errorf("error = %v, want ErrNoRun and the directory", err)
		}
	}
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	good := `{"name":"a","class":"gone"}` + "\n"
	long := good + `{"name":"` + strings.Repeat("x", maxLine) + `"}` + "\n"
	for _, c := range []struct{ file, text, at string }{
		{"failures.jsonl", good + "garbage\n", ":2: "},
		{"failures.jsonl", good + "\n" + good, ":2: "},
		{"failures.jsonl", "null\n", ":1: "},
		{"failures.jsonl", "[]\n", ":1: "},
		{"failures.jsonl", good + good + `{"name":7}` + "\n", ":3: "},
		{"failures.jsonl", good + `{"name":"a","cl`, ":2: "},
		{"failures.jsonl", good + "\x00\x00\x00\x00", ":2: "},
		{"failures.jsonl", long, ":2: "},
		{"deletions.jsonl", `{"size":"big"}`, ":1: "},
		{"deletions.jsonl", `{"due":"yesterday"}`, ":1: "},
		{"distfiles.jsonl", `{"name":"a","added":1}`, ":1: "},
		{"status.json", "{\n\"files\": 3,\n\"names\": 7\n}", ":3: "},
		{"status.json", "{\n\"files\": 3,\n", ":3: "},
		{"status.json", "", ":1: "},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, c.file)
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		var err error
		switch c.file {
		case "failures.jsonl":
			_, err = LoadFailures(dir)
		case "deletions.jsonl":
			_, err = LoadDeletions(dir)
		case "distfiles.jsonl":
			if _, err = FindDistfiles(dir, "a"); err != nil && strings.Contains(err.Error(), path+c.at) {
				_, err = LoadDistfiles(dir)
			}
		default:
			err = LoadStatus(dir, new(summary))
		}
		if err == nil || !strings.HasPrefix(err.Error(), path+c.at) || errors.Is(err, ErrNoRun) {
			t.Errorf("%s %.40q: error = %.200v, want one at %s", c.file, c.text, err, c.at)
		}
	}
	// What is newer than this program is no garbage.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "failures.jsonl"), []byte(`{"name":"a","newer":{"x":[1]}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if fs, err := LoadFailures(dir); err != nil || len(fs) != 1 || fs[0].Name != "a" {
		t.Errorf("a newer record: %v, %v", fs, err)
	}
}

// TestQuestion: what is asked for is among what comes of it, and what no line can be
// taken for is not even decoded.
func TestQuestion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fs := []Failure{
		{Name: "a", Class: "gone", New: true},
		{Name: "b", Class: "dns", Reason: `,"new":true,"class":"gone",`},
		{Name: "c", Class: "dns", Answers: []Answer{{Class: "gone"}}},
		{Name: `d"`, Class: "gone"},
	}
	if err := WriteFailures(dir, fs, regular.Replace); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "failures.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString("nothing\n")
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    Question
		want string
		all  bool // the last line is read
	}{
		{Question{}, `abcd"`, true},
		{Question{New: true}, "a", false},
		{Question{Class: "gone"}, `acd"`, false},
		{Question{Class: "gone", New: true}, "a", false},
		{Question{Class: "digest"}, "", false},
		{Question{Names: []string{`d"`, "b", "x"}}, `bd"`, false},
		{Question{Names: []string{"b"}, New: true}, "", false},
	} {
		got := ""
		var err error
		for f, ferr := range Failures(dir, c.q) {
			if err = ferr; err == nil {
				got += f.Name
			}
		}
		if got != c.want || (err != nil) != c.all {
			t.Errorf("%+v: %q, %v; want %q", c.q, got, err, c.want)
		}
	}
}

// TestChanged: a list is written when it has other records, more, or fewer.
func TestChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, names := range []string{"", "ab", "abc", "ab", "ac", "aa", "a", ""} {
		var want []Failure
		for _, n := range names {
			want = append(want, Failure{Name: string(n)})
		}
		if err := WriteFailures(dir, want, regular.Replace); err != nil {
			t.Fatal(err)
		}
		if got, err := LoadFailures(dir); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d: got %v, %v; want %v", i, got, err, want)
		}
	}
}

// TestUnchanged: a run with nothing to say touches nothing.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stat := func() (uint64, []fs.DirEntry) {
		if err := errors.Join(WriteFailures(dir, []Failure{{Name: "a"}}, regular.Replace), WriteDeletions(dir, nil, regular.Replace), WriteStatus(dir, summary{}, regular.Replace)); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(filepath.Join(dir, "failures.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != 0o644 {
			t.Errorf("mode = %v, want one that others may read", fi.Mode())
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Sys().(*syscall.Stat_t).Ino, entries
	}
	before, _ := stat()
	after, entries := stat()
	if before != after {
		t.Error("a file with the same content was written anew")
	}
	if len(entries) != 3 {
		t.Errorf("the directory has %v, want three files", entries)
	}
}

func TestWriteFails(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "missing")
	none := func(func(*Distfile) bool) {}
	for _, err := range []error{WriteFailures(dir, nil, regular.Replace), WriteDeletions(dir, nil, regular.Replace), WriteStatus(dir, 1, regular.Replace), WriteDistfiles(dir, none, regular.Replace)} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
			t.Errorf("error = %v, want one that names the directory", err)
		}
	}
	if err := WriteStatus(t.TempDir(), make(chan int), regular.Replace); err == nil {
		t.Error("what cannot be encoded was written")
	}
}

func FuzzParseLines(f *testing.F) {
	f.Add([]byte(`{"name":"a","count":1,"first":"2026-11-21T03:04:05Z"}` + "\n"))
	f.Add([]byte(`{"answers":[],"first":"2026-11-21T03:04:05+02:00"}`))
	f.Add([]byte("{}\n{}\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := collect(parseLines[Failure]("file", bytes.NewReader(text), nil))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "file:") {
				t.Fatalf("error without its place: %v", err)
			}
			return
		}
		var again bytes.Buffer
		if err := encodeLines(&again, Each(first)); err != nil {
			t.Skip(err) // a time that JSON cannot have
		}
		after := 0
		for _, f := range first {
			if f.Last.After(day) {
				after++
			}
		}
		if n, err := countLines("file", bytes.NewReader(again.Bytes()), day); n != after || err != nil {
			t.Fatalf("%d failures, %v; want %d", n, err, after)
		}
		second, err := collect(parseLines[Failure]("file", bytes.NewReader(again.Bytes()), nil))
		if diff := cmp.Diff(first, second, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%v, -first +second:\n%s", err, diff)
		}
	})
}

// FuzzStatus: a summary is understood, or the error names a line that it has.
func FuzzStatus(f *testing.F) {
	f.Add([]byte("{\n\"files\": 3,\n\"names\": [\"a\"]\n}\n"))
	f.Add([]byte("{\n\"files\": 3,\n\"names\": 7\n}"))
	f.Add([]byte("{\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var first, second summary
		if err := parseStatus("file", text, &first); err != nil {
			line := 0
			if _, serr := fmt.Sscanf(err.Error(), "file:%d: ", &line); serr != nil || line < 1 || line > 1+bytes.Count(text, []byte("\n")) {
				t.Fatalf("error without its place: %v", err)
			}
			return
		}
		again, err := json.Marshal(first)
		if err == nil {
			err = parseStatus("file", again, &second)
		}
		if diff := cmp.Diff(first, second, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Fatalf("%v, -first +second:\n%s", err, diff)
		}
	})
}
