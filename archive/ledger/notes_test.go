package ledger

import (
	"strings"
	"testing"
)

// What a hostile export may say about paths must not lead anywhere else: runs
// remove what a view had.
func TestNotesRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ key, text, want string }{
		"out of the tree":      {"views", `{"../../victim":{}}`, "component is . or .."},
		"absolute":             {"views", `{"/etc/passwd":{}}`, "empty name"},
		"index elsewhere":      {"views", `{"core/core.db":{"index":{"extra/core.db":{}}}}`, "in another directory"},
		"index out of it":      {"views", `{"core/core.db":{"index":{"core/../../x":{}}}}`, "component is . or .."},
		"suffix with a slash":  {"views", `{"core/core.db":{"suffix":"/../../x"}}`, "suffix"},
		"at the top":           {"views", `{"n0.tar":{}}`, "not in a directory"},
		"below by_cipher":      {"views", `{"by_cipher/sha256/x.db":{}}`, "not in a directory"},
		"layout":               {"layouts", `["../x"]`, "layout"},
		"purged name":          {"purging", `[{"name":"../x","sha256":"` + strings.Repeat("a", 64) + `"}]`, "component is . or .."},
		"purged digest":        {"purging", `[{"name":"x","sha256":"../.."}]`, ""},
		"clock":                {"clock", "yesterday", "yesterday"},
		"repositories":         {"repositories", "{", "unexpected end"},
		"a newer program's":    {"weather", "../../victim", "-"},
		"a view as it must be": {"views", `{"core/core.db":{"index":{"core/core.db":{}},"suffix":".sig"}}`, "-"},
	} {
		err := new(Notes).set(c.key, c.text)
		switch {
		case c.want == "-":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case err == nil || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		}
	}
}
