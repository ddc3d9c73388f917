package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// told lists the successes of l.
func told(t *testing.T, l *Ledger) (lines []string) {
	t.Helper()
	err := l.Successes(nil, func(s *Success) error {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d %s", s.Time.Format(time.DateOnly), s.What, s.Name, s.SHA256.Hex()[:4], s.Bytes, s.Origin))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestSuccesses: what was done is told in its order, for a year, in both forms of
// record, and an export has it.
func TestSuccesses(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	defer l.Close()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	sum := digest.SHA256.Sum([]byte("x"))
	put := func(name catalog.Name, what Deed, at time.Time) {
		var b Batch
		b.PutSuccess(&Success{Key{name, sum}, what, at, 1, "https://h.example/" + string(name)})
		if err := l.Commit(&b, nil); err != nil {
			t.Fatal(err)
		}
	}
	put("z/a", Purged, now)
	put("z/a", Deleted, now) // in the same second
	put("z/a", Added, now.AddDate(0, 0, -300))
	put("old", Added, now.AddDate(0, 0, -366))
	for name, w := range map[string]wireSuccess{
		"former":     {1, "u", sum.Hex(), now.AddDate(0, 0, -10).Unix(), false},
		"former-old": {1, "u", sum.Hex(), now.AddDate(-2, 0, 0).Unix(), true},
	} {
		v, err := encode(w)
		if err == nil {
			err = l.db.Update(func(txn *badger.Txn) error { return txn.Set(nameKey(prefixSuccess, catalog.Name(name)), v) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := told(t, l); len(got) != 6 || got[0] != "2025-02-28 added old 2d71 1 https://h.example/old" || got[5] != "2024-03-01 recycled former-old 2d71 1 u" {
		t.Errorf("before: %q", got)
	}
	var b Batch
	if err := errors.Join(l.DropOldSuccesses(&b, now), l.Commit(&b, nil)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"2025-05-05 added z/a 2d71 1 https://h.example/z/a", "2026-02-19 added former 2d71 1 u",
		"2026-03-01 purged z/a 2d71 1 https://h.example/z/a", "2026-03-01 recycled z/a 2d71 1 https://h.example/z/a",
	}
	if got := told(t, l); !slices.Equal(got, want) {
		t.Errorf("after a year: %q, want %q", got, want)
	}
	if err := l.DropOldSuccesses(&b, now); err != nil || b.Len() != 0 {
		t.Errorf("the next run changes %d records, %v", b.Len(), err)
	}
	var out bytes.Buffer
	if err := l.Export(&out); err != nil {
		t.Fatal(err)
	}
	other := open(t, t.TempDir())
	defer other.Close()
	if _, err := other.Import("export", &out); err != nil {
		t.Fatal(err)
	}
	if got := told(t, other); !slices.Equal(got, want) {
		t.Errorf("imported: %q, want %q", got, want)
	}
}

// TestSuccessesKnown: what the records tell themselves is left out, and nothing else,
// however alike it is.
func TestSuccessesKnown(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	defer l.Close()
	r := rand.New(rand.NewPCG(1, 2))
	var known Records
	var want []string
	var b Batch
	for n := range 500 {
		d := sample(fmt.Sprint("f", n/3), fmt.Sprint(n%3))
		d.Added = t0.Add(time.Duration(n%5) * time.Second)
		if n%7 > 0 {
			known = append(known, d)
		}
		for _, what := range []Deed{Added, Restored, Deleted, Gone} {
			for _, ago := range []time.Duration{0, time.Second} {
				if r.IntN(2) == 0 {
					continue
				}
				s := NewSuccess(&d.Content, fmt.Sprint(n), what, d.Added.Add(-ago))
				b.PutSuccess(s)
				if n%7 == 0 || ago > 0 || what == Deleted || what == Gone {
					want = append(want, string(successKey(s)))
				}
			}
		}
	}
	if err := l.Commit(&b, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := l.Successes(known, func(s *Success) error { got = append(got, string(successKey(s))); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Errorf("%d successes, want %d", len(got), len(want))
	}
}

// TestAppendTime: as fmt has it, in twelve digits.
func TestAppendTime(t *testing.T) {
	t.Parallel()
	for _, n := range []int64{-1, 0, 9, 10, 1790000000, 999999999999} {
		if got, want := string(appendTime([]byte("x"), time.Unix(n, 5))), fmt.Sprintf("x%0*d", timeLen, max(n, 0)); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestImportFormerSuccess: an export of a program that kept one record a name.
func TestImportFormerSuccess(t *testing.T) {
	t.Parallel()
	l := open(t, t.TempDir())
	defer l.Close()
	sum := digest.SHA256.Sum([]byte("x")).Hex()
	in := `{"record":"ledger","schema":"` + schema + `"}
{"record":"success","name":"a","sha256":"` + sum + `","size":1,"time":"2026-01-01T00:00:00Z","removed":true}
{"record":"end","count":1}
`
	if _, err := l.Import("export", bytes.NewReader([]byte(in))); err != nil {
		t.Fatal(err)
	}
	if got := told(t, l); !slices.Equal(got, []string{"2026-01-01 recycled a 2d71 1 "}) {
		t.Errorf("%q", got)
	}
}
