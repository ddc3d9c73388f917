package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// full puts one record of every kind, and of every odd sort of name, into l.
func full(t testing.TB, l *Ledger) {
	t.Helper()
	var b Batch
	for i, n := range []string{"a%2Fb@v1.zip", "x?action=y&z=1.jar", "go_modules/g/@v/v1.zip", "latin\xe9.tar.gz", "<&>", strings.Repeat("n", 255)} {
		d := sample(n, "one of "+n)
		b.PutDistfile(d)
		old := sample(n, "two of "+n)
		old.Named, old.Digests = false, old.Digests[:1]
		b.PutRecycled(&Recycled{*old, t0, i%2 == 0})
		b.PutDeletion(&Deletion{d.Key(), t0, "o", 7, i%2 == 1})
		b.PutDropped(&Dropped{catalog.Name(n), regular.ID{Dev: 1, Inode: 2, Size: 7, ModTime: 5, Changed: 6}, d.SHA256(), t0, "0123456789abcdef", "because"})
		b.PutSuccess(&Success{d.Key(), Deleted, t0, 7, OriginLocal})
		b.PutFailure(&Failure{Name: catalog.Name(n), Want: "0123456789abcdef", Class: "gone", Reason: "404", First: t0, Last: t0, Count: 2, Answers: []Answer{{URL: "https://h.example", Class: "gone", Text: "404"}}})
	}
	b.PutRun(&Run{t0, []byte(`{"n":1,"html":"<&>"}`)})
	b.PutNotes(new(Notes), &Notes{Layouts: []layout.Layout{layout.Flat()}})
	if err := l.Commit(&b, nil); err != nil {
		t.Fatal(err)
	}
}

