package gentoo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"distkeep/catalog/regular"
)

// maxProfile bounds the small files of a repository. The largest real one,
// a thirdpartymirrors, has 64 KiB.
const maxProfile = 256 << 10

// A layout is what metadata/layout.conf says.
type layout struct {
	name string
	// masters is nil in a tree that does not say whether it has any.
	masters []string
}

// readLayout reads metadata/layout.conf; a tree may do without.
func readLayout(root *os.Root) (layout, error) {
	b, err := readProfile(root, "metadata/layout.conf")
	return parseLayout(b), err
}

// parseLayout parses it. Keys that are not needed or not known are ignored.
func parseLayout(b []byte) (l layout) {
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		switch strings.TrimSpace(key) {
		case "repo-name":
			l.name = repoName(value)
		case "masters":
			l.masters = append([]string{}, strings.Fields(value)...)
		}
	}
	return l
}

// readCategories returns the category names of profiles/categories. ok is
// false when there is no such file.
func readCategories(root *os.Root) (names []string, ok bool, err error) {
	b, err := readProfile(root, "profiles/categories")
	if b == nil || err != nil {
		return nil, false, err
	}
	return parseCategories(b), true, nil
}

// parseCategories returns the categories that b lists.
func parseCategories(b []byte) (names []string) {
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		if c := strings.TrimSpace(line); validCategory(c) {
			names = append(names, c)
		}
	}
	return names
}

// readProfile reads one small file of the tree. The bytes are nil when there
// is none.
func readProfile(root *os.Root, name string) ([]byte, error) {
	b, err := regular.ReadIn(root, name, maxProfile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	switch {
	case errors.Is(err, regular.ErrTooLarge):
		return nil, fmt.Errorf("%s: larger than %d bytes", name, maxProfile)
	case errors.Is(err, regular.ErrIrregular):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, plain(err))
	}
	return b, nil
}

// isCategoryShaped reports whether an unlisted directory of the top level may
// be a category. The other directories of a tree have no hyphen.
func isCategoryShaped(s string) bool {
	return validCategory(s) && (s == "virtual" || strings.Contains(s, "-"))
}

// sortedSet returns the different strings of s in order.
func sortedSet(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}
