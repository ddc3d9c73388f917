package pacman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"distkeep/catalog"
)

// loadScanCase writes the files of a case: DATABASE!MEMBER, or plain ones. The
// comment of the case is prose, a blank line, and lines "key: value".
func loadScanCase(t *testing.T, ar *txtar.Archive) (base string, o Options) {
	t.Helper()
	base, o.Name = t.TempDir(), "test"
	packing := make(map[string]Compression)
	_, header, _ := strings.Cut(string(ar.Comment), "\n\n")
	for line := range strings.Lines(header) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "repos":
			o.Repos = strings.Fields(value)
		case "arches":
			o.Arches = strings.Fields(value)
		case "template":
			o.Template = value
		case "urls":
			o.URLs = strings.Fields(value)
		case "packed":
			for f := range strings.FieldsSeq(value) {
				name, c, _ := strings.Cut(f, "=")
				packing[name] = Compression(c)
			}
		default:
			t.Fatalf("unknown key %q", key)
		}
	}
	write := func(name string, data []byte) {
		name = filepath.Join(base, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	members := make(map[string][]txtar.File)
	for _, f := range ar.Files[:len(ar.Files)-1] {
		db, member, ok := strings.Cut(f.Name, "!")
		if !ok {
			write(f.Name, f.Data)
			continue
		}
		if members[db] == nil {
			names = append(names, db)
		}
		members[db] = append(members[db], txtar.File{Name: member, Data: f.Data})
	}
	for _, name := range names {
		c := packing[name]
		if c == "" {
			c = Gzip
		}
		write(name, compress(t, c, packages(t, members[name])))
	}
	return base, o
}

func showScan(base string, r *Repository, s *catalog.Scan) string {
	var b strings.Builder
	for _, db := range r.Databases() {
		fmt.Fprintf(&b, "database %s %q in %s: %d packages\n", db.Repo, db.Arch, db.Dir, len(db.Packages))
	}
	fmt.Fprintf(&b, "packages %d\n", s.Packages)
	for _, d := range s.Distfiles {
		fmt.Fprintf(&b, "%s %d %v %v\n", d.Name, d.Size, d.Digests.Algorithms(), d.Owners)
		for _, src := range d.Sources {
			fmt.Fprintf(&b, "  %s\n", src.URI)
		}
	}
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "problem of %s: %s\n", p.Repo, p.Error())
	}
	return strings.ReplaceAll(b.String(), base, "BASE")
}

func TestScan(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("../../testdata/pacman/scan/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			ar, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			last := len(ar.Files) - 1
			if last < 0 || ar.Files[last].Name != "want" {
				t.Fatal("the last file is not want")
			}
			base, o := loadScanCase(t, ar)
			r, err := Open(base, o)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if s, err := r.Scan(t.Context()); err != nil {
				got = strings.ReplaceAll("error: "+err.Error()+"\n", base, "BASE")
			} else {
				got = showScan(base, r, s)
				if s.Kind != catalog.Pacman || s.Repo != "test" {
					t.Errorf("scan is of %s %s", s.Kind, s.Repo)
				}
			}
			if diff := cmp.Diff(string(ar.Files[last].Data), got); diff != "" {
				if os.Getenv("UPDATE") == "" {
					t.Fatalf("-want +got:\n%s", diff)
				}
				ar.Files[last].Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good := Options{Name: "arch", Repos: []string{"core"}, Arches: []string{"x86_64"}, URLs: []string{"https://m.example/arch/"}}
	if _, err := Open("/", good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no name":         {func(o *Options) { o.Name = "" }, "name is missing"},
		"no repo":         {func(o *Options) { o.Repos = nil }, "no repository"},
		"no arch":         {func(o *Options) { o.Arches = nil }, "needs an architecture"},
		"repo leaves":     {func(o *Options) { o.Repos = []string{".."} }, `".." cannot be the name`},
		"arch leaves":     {func(o *Options) { o.Arches = []string{"a/../.."} }, "cannot be the name"},
		"arch expands":    {func(o *Options) { o.Arches = []string{"$repo"} }, "cannot be the name"},
		"template leaves": {func(o *Options) { o.Template = "../$repo" }, "component is . or .."},
		"template rooted": {func(o *Options) { o.Template = "/$repo/$arch" }, "empty name or component"},
		"unknown word":    {func(o *Options) { o.Template = "$repo/$branch/$arch" }, "only $repo and $arch"},
		"repo twice":      {func(o *Options) { o.Repos = []string{"core", "core"} }, "same path core/os/x86_64/core.db"},
		"one for two":     {func(o *Options) { o.Arches, o.Template = []string{"a", "b"}, "$repo" }, "same path core/core.db"},
		"no URL":          {func(o *Options) { o.URLs = []string{"m.example/arch"} }, "not a base URL"},
		"URL with query":  {func(o *Options) { o.URLs = []string{"https://m.example/?x"} }, "not a base URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := good
			c.change(&o)
			if _, err := Open("/", o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestScanCancelled(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	if err := os.WriteFile(filepath.Join(base, "core.db"), smallDatabase(t, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Open(base, Options{Name: "arch", Repos: []string{"core"}, Template: "."})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Scan(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	f := ctxReader{ctx, bytes.NewReader(smallDatabase(t, 1))}
	if _, _, err := ParseDatabase("x.db", f); !errors.Is(err, context.Canceled) {
		t.Errorf("error in the middle = %v, want context.Canceled", err)
	}
	if r.Databases() != nil {
		t.Error("databases of a scan that failed")
	}
}
