package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDecode: what is written is read without encoding/json, and as that reads it.
func TestDecode(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	for line := range strings.Lines(linesOf(t, odd(at))) {
		line = strings.TrimSuffix(line, "\n")
		var got, want Failure
		if !got.decode(line) {
			t.Errorf("not read: %s", line)
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", line, d)
		}
	}
	d := Distfile{Name: "a\"\u00e9", SHA256: "00", Size: 7, Modified: at, Digests: map[string]string{"BLAKE2B": "01", "SHA512": "02"}, Named: true,
		Owner: "o", Kind: "gentoo", Origin: "https://h.example/?a=b&c", Added: at, Verified: at, Recycled: true, Undone: at}
	for _, d := range []Distfile{d, {Name: "b"}} {
		line, err := d.AppendJSON(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got Distfile
		if ok := got.decode(string(line)); !ok || !cmp.Equal(d, got) {
			t.Errorf("%s: %v, -want +got:\n%s", line, ok, cmp.Diff(d, got))
		}
	}
}

// linesOf are the lines of failures.
func linesOf(tb testing.TB, fs []Failure) string {
	tb.Helper()
	var b strings.Builder
	if err := encodeLines(&b, Each(fs)); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// odd are failures with all fields, with none, and with texts that are escaped.
func odd(at time.Time) []Failure {
	full := Failure{
		Name: "a.tar.gz", Class: "gone", Reason: "gone: 404", Hint: "look", Owner: "p::r", Owners: []string{"p::r", "q::r"},
		Maintainers: []string{"m@h.example"}, Size: 7, New: true, First: at, Last: at, Next: at, Count: 3,
		Answers: []Answer{{URL: "https://h.example/a?b&c", Host: "h.example", Class: "gone", Text: "404"}, {URL: "ftp://h.example/<a>"}},
	}
	escaped := full
	escaped.Name, escaped.Reason, escaped.Owner = `a"b\c`, "tab\tline\n\u2028 \u00e9\x00", "\\"
	return []Failure{full, escaped, {}}
}

func FuzzDecode(f *testing.F) {
	for line := range strings.Lines(linesOf(f, odd(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Add(`{"name":"b","sha256":"","size":-1,"digests":{"A":"1","A":"2"},"named":false,"added":"0001-01-01T00:00:00Z","verified":"0001-01-01T00:00:00Z","recycled":false}`)
	f.Fuzz(func(t *testing.T, line string) {
		likeJSON[Failure](t, line)
		likeJSON[Distfile](t, line)
	})
}

func likeJSON[T any](t *testing.T, line string) {
	var got, want T
	if !any(&got).(decoder).decode(line) {
		return
	}
	if err := json.Unmarshal([]byte(line), &want); err != nil {
		t.Fatalf("%s: read, but %v", line, err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s: -want +got:\n%s", line, d)
	}
}

// BenchmarkFailures measures what people wait for who look at 60,000 failures.
func BenchmarkFailures(b *testing.B) {
	all := strings.Repeat(linesOf(b, odd(time.Now().UTC())[:1]), 60000)
	b.ReportAllocs()
	for b.Loop() {
		fs, err := collect(parseLines[Failure]("f", strings.NewReader(all), nil))
		if err != nil || len(fs) != 60000 {
			b.Fatal(len(fs), err)
		}
	}
}