func exported(t testing.TB, l *Ledger) string {
	t.Helper()
	var b bytes.Buffer
	if err := l.Export(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestExport: what is imported is what was exported, record by record.
func TestExport(t *testing.T) {
	t.Parallel()
	from, to := open(t, t.TempDir()+"/l"), open(t, t.TempDir()+"/l")
	defer from.Close()
	defer to.Close()
	full(t, from)
	text := exported(t, from)
	if n := strings.Count(text, "\n"); n != 1+6*6+2+1 {
		t.Errorf("%d lines, want a header, 38 records and the end:\n%s", n, text)
	}
	n, err := to.Import("backup", strings.NewReader(text))
	if err != nil || n != 38 {
		t.Fatalf("Import = %d, %v; want 38 records", n, err)
	}
	if d := cmp.Diff(text, exported(t, to)); d != "" {
		t.Errorf("-exported +exported again:\n%s", d)
	}
	a, aerr := from.Load()
	b, berr := to.Load()
	if d := cmp.Diff(a, b, compare); d != "" || aerr != nil || berr != nil {
		t.Errorf("%v, %v, -from +to:\n%s", aerr, berr, d)
	}
	ra, aerr := from.Runs(9)
	rb, berr := to.Runs(9)
	if d := cmp.Diff(ra, rb); d != "" || len(ra) != 1 || aerr != nil || berr != nil {
		t.Errorf("runs: %v, %v, -from +to:\n%s", aerr, berr, d)
	}
	if _, err := to.Import("backup", strings.NewReader(text)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("second Import: %v, want ErrNotEmpty", err)
	}
}

// TestImportRoom: what has no room is not begun, and nothing is left beside the ledger.
func TestImportRoom(t *testing.T) {
	t.Parallel()
	from, dir := open(t, t.TempDir()+"/l"), t.TempDir()
	defer from.Close()
	full(t, from)
	text, large := exported(t, from), int64(math.MaxInt64)
	var asked int64
	to, err := Open(dir+"/l", Options{Room: func(need int64) error {
		if asked = need; need > large {
			return syscall.ENOSPC
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	empty := exported(t, to)
	large = asked
	if _, err := to.Import("backup", strings.NewReader(text)); !errors.Is(err, syscall.ENOSPC) || exported(t, to) != empty {
		t.Errorf("without room: %v and\n%s", err, exported(t, to))
	}
	large = 2 * asked
	if n, err := to.Import("backup", strings.NewReader(text)); err != nil || n != 38 {
		t.Errorf("with room: %d, %v", n, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%v, %v are left, want the ledger and its lock", files, err)
	}
}

func TestImportErrors(t *testing.T) {
	t.Parallel()
	const (
		head = `{"record":"ledger","schema":"1"}` + "\n"
		meta = `{"record":"meta","key":"a","value":"b"}` + "\n"
		sum  = `"sha256":"d0d048a00658e42bb3cf33258a4394ed22e313f78166ce7f56c2d611adf6822c"`
	)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":       {"", "in: empty"},
		"no header":     {`{"record":"meta","key":"a","value":"b"}`, "in:1: not an export"},
		"newer schema":  {`{"record":"ledger","schema":"2"}`, "in:1: not an export"},
		"no JSON":       {head + "SHA256 (a) = b", "in:2: invalid character"},
		"unknown field": {head + `{"record":"meta","key":"a","value":"b","more":1}`, `in:2: json: unknown field "more"`},
		"unknown kind":  {head + `{"record":"lease"}`, `in:2: unknown record "lease"`},
		"two in a line": {head + `{"record":"meta","key":"a"} {}`, "in:2: more than one"},
		"bad name":      {head + "\n" + `{"record":"deletion","name":"../a",` + sum + `}`, "in:2: "},
		"name outside":  {head + `{"record":"deletion","name":"../a",` + sum + `}`, "in:2: bad distfile name"},
		"hidden name":   {head + `{"record":"deletion","name":"a","name_hex":"62",` + sum + `}`, "in:2: bad name_hex"},
		"bad digest":    {head + `{"record":"deletion","name":"a","sha256":"d0"}`, "in:2: SHA256"},
		"odd digest":    {head + `{"record":"distfile","name":"a","digests":{"CRC":"00"},` + sum + `}`, `in:2: unknown digest "CRC"`},
		"negative size": {head + `{"record":"distfile","name":"a","size":-1,` + sum + `}`, "in:2: bad size -1"},
		"failure":       {head + `{"record":"failure","name":"a"}`, "in:2: failure without"},
		"run":           {head + `{"record":"run","start":"2026-01-02T03:04:05Z"}`, "in:2: run without"},
		"schema":        {head + `{"record":"meta","key":"schema","value":"7"}`, `in:2: bad key "schema"`},
		"cut off":       {head + meta, "in:3: the last line of an export"},
		"cut off early": {head, "in:2: the last line of an export"},
		"line missing":  {head + meta + `{"record":"end","count":2}`, "in:3: 1 records, want 2"},
		"line added":    {head + meta + meta + `{"record":"end","count":1}`, "in:4: 2 records, want 1"},
		"line behind":   {head + meta + `{"record":"end","count":1}` + "\n" + meta, "in:4: a line behind"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t, t.TempDir()+"/l")
			defer l.Close()
			before := exported(t, l)
			_, err := l.Import("in", strings.NewReader(c.text))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("Import: %v, want %q", err, c.want)
			}
			if after := exported(t, l); after != before {
				t.Errorf("the ledger has changed:\n%s", after)
			}
		})
	}
}

// FuzzImportLine: what is understood is written in the same way again.
func FuzzImportLine(f *testing.F) {
	l := open(f, f.TempDir()+"/l")
	full(f, l)
	for line := range strings.Lines(exported(f, l)) {
		f.Add([]byte(line))
	}
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := importing{lines: 1}
		b := &in.batch
		if err := in.line(text); err != nil || b.err != nil || in.ended {
			return
		}
		if len(b.ops) != 1 {
			t.Fatalf("%d records of one line", len(b.ops))
		}
		o := b.ops[0]
		for _, kind := range kinds {
			if kind.prefix != o.key[0] {
				continue
			}
			e := entry{Record: kind.name}
			if err := e.fill(o.key, o.value); err != nil {
				t.Fatalf("%q: %v", o.key, err)
			}
			var again Batch
			if err := kind.put(&e, &again); err != nil {
				t.Fatalf("%+v: %v", e, err)
			}
			if !bytes.Equal(again.ops[0].key, o.key) || !bytes.Equal(again.ops[0].value, o.value) {
				t.Fatalf("%q %q became %q %q", o.key, o.value, again.ops[0].key, again.ops[0].value)
			}
			return
		}
		t.Fatalf("record of no kind: %q", o.key)
	})
}

// BenchmarkExport writes 60,000 records and reads them into another ledger.
func BenchmarkExport(b *testing.B) {
	from := open(b, b.TempDir()+"/l")
	defer from.Close()
	var batch Batch
	for i := range 60000 {
		batch.PutDistfile(sample(fmt.Sprintf("some-package-name-%07d.tar.xz", i), fmt.Sprint(i)))
	}
	if err := from.Commit(&batch, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		begin := time.Now()
		text := exported(b, from)
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "export-ms/op")
		to := open(b, b.TempDir()+"/l")
		if _, err := to.Import("in", strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
		if err := to.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestImportOld: what earlier versions have exported of a failure is read.
func TestImportOld(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir()+"/l")
	defer l.Close()
	const text = `{"record":"ledger","schema":"1"}
{"record":"failure","name":"a","failure":{"name":"a","want":"0123456789abcdef","class":"gone","reason":"r","owner":"o","urls":["https://example.org/a"],"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:05Z","count":1}}
{"record":"end","count":1}
`
	if n, err := l.Import("in", strings.NewReader(text)); err != nil || n != 1 {
		t.Fatalf("Import: %d, %v", n, err)
	}
	if got := exported(t, l); !strings.Contains(got, `"class":"gone"`) || strings.Contains(got, "urls") {
		t.Errorf("it is now\n%s", got)
	}
}
