package sources

import (
	"cmp"
	"strings"

	"distkeep/catalog/digest"
)

// parseConan reads the sources of a conandata.yml: below each version a mapping
// with url and digests, or several of them, in lists or below names of systems.
func parseConan(p *parser) error {
	root, err := parseYAML(p.file, string(p.data))
	if err != nil {
		return err
	}
	recipe := cmp.Or(recipeOf(p.path), p.repo)
	versions := root.get("sources")
	for i, v := range versions.values() {
		if err := p.addConan(v, recipe+"/"+versions.keys[i]); err != nil {
			return err
		}
	}
	return nil
}

// addConan adds the sources at n and below it.
func (p *parser) addConan(n *yamlNode, owner string) error {
	if n.get("url") == nil {
		for _, below := range n.below() {
			if err := p.addConan(below, owner); err != nil {
				return err
			}
		}
		return nil
	}
	e := &entry{size: -1, owner: owner, uris: n.get("url").scalars(), line: n.line}
	var ds []digest.Digest
	for i, v := range n.values() {
		a, known := digest.ParseAlgorithm(strings.ToUpper(n.keys[i]))
		if !known {
			continue
		}
		d, err := digest.Parse(a, v.scalar)
		if err != nil {
			p.reject(e, "%v", err)
			return nil
		}
		ds = append(ds, d)
	}
	if len(ds) == 0 || len(e.uris) == 0 {
		p.skip("without a digest, such as a checkout of git")
		return nil
	}
	var ok bool
	if e.digests, ok = digest.NewSet(ds...); !ok {
		p.reject(e, "two digests of one algorithm")
		return nil
	}
	return p.add(e)
}
