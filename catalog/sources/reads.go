package sources

import "distkeep/catalog"

var _ catalog.Local = (*Repository)(nil)

// Reads returns where Scan looks, unless that is elsewhere, or depends on the time, as
// whether a signature is valid does.
func (r *Repository) Reads() (places []catalog.Place, ok bool) {
	if r.url || r.o.Path == "-" || r.o.Keyring != nil || r.o.At != "" {
		return nil, false
	}
	return []catalog.Place{{Path: r.o.Path}}, true
}
