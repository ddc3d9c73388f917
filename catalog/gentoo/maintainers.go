package gentoo

import (
	"bytes"
	"encoding/xml"
	"os"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// maxMetadata bounds a metadata.xml; the largest real one has 20 KiB.
const maxMetadata = 256 << 10

// maintainers returns the addresses that metadata.xml has for a package, which is
// given with or without its version. It reads the tree as it is now, and is silent
// about what it cannot read: it only adds to a report.
func (r *Repository) maintainers(pkg string) []string {
	cat, pn, _ := strings.Cut(pkg, "/")
	if name, _, ok := splitVersion(pn); ok {
		pn = name
	}
	if !validCategory(cat) || !validPackage(pn) {
		return nil
	}
	root, err := os.OpenRoot(r.path)
	if err != nil {
		return nil
	}
	defer root.Close()
	text, err := regular.ReadIn(root, cat+"/"+pn+"/metadata.xml", maxMetadata)
	if err != nil {
		return nil
	}
	return parseMetadataXML(text)
}

// parseMetadataXML returns the maintainers of a metadata.xml (GLEP 68), the name where
// one has no address. Of a broken file it returns what comes before.
func parseMetadataXML(text []byte) []string {
	d := xml.NewDecoder(bytes.NewReader(text))
	var people []string
	for {
		t, err := d.Token()
		if err != nil {
			return catalog.ParseMaintainers(strings.Join(people, ","))
		}
		e, ok := t.(xml.StartElement)
		if ok && e.Name.Local == "upstream" && d.Skip() != nil {
			continue // it has maintainers of its own
		}
		if !ok || e.Name.Local != "maintainer" {
			continue
		}
		var m struct {
			Email string `xml:"email"`
			Name  string `xml:"name"`
		}
		if d.DecodeElement(&m, &e) != nil {
			continue
		}
		if mail := strings.TrimSpace(m.Email); mail != "" {
			people = append(people, mail)
		} else if name := strings.TrimSpace(m.Name); name != "" {
			people = append(people, name)
		}
	}
}
