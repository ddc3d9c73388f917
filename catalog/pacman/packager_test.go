package pacman

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPackager(t *testing.T) {
	t.Parallel()
	parse := func(packager string) Package {
		p, err := parseDesc("%FILENAME%\na-b-1-1-any.pkg.tar.zst\n\n%NAME%\na-b\n\n%VERSION%\n1-1\n" + packager)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for text, want := range map[string][]string{
		"": nil, "\n%PACKAGER%\nJane <jane@x.org>\n": {"jane@x.org"}, "\n%PACKAGER%\nUnknown Packager\n": {"Unknown Packager"},
		"\n%PACKAGER%\na@x.org\n\n%PACKAGER%\nb@x.org\n": {"b@x.org"}, "\n%PACKAGER%": nil,
	} {
		dbs := []*Database{{}, {Packages: []Package{{Name: "a", Version: "b"}, parse(text)}}}
		if diff := cmp.Diff(want, packager(dbs, "a-b-1-1")); diff != "" {
			t.Errorf("%q: -want +got:\n%s", text, diff)
		}
		if got := packager(dbs, "a-b-1-2"); got != nil {
			t.Errorf("another version has %q", got)
		}
	}
}
