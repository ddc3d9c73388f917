package openbsd

import (
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestMaintainers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump := filepath.Join(dir, "dump")
	text := "x/a.DISTFILES=a.tgz\nx/a.MAINTAINER=Jane Doe <jane@x.org>, B <b@x.org>\nx/b.DISTFILES=b.tgz\nx/c.MAINTAINER=The ports list <ports@x.org>\n"
	if err := os.WriteFile(dump, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir, Options{Dump: dump})
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for pkg, want := range map[string][]string{"x/a": {"jane@x.org", "b@x.org"}, "x/b": nil, "x/c": {"ports@x.org"}, "x/d": nil} {
		if diff := gocmp.Diff(want, s.Maintainers(pkg)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", pkg, diff)
		}
	}
}
