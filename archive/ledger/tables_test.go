package ledger

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestTables: a ledger that is changed a little keeps the tables that it has, and does
// not gather more than a few, however short each run is.
func TestTables(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ledger")
	const few = maxSmall + 3
	most := 0
	synctest.Test(t, func(t *testing.T) {
		var before []string
		for i := range 3 * few {
			l := open(t, dir)
			var b Batch
			b.PutDistfile(sample("a", "text"))
			b.PutRun(&Run{Start: t0.Add(time.Duration(i) * time.Hour), Summary: []byte("{}")})
			if err := l.Commit(&b, nil); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
			if err != nil {
				t.Fatal(err)
			}
			if i < 4 && (len(tables) != i+1 || !slices.Equal(tables[:i], before)) {
				t.Fatalf("after %d changes %q, after the one before %q", i+1, tables, before)
			}
			before, most = tables, max(most, len(tables))
		}
		s, err := openAndLoad(t, dir)
		if err != nil || len(s.Distfiles) != 1 {
			t.Errorf("%d records, %v", len(s.Distfiles), err)
		}
	})
	if most > few {
		t.Errorf("%d tables", most)
	}
}

func openAndLoad(t *testing.T, dir string) (*State, error) {
	l := open(t, dir)
	defer l.Close()
	return l.Load()
}
