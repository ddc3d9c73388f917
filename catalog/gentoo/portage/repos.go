package portage

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Repositories are what repos.conf says.
type Repositories struct {
	// Main is the name of the main repository, or empty.
	Main     string
	sections map[string]map[string]string
}

// defaultSection has the values that hold for every section.
const defaultSection = "DEFAULT"

// LoadRepositories reads repos.conf below root, the directory that Portage calls
// PORTAGE_CONFIGROOT: what the distribution has in usr/share/portage/config, and
// over that etc/portage/repos.conf, a file or a directory.
func LoadRepositories(root string) (*Repositories, error) {
	r := newRepositories(root)
	for _, p := range []string{"usr/share/portage/config/repos.conf", "etc/portage/repos.conf"} {
		paths, err := files(filepath.Join(root, p))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			text, err := read(path)
			if err == nil {
				err = r.parse(path, text)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return r.resolve()
}

// ParseRepositories reads the text of a repos.conf; file is for errors.
func ParseRepositories(root, file, text string) (*Repositories, error) {
	r := newRepositories(root)
	if err := r.parse(file, text); err != nil {
		return nil, err
	}
	return r.resolve()
}

func newRepositories(root string) *Repositories {
	root = strings.TrimSuffix(root, "/") + "/"
	return &Repositories{sections: map[string]map[string]string{
		defaultSection: {"eprefix": "", "eroot": "/", "root": "/", "portage_configroot": root},
	}}
}

// Names returns the names of the repositories that have a location, in order.
func (r *Repositories) Names() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(r.sections)) {
		if r.Location(name) != "" {
			names = append(names, name)
		}
	}
	return names
}

// Location returns the directory of the repository that has the name, or has it
// as an alias, or "".
func (r *Repositories) Location(name string) string {
	if name == defaultSection {
		return ""
	}
	if s, ok := r.sections[name]; ok {
		return s["location"]
	}
	for _, n := range slices.Sorted(maps.Keys(r.sections)) {
		if s := r.sections[n]; n != defaultSection && slices.Contains(strings.Fields(s["aliases"]), name) {
			return s["location"]
		}
	}
	return ""
}

// parse reads one file over what was read before. The format is that of Python's
// configparser: sections, "key = value" or "key: value", values that go on in
// indented lines, and whole lines of comment.
func (r *Repositories) parse(file, text string) error {
	var section map[string]string
	var key string
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, " \t\r\n")
		body := strings.TrimLeft(line, " \t")
		switch {
		case body == "":
			// A value may go on after it; none of ours has lines that matter.
		case body[0] == '#' || body[0] == ';':
		case body != line && key != "":
			section[key] += "\n" + body
		case body[0] == '[':
			name, rest, ok := strings.Cut(body[1:], "]")
			if !ok || name == "" || rest != "" {
				return &SyntaxError{file, n, fmt.Sprintf("%q is no [section]", body)}
			}
			if section, key = r.sections[name], ""; section == nil {
				section = make(map[string]string)
				r.sections[name] = section
			}
		default:
			i := strings.IndexAny(body, "=:")
			if i <= 0 {
				return &SyntaxError{file, n, fmt.Sprintf("%q is not key = value", body)}
			}
			if section == nil {
				return &SyntaxError{file, n, "there is no [section] above it"}
			}
			key = strings.ToLower(strings.TrimRight(body[:i], " \t"))
			section[key] = strings.TrimLeft(body[i+1:], " \t")
		}
	}
	return nil
}

// resolve puts values in place of their names, as %(name)s.
func (r *Repositories) resolve() (*Repositories, error) {
	def := r.sections[defaultSection]
	resolved := map[string]map[string]string{defaultSection: def}
	for name, s := range r.sections {
		if name == defaultSection {
			continue
		}
		out := make(map[string]string)
		for _, key := range []string{"location", "aliases"} {
			raw, ok := s[key]
			if !ok && key != "location" { // one for all is that of none
				raw = def[key]
			}
			v, err := interpolate(raw, 0, func(k string) (string, bool) {
				if v, ok := s[k]; ok {
					return v, true
				}
				v, ok := def[k]
				return v, ok
			})
			if err != nil {
				return nil, fmt.Errorf("repos.conf: [%s]: %s: %w", name, key, err)
			}
			out[key] = v
		}
		if out["location"] != "" {
			out["location"] = filepath.Clean(out["location"])
		}
		resolved[name] = out
	}
	r.sections, r.Main = resolved, def["main-repo"]
	return r, nil
}

// interpolate does what configparser's BasicInterpolation does.
func interpolate(s string, depth int, value func(string) (string, bool)) (string, error) {
	if depth == maxDepth {
		return "", fmt.Errorf("%q: names within names without end", s)
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "%")
		b.WriteString(before)
		switch {
		case !found:
			return b.String(), nil
		case strings.HasPrefix(rest, "%"):
			b.WriteByte('%')
			s = rest[1:]
			continue
		case !strings.HasPrefix(rest, "("):
			return "", fmt.Errorf("%q: %% is followed by neither %% nor (", s)
		}
		key, after, ok := strings.Cut(rest[1:], ")s")
		raw, known := value(strings.ToLower(key))
		if !ok || !known {
			return "", fmt.Errorf("%q: there is no value for it", "%"+rest)
		}
		v, err := interpolate(raw, depth+1, value)
		if err != nil {
			return "", err
		}
		if b.Len()+len(v) > maxFile {
			return "", fmt.Errorf("%q: too long", s)
		}
		b.WriteString(v)
		s = after
	}
}
