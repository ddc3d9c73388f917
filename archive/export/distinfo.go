package export

import (
	"io"

	"distkeep/archive/history"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
)

// WriteDistinfo writes distinfo beside the distfiles, unless it is true already.
func WriteDistinfo(v *vault.Vault) error {
	_, err := history.WriteFileIfChanged(v.Store.Path("distinfo"), v.Store.PartsDir(), distinfo(v), v.Store.Replace)
	return err
}

// HasDistinfo reports whether distinfo is what WriteDistinfo writes.
func HasDistinfo(v *vault.Vault) bool {
	is, err := history.IsContent(v.Store.Path("distinfo"), distinfo(v))
	return is && err == nil
}

// distinfo returns what writes the distinfo of v.
func distinfo(v *vault.Vault) func(w io.Writer) error {
	lines := Distinfo(v)
	return func(w io.Writer) error { return history.WriteDistinfo(w, lines) }
}

// Distinfo lists what is published, by the paths of the first layout, so that
// sha256sum -c can be run in the published tree.
func Distinfo(v *vault.Vault) []history.Line {
	first := v.Store.Layouts()[0]
	lines := make([]history.Line, 0, len(v.Index.Distfiles))
	for _, d := range v.Index.Distfiles {
		if p := d.Path(first); d.Named && p != "" {
			lines = append(lines, Line(d, catalog.Name(p)))
		}
	}
	return lines
}

// Line is the line of d under a name.
func Line(d *ledger.Distfile, name catalog.Name) history.Line {
	return history.Line{Name: name, SHA256: d.SHA256(), Base64: d.Kind.Base64()}
}
