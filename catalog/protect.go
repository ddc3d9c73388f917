package catalog

import (
	"cmp"
	"strings"
)

// A protection is what packages that cannot be known may want. Its values are
// those packages, as Owner.String spells them.
type protection struct {
	names map[Name]string
	// owners are packages, or directories of packages, with their repository,
	// and packages the same without it.
	owners, packages map[string]string
	// repos are the repositories that were scanned.
	repos map[string]bool
}

func (t *protection) add(p *Problem) {
	if p.Scope != OnePackage {
		return
	}
	if t.names == nil {
		t.names, t.owners, t.packages = make(map[Name]string), make(map[string]string), make(map[string]string)
	}
	who := p.Owner().String()
	for _, n := range p.Names {
		t.names[n] = cmp.Or(t.names[n], who)
	}
	t.owners[who] = who
	t.packages[p.Package] = cmp.Or(t.packages[p.Package], who)
}

// Protected reports whether a package that cannot be known may want what is
// recorded under name, with owner, which is spelt as Owner.String does, as the
// last package that was known to want it.
func (c *Catalog) Protected(name Name, owner string) bool { return c.Protector(name, owner) != "" }

// Protector returns the package that cannot be known and because of which a record
// is [Catalog.Protected], or "".
func (c *Catalog) Protector(name Name, owner string) string {
	t := &c.protected
	if len(t.owners) == 0 {
		return ""
	}
	return cmp.Or(t.names[name], t.owns(owner))
}

// owns returns the package that cannot be known and owns what owner did. Where only
// the directory of a package is known, cat/pn owns cat/pn-1, cat/port owns
// cat/port,-main, and recipe owns recipe/1.0. A repository that was not scanned may
// be one of those that were, by its former name, and so may that of an owner without
// one, as other programs know owners.
func (t *protection) owns(owner string) string {
	pkg, repo, _ := strings.Cut(owner, "::")
	find := func(p string) string {
		if t.repos[repo] {
			return t.owners[p+"::"+repo]
		}
		return t.packages[p]
	}
	if who := find(pkg); who != "" {
		return who
	}
	for i := 1; i < len(pkg); i++ {
		switch version := i+1 < len(pkg) && '0' <= pkg[i+1] && pkg[i+1] <= '9'; {
		case pkg[i] == ',', pkg[i] == '/', pkg[i] == '-' && version:
			if who := find(pkg[:i]); who != "" {
				return who
			}
		}
	}
	return ""
}
