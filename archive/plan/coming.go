package plan

import (
	"net/url"
	"strings"

	"distkeep/archive/layout"
)

// Coming counts what is to be fetched, and the hosts that are asked first.
func (p *Plan) Coming() (c layout.Count, hosts int) {
	seen := make(map[string]bool)
	for _, f := range p.Fetches {
		c.Add(f.Size())
		for _, s := range f.Sources() {
			text := s.URI
			if len(s.Bases) > 0 {
				text = s.Bases[0]
			}
			if u, err := url.Parse(text); err == nil && u.Host != "" && u.Scheme != "mirror" {
				seen[strings.ToLower(u.Hostname())] = true
				break
			}
		}
	}
	return c, len(seen)
}
