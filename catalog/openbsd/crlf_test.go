package openbsd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOldDumps reads a dump of 2011, which does not say what may be mirrored, with
// the line ends of another system.
func TestOldDumps(t *testing.T) {
	t.Parallel()
	dump := "===> devel/foo\ndevel/foo.DISTFILES=foo-1.tar.gz\ndevel/foo.MASTER_SITES=https://example.org/\ndevel/foo.CHECKSUM_FILE=/usr/ports/devel/foo/distinfo\n"
	info := "SHA256 (foo-1.tar.gz) = a0SoQ5UfNxtwEMdU7MPKvv6BXVztHFuUCfstaX6KiQ0=\nSIZE (foo-1.tar.gz) = 5\n"
	for _, c := range []struct {
		name, permit string
		eol          string
		notes        int
	}{
		{"silent", "", "\n", 1},
		{"CR LF", "", "\r\n", 1},
		{"permitted", "devel/foo.PERMIT_DISTFILES_FTP=Yes\n", "\r\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "devel/foo"), 0o755); err != nil {
				t.Fatal(err)
			}
			for path, text := range map[string]string{"devel/foo/distinfo": info, "dump": dump + c.permit} {
				if err := os.WriteFile(filepath.Join(dir, path), []byte(strings.ReplaceAll(text, "\n", c.eol)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Open(dir, Options{Dump: filepath.Join(dir, "dump")})
			if err != nil {
				t.Fatal(err)
			}
			s, err := r.Scan(t.Context())
			if err != nil || len(s.Problems) > 0 || len(s.Distfiles) != 1 || len(s.Notes) != c.notes {
				t.Fatalf("%v, problems %v, notes %q", err, s.Problems, s.Notes)
			}
			if d := s.Distfiles[0]; d.Name != "foo-1.tar.gz" || d.Size != 5 || d.Restrict != "" || d.Sources[0].URI != "https://example.org/foo-1.tar.gz" {
				t.Errorf("%+v", d)
			}
		})
	}
}
