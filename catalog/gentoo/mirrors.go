package gentoo

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"distkeep/catalog"
)

// ParseMirrorOverrides reads mirror groups in the format of
// profiles/thirdpartymirrors: a name and its URLs a line, comments after "#".
// file is for errors only. Unlike the file of a tree it is read strictly: a
// group without a URL and a URL without a scheme are errors.
func ParseMirrorOverrides(file string, r io.Reader) (map[string][]string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxProfile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", file, err)
	case len(b) > maxProfile:
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxProfile)
	}
	groups := make(map[string][]string)
	err = parseMirrors(string(b), func(line int, name string, urls []string) error {
		if len(urls) == 0 {
			return fmt.Errorf("%s:%d: mirror group %q has no URL; to try none of its mirrors, skip the group", file, line, name)
		}
		for _, u := range urls {
			if scheme, rest, ok := strings.Cut(u, "://"); !ok || scheme == "" || rest == "" {
				return fmt.Errorf("%s:%d: mirror group %q: %q is not a URL", file, line, name, catalog.Redact(u))
			}
		}
		groups[name] = append(groups[name], urls...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return groups, nil
}

// parseMirrors calls group for each line that names one, as portage's grabdict
// reads them, until group returns an error.
func parseMirrors(s string, group func(line int, name string, urls []string) error) error {
	n := 0
	for line := range strings.Lines(s) {
		n++
		f := strings.Fields(line)
		if i := slices.IndexFunc(f, func(w string) bool { return strings.HasPrefix(w, "#") }); i >= 0 {
			f = f[:i]
		}
		if len(f) == 0 {
			continue
		}
		if err := group(n, f[0], f[1:]); err != nil {
			return err
		}
	}
	return nil
}

// mirrors returns the groups that apply to the repository: its own, its
// masters' mirrors after them as portage stacks them, where -URL takes a mirror
// away that came before and -* all of them, then the overrides, then the skips. A file
// that cannot be read is among the errors; the rest applies
// nevertheless. unknown are the groups to skip that there are not.
func (r *Repository) mirrors() (applying map[string][]string, unknown []string, errors []error) {
	groups := make(map[string][]string)
	var errs []error
	for _, path := range append([]string{r.path}, r.opts.Masters...) {
		if err := addMirrors(groups, path); err != nil {
			errs = append(errs, fmt.Errorf("repository %s: %w", path, err))
		}
	}
	maps.Copy(groups, r.opts.MirrorOverrides)
	for _, name := range r.opts.MirrorSkip {
		if groups[name] == nil {
			unknown = append(unknown, name)
		}
		delete(groups, name)
	}
	return groups, unknown, errs
}

// addMirrors adds the groups of the repository at path.
func addMirrors(groups map[string][]string, path string) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return plain(err)
	}
	defer root.Close()
	b, err := readProfile(root, "profiles/thirdpartymirrors")
	if err != nil {
		return err
	}
	return parseMirrors(string(b), func(_ int, name string, urls []string) error {
		for _, u := range urls {
			switch rest, minus := strings.CutPrefix(u, "-"); {
			case minus && rest == "*":
				delete(groups, name)
			case minus:
				groups[name] = slices.DeleteFunc(groups[name], func(v string) bool { return v == rest })
			case !slices.Contains(groups[name], u):
				groups[name] = append(groups[name], u)
			}
		}
		if len(groups[name]) == 0 {
			delete(groups, name)
		}
		return nil
	})
}
