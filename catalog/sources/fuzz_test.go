package sources

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"distkeep/catalog"
)

// fuzzKind gives any bytes to the parser of a kind. Its seeds are the lists of
// the kind in testdata.
func fuzzKind(f *testing.F, name string) {
	k := kindNamed(name)
	cases, err := filepath.Glob("../../testdata/sources/*.txtar")
	if err != nil || len(cases) == 0 {
		f.Fatalf("no cases: %v", err)
	}
	seeds := 0
	for _, file := range cases {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, l := range ar.Files {
			if kindByName(filepath.Base(l.Name)) == k {
				f.Add(l.Data)
				seeds++
			}
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &collector{repo: "r", base: "http://h.example"}
		if err := k.parse(&parser{text: &text{file: "f", path: "a/b/f", data: data}, collector: c}); err != nil && !strings.HasPrefix(err.Error(), "f") {
			t.Fatalf("error without a place: %v", err)
		}
		s := c.scan()
		for _, d := range s.Distfiles {
			if _, err := catalog.ParsePath(string(d.Name)); err != nil || len(d.Digests) == 0 || len(d.Owners) == 0 || len(d.Sources) > maxURIs || d.Size < -1 {
				t.Fatalf("%+v", d)
			}
			for _, o := range d.Owners {
				if _, err := catalog.ParsePath(o.Package); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, p := range s.Problems {
			if p.Scope == catalog.OnePackage && p.Package == "" {
				t.Fatalf("nobody's problem: %+v", p)
			}
			if len(p.Msg) > 2000 {
				t.Fatalf("message of %d bytes", len(p.Msg))
			}
		}
	})
}

func FuzzJSONLines(f *testing.F) { fuzzKind(f, "jsonl") }
func FuzzNix(f *testing.F)       { fuzzKind(f, "nix") }
func FuzzHomebrew(f *testing.F)  { fuzzKind(f, "homebrew") }
func FuzzDistinfo(f *testing.F)  { fuzzKind(f, "distinfo") }
func FuzzSums(f *testing.F)      { fuzzKind(f, "sums") }
func FuzzOpam(f *testing.F)      { fuzzKind(f, "opam") }
func FuzzConan(f *testing.F)     { fuzzKind(f, "conan") }

func FuzzKindOf(f *testing.F) {
	f.Add("x", []byte("{\"sources\": ["))
	f.Add("x", []byte("[]"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if k := kindOf(name, data); k != nil && k.parse == nil {
			t.Fatal(k)
		}
	})
}
