package openbsd

import (
	"path"

	"distkeep/catalog"
)

var _ catalog.Local = (*Repository)(nil)

// Reads returns where Scan looks: in the dump, and anywhere in the tree.
func (r *Repository) Reads() (places []catalog.Place, ok bool) {
	if r.o.Dump == "" || r.o.Dump == "-" {
		return nil, false
	}
	return []catalog.Place{{Path: r.o.Dump}, {Path: r.path, Skip: func(rel string) bool {
		base := path.Base(rel)
		return base == ".git" || base == "CVS"
	}}}, true
}
