package gentoo

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// The masters of a tree are the repositories that it builds upon: their mirror
// groups and categories are its own as well.
type masters struct {
	categories []string
	// absent are the names of those that are not at hand.
	absent []string
	// listed is set when all of them are at hand and list their categories, and
	// so do their masters: then what no list has is no category.
	listed bool
}

// readMasters reads what the scan needs of them. What cannot be read is a problem of
// the tree.
func (t *tree) readMasters() (m masters) {
	r := t.repo
	at := map[string]bool{r.name: true, r.layout.name: true}
	// A tree that does not say may have one that is not at hand.
	m.listed = r.layout.masters != nil || len(r.opts.Masters) > 0
	var theirs []string
	for _, path := range r.opts.Masters {
		o, err := Open(path, Options{})
		var cats []string
		ok := false
		if err == nil {
			cats, ok, err = o.categories()
		}
		if err != nil {
			t.problem("", fmt.Sprintf("repository %s: %v", path, err))
		}
		m.categories = append(m.categories, cats...)
		m.listed = m.listed && ok
		if o != nil {
			at[o.name] = true
			theirs = append(theirs, o.layout.masters...)
		}
	}
	for _, name := range r.layout.masters {
		if !at[name] {
			m.absent = append(m.absent, name)
		}
	}
	m.listed = m.listed && len(m.absent) == 0 && !slices.ContainsFunc(theirs, func(name string) bool { return !at[name] })
	return m
}

// categories returns what profiles/categories lists. ok is false when there is no
// such file.
func (r *Repository) categories() (names []string, ok bool, err error) {
	root, err := os.OpenRoot(r.path)
	if err != nil {
		return nil, false, plain(err)
	}
	defer root.Close()
	return readCategories(root)
}

// undefined says why the mirror group has no mirrors, and what can be done. It is
// empty for a group that is skipped on purpose.
func (t *tree) undefined(group string) string {
	r := t.repo
	switch {
	case slices.Contains(r.opts.MirrorSkip, group):
		return ""
	case len(t.masters.absent) > 0:
		return fmt.Sprintf("%s does not define the mirror group %s, and its %s not at hand: give it with --master-repo", r.name, group, masterList(t.masters.absent, "is", "are"))
	case r.layout.masters == nil && len(r.opts.Masters) == 0:
		return fmt.Sprintf("%s does not define the mirror group %s, and names no master: give the main repository with --master-repo", r.name, group)
	case len(r.opts.Masters) > 0:
		return fmt.Sprintf("neither %s nor its %s the mirror group %s: define it with --mirror-override", r.name, masterList(r.masterNames(), "defines", "define"), group)
	}
	return fmt.Sprintf("%s does not define the mirror group %s, and has no master: define it with --mirror-override", r.name, group)
}

// masterList names masters with the verb that goes with them.
func masterList(names []string, one, many string) string {
	if len(names) == 1 {
		return "master " + names[0] + " " + one
	}
	return "masters " + strings.Join(names, ", ") + " " + many
}

// masterNames are the masters as the tree names them, or else by their paths.
func (r *Repository) masterNames() []string {
	if len(r.layout.masters) > 0 {
		return r.layout.masters
	}
	return r.opts.Masters
}
