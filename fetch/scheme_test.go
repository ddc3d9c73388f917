package fetch

import (
	"net/url"
	"slices"
	"testing"
)

// TestSchemes: each scheme has a transport, and only what the table has can be
// fetched.
func TestSchemes(t *testing.T) {
	t.Parallel()
	f, err := New(Options{Schemes: schemeNames(true)})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.transports) != len(schemes) {
		t.Errorf("%d transports for %d schemes", len(f.transports), len(schemes))
	}
	if got, want := schemeNames(false), []string{"http", "https", "ftp", "rsync"}; !slices.Equal(got, want) {
		t.Errorf("allowed by default are %v, want %v", got, want)
	}
	for text, want := range map[string]struct {
		port, lane string
		local      bool
	}{
		"http://h/f":       {"80", "h", false},
		"https://h:8443/f": {"8443", "h:8443", false},
		"ftp://h/f":        {"21", "h", false},
		"rsync://h:873/f":  {"873", "h", false},
		"file:///f":        {"", "file", true},
		"gopher://h/f":     {"", "h", false},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if port(u) != want.port || laneKey(u) != want.lane || schemeOf(u).local() != want.local {
			t.Errorf("%s: port %q, lane %q, local %v; want %v", text, port(u), laneKey(u), schemeOf(u).local(), want)
		}
	}
}
