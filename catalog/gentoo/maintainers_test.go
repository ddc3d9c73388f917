package gentoo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMetadataXML(t *testing.T) {
	t.Parallel()
	const head = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<!DOCTYPE pkgmetadata SYSTEM "https://www.gentoo.org/dtd/metadata.dtd">` + "\n<pkgmetadata>"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"two":        {head + `<maintainer type="person"><email>a@x.org</email><name>A</name></maintainer><maintainer type="project"><email> b@x.org </email></maintainer></pkgmetadata>`, []string{"a@x.org", "b@x.org"}},
		"name alone": {head + `<maintainer><name>A B</name></maintainer></pkgmetadata>`, []string{"A B"}},
		"upstream":   {head + `<upstream><maintainer><email>up@x.org</email></maintainer></upstream></pkgmetadata>`, nil},
		"nobody":     {head + `<!-- maintainer-needed --></pkgmetadata>`, nil},
		"cut short":  {head + `<maintainer><email>a@x.org</email></maintainer><maintainer><em`, []string{"a@x.org"}},
		"no XML":     {"a\x00b", nil},
	} {
		if diff := cmp.Diff(c.want, parseMetadataXML([]byte(c.text))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestMaintainersOfTree: a tree may have anything in the place of metadata.xml.
func TestMaintainersOfTree(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const one = "<pkgmetadata><maintainer><email>a@x.org</email></maintainer></pkgmetadata>"
	write(filepath.Join(dir, "profiles/repo_name"), "r\n")
	write(filepath.Join(dir, "cat/a-b/metadata.xml"), one)
	write(filepath.Join(dir, "cat/large/metadata.xml"), one+strings.Repeat(" ", maxMetadata))
	write(filepath.Join(outside, "metadata.xml"), one)
	if err := os.Symlink(outside, filepath.Join(dir, "cat/link")); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, want := range map[string][]string{
		"cat/a-b-1.2_p3-r4": {"a@x.org"}, "cat/a-b": {"a@x.org"},
		"cat/none-1": nil, "cat/large-1": nil, "cat/link-1": nil, "../cat/a-b": nil, "cat/../cat/a-b": nil, "": nil,
	} {
		if diff := cmp.Diff(want, r.maintainers(pkg)); diff != "" {
			t.Errorf("%q: -want +got:\n%s", pkg, diff)
		}
	}
}

func FuzzParseMetadataXML(f *testing.F) {
	f.Add([]byte("<pkgmetadata><maintainer><email>a@x.org</email></maintainer></pkgmetadata>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, m := range parseMetadataXML(text) {
			if strings.TrimSpace(m) == "" || strings.ContainsAny(m, "\n\t") {
				t.Errorf("a maintainer is %q", m)
			}
		}
	})
}
