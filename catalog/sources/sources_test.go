package sources

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/tools/txtar"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// show is what a scan found: a line for each distfile, then notes and problems.
func show(s *catalog.Scan, dir string) string {
	var b strings.Builder
	for _, d := range s.Distfiles {
		name := string(d.Name)
		if d.Unnamed {
			name = "(" + name + ")"
		}
		var sums, uris, owners []string
		for _, x := range d.Digests {
			sums = append(sums, fmt.Sprintf("%s %.6s", x.Alg, x.Hex()))
		}
		for _, u := range d.Sources {
			uris = append(uris, u.URI)
		}
		for _, o := range d.Owners {
			owners = append(owners, o.Package)
		}
		fmt.Fprintf(&b, "%s %d [%s] by %s from %s", name, d.Size, strings.Join(sums, ", "), strings.Join(owners, ", "), strings.Join(uris, " "))
		if d.Restrict != "" {
			fmt.Fprintf(&b, " restrict %s %s", d.Restrict, d.Reason)
		}
		b.WriteString("\n")
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, p := range s.Problems {
		scope := ""
		if p.Scope == catalog.OnePackage {
			scope = fmt.Sprintf(" (%s protects %v)", p.Package, p.Names)
		}
		fmt.Fprintf(&b, "problem: %s%s\n", strings.ReplaceAll(p.Reason(), dir+"/", ""), scope)
	}
	return b.String()
}

// TestScan scans the lists of testdata. The comment of a case is the path of
// the list, and options behind a question mark.
func TestScan(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("../../testdata/sources/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir, want := t.TempDir(), ""
			for _, f := range ar.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				path := filepath.Join(dir, f.Name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, f.Data, 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			path, query, _ := strings.Cut(strings.TrimSpace(string(ar.Comment)), "?")
			o := Options{Name: "list", Path: filepath.Join(dir, path)}
			for pair := range strings.SplitSeq(query, "&") {
				switch key, value, _ := strings.Cut(pair, "="); key {
				case "kind":
					o.Kind = value
				case "base":
					o.Base = value
				}
			}
			got := ""
			r, err := Open(o)
			if err == nil {
				var s *catalog.Scan
				if s, err = r.Scan(t.Context()); err == nil {
					got = show(s, dir)
				}
			}
			if err != nil {
				got = "error: " + strings.ReplaceAll(err.Error(), dir+"/", "") + "\n"
			}
			if got == want {
				return
			}
			if os.Getenv("UPDATE") == "" {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			i := slices.IndexFunc(ar.Files, func(f txtar.File) bool { return f.Name == "want" })
			if i < 0 {
				i, ar.Files = len(ar.Files), append(ar.Files, txtar.File{Name: "want"})
			}
			ar.Files[i].Data = []byte(got)
			if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	hash := strings.Repeat("0", 64)
	for _, tc := range []struct{ name, data, want string }{
		{"SHA256SUMS", "", "sums"},
		{"sha512sums.txt", "", "sums"},
		{"B2SUMS", "", "sums"},
		{"CHECKSUM.SHA256-FreeBSD-14.3-RELEASE-amd64", "", "sums"},
		{"Fedora-Server-42-1.1-x86_64-CHECKSUM", "", "sums"},
		{"SHA256", "", "sums"},
		{"distinfo", "", "distinfo"},
		{"sources-unstable.json", "", "nix"},
		{"sources.json", "", "nix"},
		{"formula.json", "", "homebrew"},
		{"opam", "", "opam"},
		{"url", "", "opam"},
		{"conandata.yml", "", "conan"},
		{"x.jsonl", "", "jsonl"},
		{"-", hash + "  a\n", "sums"},
		{"-", "SHA256 (a) = " + hash + "\n", "sums"},
		{"-", "TIMESTAMP = 1\nSHA256 (a) = " + hash + "\n", "distinfo"},
		{"-", "$NetBSD$\n\nBLAKE2s (a) = " + hash + "\n", "distinfo"},
		{"-", `{"digests":{}}` + "\n" + `{"digests":{}}`, "jsonl"},
		{"-", `{"sources":[],"version":"1"}`, "nix"},
		{"-", "{\n \"version\": 1,\n \"sources\": [\n]}", "nix"},
		{"-", "[{\"name\":\"a\"}]", "homebrew"},
		{"-", "opam-version: \"2.0\"\n", "opam"},
		{"-", "url {\n", "opam"},
		{"-", "sources:\n  \"1\":\n", "conan"},
		{"-", "<html>", ""},
		{"-", "", ""},
	} {
		got := ""
		if k := kindOf(tc.name, []byte(tc.data)); k != nil {
			got = k.name
		}
		if got != tc.want {
			t.Errorf("%s %q is %q, want %q", tc.name, tc.data, got, tc.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{
		{Path: "x"},
		{Name: "../x", Path: "x"},
		{Name: "x", Path: "x", Kind: "rpm"},
		{Name: "x", Path: "x", Base: "nowhere"},
		{Name: "x", Path: "x", Base: "http://h/?a=b"},
	} {
		if _, err := Open(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

// TestBounds: what a list may do is bounded and linear.
func TestBounds(t *testing.T) {
	t.Parallel()
	sum := func(i int) digest.Digest { return digest.SHA256.Sum(fmt.Append(nil, i)) }
	c := &collector{repo: "r"}
	p := &parser{text: &text{file: "f"}, collector: c}
	add := func(e *entry) {
		t.Helper()
		e.size = -1
		if err := p.add(e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxContents + 2 {
		add(&entry{name: "named", digests: digest.Set{sum(i)}})
		add(&entry{uris: []string{"http://h/v1.tar.gz"}, digests: digest.Set{sum(i)}})
	}
	var many []string
	for i := range maxURIs + 10 {
		many = append(many, fmt.Sprint("http://h/", i))
	}
	add(&entry{name: "many", uris: append(many, "http://h/"+strings.Repeat("x", maxURI)), digests: digest.Set{sum(0)}})
	for i := range maxOwners + 10 {
		add(&entry{name: "owned", owner: fmt.Sprint(i), digests: digest.Set{sum(0)}})
	}
	s := c.scan()
	count := make(map[catalog.Name]int)
	for _, d := range s.Distfiles {
		count[d.Name]++
		switch d.Name {
		case "many":
			if len(d.Sources) != maxURIs {
				t.Errorf("%d sources", len(d.Sources))
			}
		case "owned":
			if len(d.Owners) != maxOwners {
				t.Errorf("%d owners", len(d.Owners))
			}
		}
	}
	if count["named"] != maxContents || count["v1.tar.gz"] != maxContents || count[catalog.Name(sum(maxContents).Hex())] != 1 {
		t.Errorf("contents: %d named, %d not", count["named"], count["v1.tar.gz"])
	}
	if len(s.Problems) != 2 {
		t.Errorf("problems: %v", s.Problems)
	}
	want := []string{"1 left out: a URI of more than 8192 bytes", "10 left out: a URI beyond the first 100 of a file"}
	if !slices.Equal(s.Notes, want) {
		t.Errorf("notes: %q", s.Notes)
	}
	for range maxProblems {
		p.problem(1, "wrong")
	}
	if s = c.scan(); len(s.Problems) != maxProblems+1 || !strings.Contains(s.Problems[maxProblems].Msg, "2 problems more") {
		t.Errorf("%d problems, the last is %v", len(s.Problems), s.Problems[len(s.Problems)-1])
	}
	c.entries = maxEntries
	if err := p.add(&entry{name: "a", digests: digest.Set{sum(0)}}); err == nil {
		t.Error("entries are not bounded")
	}
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	if _, err := readAll(zeros{}); !errors.Is(err, errLarge) {
		t.Errorf("error = %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A message may quote what a list says, which may be a long word of its author's.
func TestLongMessage(t *testing.T) {
	t.Parallel()
	c := &collector{repo: "r"}
	list := `{"name": "a", "digests": {"sri": "sha256-` + strings.Repeat("é", 5000) + `"}}` + "\n"
	if err := kindNamed("jsonl").parse(&parser{text: &text{file: "f", data: []byte(list)}, collector: c}); err != nil {
		t.Fatal(err)
	}
	ps := c.scan().Problems
	if len(ps) != 1 || len(ps[0].Msg) > maxMessage+len("…") || !utf8.ValidString(ps[0].Msg) {
		t.Errorf("problems: %.2000v", ps)
	}
}
