package history

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestRealDistinfo reads the distinfo files of three families of ports trees,
// where they are at hand, and counts again without the parser.
func TestRealDistinfo(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..", "shared", "trees")
	if _, err := os.Stat(root); err != nil {
		t.Skip(err)
	}
	isBase64 := regexp.MustCompile(`(?m)^SHA256 .*=$`)
	isHex := regexp.MustCompile(`(?m)^SHA256 .* = [0-9a-f]{64}$`)
	var want, got [2]int
	for _, family := range []string{"openbsd", "freebsd-style", "pkgsrc-wip"} {
		err := filepath.WalkDir(filepath.Join(root, family), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() != "distinfo" {
				return err
			}
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			want[0] += len(isBase64.FindAll(text, -1))
			want[1] += len(isHex.FindAll(text, -1))
			lines, err := LoadDistinfo(p)
			if err != nil {
				t.Error(err)
			}
			for _, l := range lines {
				if l.Base64 {
					got[0]++
				} else {
					got[1]++
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if got != want || want[0] == 0 || want[1] == 0 {
		t.Errorf("read %d base64 and %d hex digests, want %d and %d", got[0], got[1], want[0], want[1])
	}
	t.Logf("%d digests in base64, %d in hex", got[0], got[1])
}
