package failures

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"distkeep/archive/archivetest"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/report"
	"distkeep/archive/survey"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// namesOf makes so many names of one content, each with sources of its own.
func namesOf(n int) (ds []*catalog.Distfile) {
	sums, _ := digest.NewSet(digest.SHA512.Sum([]byte("a")), digest.BLAKE2B.Sum([]byte("a")))
	for i := range n {
		ds = append(ds, &catalog.Distfile{
			Name: catalog.Name(fmt.Sprintf("n%06d", i)), Size: 1, Digests: sums,
			Sources: []catalog.Source{{URI: fmt.Sprintf("https://h.example/n%06d", i)}},
		})
	}
	return ds
}

// allocated returns how many bytes f allocates.
func allocated(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc - before.TotalAlloc)
}

// linear fails unless f costs about four times as much for four times as many.
func linear(t *testing.T, what string, f func(n int) float64) {
	t.Helper()
	f(16) // what is made once
	if few, many := f(500), f(2000); many > 6*few {
		t.Errorf("%s: %.0f for 500 names, %.0f for 2,000", what, few, many)
	}
}

// TestManyNames: one content may have as many names as a package likes. What is
// allocated tells of work; no other test runs meanwhile.
func TestManyNames(t *testing.T) {
	linear(t, "preview", func(n int) float64 {
		f := &plan.Fetching{}
		for _, d := range namesOf(n) {
			f.Wants = append(f.Wants, plan.NewWant(d, true))
		}
		p := &plan.Plan{Fetches: []*plan.Fetching{f}}
		return allocated(func() {
			if got := len(p.Actions(new(plan.Facts))); got != n {
				t.Fatalf("%d actions", got)
			}
		})
	})
	b := archivetest.New(t)
	b.Do(func(a *vault.Vault) {
		facts, err := survey.Make(t.Context(), a, survey.Options{})
		if err != nil {
			t.Fatal(err)
		}
		linear(t, "claims", func(n int) float64 {
			x := new(ledger.State)
			sum := digest.SHA256.Sum([]byte("a"))
			for _, d := range namesOf(n) {
				x.Distfiles = append(x.Distfiles, &ledger.Distfile{Content: layout.Content{Name: d.Name, Digests: digest.Set{sum}, Named: true}})
			}
			a.Index = ledger.NewIndex(x)
			claims := a.Claims()
			return allocated(func() {
				for _, d := range x.Distfiles {
					c := &d.Content
					if claims.Keeper(d)(c.CipherPaths()[0]) {
						t.Fatalf("%s: another needs its path", d.Name)
					}
				}
			})
		})
		linear(t, "failures", func(n int) float64 {
			fs := New(a, &facts.Facts, new(report.Summary))
			a.Index = ledger.NewIndex(&ledger.State{Failures: make(map[ledger.FailureKey]*ledger.Failure)})
			fe := &fetch.Error{Class: failure.Gone, Err: errors.New("404")}
			ds := namesOf(n)
			for _, d := range ds {
				fs.tried[plan.NewWant(d, true).Key()] = fe
				fe.Attempts = append(fe.Attempts, fetch.Attempt{URL: d.Sources[0].URI, Err: fe.Err})
			}
			facts.Catalog = &catalog.Catalog{Distfiles: ds}
			facts.Asked = func(catalog.Name, []catalog.Source) string { return "" }
			used := allocated(func() {
				if err := fs.Record(true); err != nil {
					t.Fatal(err)
				}
			})
			for _, f := range a.Index.Failures {
				if len(f.Answers) != maxAnswers {
					t.Fatalf("%d answers are recorded", len(f.Answers))
				}
			}
			return used
		})
	})
}
