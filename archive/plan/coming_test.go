package plan

import (
	"testing"

	"distkeep/archive/layout"
	"distkeep/catalog"
)

func TestComing(t *testing.T) {
	t.Parallel()
	fetching := func(size int64, sources ...catalog.Source) *Fetching {
		return &Fetching{Wants: []*Want{NewWant(&catalog.Distfile{Size: size, Sources: sources}, true)}}
	}
	p := &Plan{Fetches: []*Fetching{
		fetching(5, catalog.Source{URI: "https://A.example/x"}, catalog.Source{URI: "https://b.example/x"}),
		fetching(7, catalog.Source{URI: "mirror://gnu/x", Bases: []string{"https://a.example:8080/gnu"}}),
		fetching(-1, catalog.Source{URI: "x.tar.gz"}, catalog.Source{URI: "mirror://none/x"}, catalog.Source{URI: "ftp://c.example/x"}),
		fetching(1),
	}}
	c, hosts := p.Coming()
	if want := (layout.Count{Files: 4, Bytes: 13}); c != want || hosts != 2 {
		t.Errorf("%+v from %d hosts, want %+v from 2", c, hosts, want)
	}
	if c, hosts := new(Plan).Coming(); c.Files+hosts != 0 {
		t.Errorf("nothing: %+v from %d hosts", c, hosts)
	}
}
