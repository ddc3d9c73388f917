package fetch

import (
	"testing"

	"distkeep/catalog"
)

// TestAsked: the mark changes with what decides what becomes of a file, and with
// nothing else.
func TestAsked(t *testing.T) {
	t.Parallel()
	mark := func(o Options, sources ...catalog.Source) string {
		f, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		return f.Asked("a", sources)
	}
	one := catalog.Source{URI: "https://h.example/a"}
	group := func(bases ...string) catalog.Source { return catalog.Source{URI: "mirror://g/a", Bases: bases} }
	plain := mark(Options{}, one)
	for name, same := range map[string]string{
		"again":         mark(Options{}, one),
		"twice":         mark(Options{}, one, one),
		"jobs":          mark(Options{Jobs: 3, HostJobs: 1, Rate: 1 << 20}, one),
		"a bare name":   mark(Options{}, one, catalog.Source{URI: "a"}),
		"another order": mark(Options{PreferPrimary: true}, one),
	} {
		if same != plain {
			t.Errorf("%s: the mark changes", name)
		}
	}
	seen := map[string]string{plain: "plain"}
	for name, m := range map[string]string{
		"nothing":        mark(Options{}),
		"another URI":    mark(Options{}, catalog.Source{URI: "https://h.example/b"}),
		"one URI more":   mark(Options{}, one, catalog.Source{URI: "https://h.example/b"}),
		"a mirror":       mark(Options{}, one, group("https://m.example")),
		"another mirror": mark(Options{}, one, group("https://n.example")),
		"mirrors":        mark(Options{}, one, group("https://m.example", "https://n.example")),
		"a port":         mark(Options{Ports: []int{8080}}, one),
		"a scheme":       mark(Options{Schemes: []string{"http", "https", "ftp", "rsync", "file"}}, one),
		"private":        mark(Options{AllowPrivate: true}, one),
		"a fallback":     mark(Options{Fallbacks: []string{"https://archive.example/"}}, one),
		"a contact":      mark(Options{Contact: "me@h.example"}, one),
		"the program":    mark(Options{UserAgent: "distkeep/2"}, one),
		"no certificate": mark(Options{TLSSkipVerifyHosts: []string{"h.example"}}, one),
	} {
		if other, known := seen[m]; known {
			t.Errorf("%s has the mark of %s", name, other)
		}
		seen[m] = name
	}
}
