package fetch

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"distkeep/catalog"
	"distkeep/fetch/failure"
)

// nothing is a host that has no file.
func nothing(string, int, int) (time.Duration, error) {
	return time.Millisecond, &statusError{code: http.StatusNotFound, text: "Not Found"}
}

// TestManyURIs: what one file costs does not grow with the URIs that a tree names
// for it, and the report says so.
func TestManyURIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		host func(n int) string
		most int
		said string
	}{
		"one host":   {func(int) string { return "h.example" }, maxSameHost, "more than 32 URIs of this host"},
		"many hosts": {func(n int) string { return fmt.Sprintf("h%d.example", n) }, maxSources, "128000 URIs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, w := newWorld(t, Options{}, nothing)
				reqs := files(t, "x", 1)
				for n := range 128000 {
					reqs[0].Sources = append(reqs[0].Sources, catalog.Source{URI: fmt.Sprintf("http://%s/%d", c.host(n), n)})
				}
				_, _, results := outcomes(t, t.Context(), f, reqs)
				r := results[0]
				if len(w.asked) != c.most || len(r.Attempts) > maxAttempts || Classify(r.Err) != failure.Gone {
					t.Errorf("%d URLs asked, %d attempts, %v", len(w.asked), len(r.Attempts), r.Err)
				}
				said := false
				for _, a := range r.Attempts {
					said = said || strings.Contains(a.Err.Error(), c.said)
				}
				if !said {
					t.Errorf("no attempt says %q", c.said)
				}
			})
		})
	}
}

// TestManyFiles: nor does the cost of a package grow with files times URIs. Other
// packages are asked for as ever.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, w := newWorld(t, Options{}, nothing)
		var hosts []string
		for n := range 40 {
			hosts = append(hosts, fmt.Sprintf("h%d.example", n))
		}
		bad := files(t, "bad", 1000, hosts...)
		for _, r := range bad {
			r.Package = "app-misc/bad-1"
		}
		outcomes(t, t.Context(), f, bad)
		if n := len(w.asked); n > maxPackage+1000*fewPackage {
			t.Errorf("one package made %d requests", n)
		}
		clear(w.asked)
		other := files(t, "other", 1, hosts...)
		other[0].Package = "app-misc/other-1"
		outcomes(t, t.Context(), f, other)
		if n := len(w.asked); n != len(hosts) {
			t.Errorf("another package: %d requests, want %d", n, len(hosts))
		}
	})
}
