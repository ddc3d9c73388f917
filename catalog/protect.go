package catalog

import "strings"

// A protection is what packages that cannot be known may want.
type protection struct {
	names map[Name]bool
	// owners are packages, or directories of packages, with their repository.
	owners map[string]bool
}

func (t *protection) add(p *Problem) {
	if p.Scope != OnePackage {
		return
	}
	if t.names == nil {
		t.names, t.owners = make(map[Name]bool), make(map[string]bool)
	}
	for _, n := range p.Names {
		t.names[n] = true
	}
	t.owners[p.Owner().String()] = true
}

// Protected reports whether a package that cannot be known may want what is
// recorded under name, with owner, which is spelt as Owner.String does, as the
// last package that was known to want it.
func (c *Catalog) Protected(name Name, owner string) bool {
	t := &c.protected
	if len(t.owners) == 0 {
		return false
	}
	return t.names[name] || t.owns(owner)
}

// owns reports whether owner cannot be known. Where only the directory of a
// package is known, cat/pn owns cat/pn-1, cat/port owns cat/port,-main, and
// recipe owns recipe/1.0.
func (t *protection) owns(owner string) bool {
	if t.owners[owner] {
		return true
	}
	pkg, repo, ok := strings.Cut(owner, "::")
	for i := 1; ok && i < len(pkg); i++ {
		switch version := i+1 < len(pkg) && '0' <= pkg[i+1] && pkg[i+1] <= '9'; {
		case pkg[i] == ',', pkg[i] == '/', pkg[i] == '-' && version:
			if t.owners[pkg[:i]+"::"+repo] {
				return true
			}
		}
	}
	return false
}
