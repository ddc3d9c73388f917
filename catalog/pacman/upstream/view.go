package upstream

import (
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"

	"distkeep/catalog"
	"distkeep/catalog/pacman"
	"distkeep/catalog/regular"
)

// Views returns one view for each database that the last Scan read: its
// packages, their signatures, and the files of the database.
func (u *Repository) Views() []*catalog.View {
	var views []*catalog.View
	for _, db := range u.dbs {
		views = append(views, u.view(db))
	}
	return views
}

func (u *Repository) view(db *pacman.Database) *catalog.View {
	l := db.Location()
	v := &catalog.View{
		Dir: path.Join(u.o.At, l.Dir), Pool: u.o.pool(), Links: make([]catalog.ViewLink, 0, len(db.Packages)),
		Blocked: u.fault[l.Path(".db")], Suffix: signatureSuffix,
	}
	if u.o.Keyring != nil {
		v.CheckID = u.o.KeyringID
	}
	for _, ext := range indexExtensions {
		if f, ok := u.state.Files[l.Path(ext)]; ok {
			v.Index = append(v.Index, catalog.IndexFile{
				Name: catalog.Name(l.Repo + ext), Path: filepath.Join(u.dir, filepath.FromSlash(l.Path(ext))),
				Size: f.Size, SHA256: f.SHA256, ModTime: f.ModTime,
			})
		}
	}
	for i := range db.Packages {
		v.Links = append(v.Links, u.link(l, &db.Packages[i]))
	}
	return v
}

// link is one package of a view.
func (u *Repository) link(l pacman.Location, p *pacman.Package) catalog.ViewLink {
	link := catalog.ViewLink{Distfile: u.distfile(p)}
	key := signatureKey(p)
	switch {
	case p.PGPSig != nil:
		link.Beside = &catalog.SmallFile{Data: p.PGPSig}
	case u.sigs.have[key]:
		link.Beside = &catalog.SmallFile{Path: u.sigs.path(key)}
	}
	switch {
	case u.o.Keyring == nil:
	case link.Beside != nil:
		link.Check = func(content io.Reader) error { return u.checkPackage(p, link.Beside, content) }
	case !u.signed[l.Path(".db")]:
		link.Check = func(io.Reader) error { return errUnsigned }
	}
	return link
}

var errUnsigned = errors.New("neither the package nor its database is signed, and --keyring was given")

// checkPackage checks the signature of a package.
func (u *Repository) checkPackage(p *pacman.Package, f *catalog.SmallFile, content io.Reader) (err error) {
	sig := f.Data
	if sig == nil {
		if sig, err = regular.Read(f.Path, pacman.MaxSignature); err != nil {
			return err
		}
	}
	if _, err := u.o.Keyring.Verify(content, sig); err != nil {
		err = fmt.Errorf("signature of %s: %w", p.Filename, err)
		if f.Data == nil {
			err = errors.Join(err, u.sigs.refuse(signatureKey(p)))
		}
		return err
	}
	return nil
}

// distfile is a package as an index names it.
func (u *Repository) distfile(p *pacman.Package) *catalog.Distfile {
	return &catalog.Distfile{
		Name: p.Filename, Size: p.CSize, Digests: p.Digests(), Kind: catalog.Pacman,
		Owners: []catalog.Owner{{Repo: u.o.Name, Package: p.ID()}},
	}
}

// Named returns the packages of a published database.
func (u *Repository) Named(index string) ([]*catalog.Distfile, error) {
	f, err := regular.Open(index)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	db, _, err := pacman.ParseDatabase(index, f)
	if err != nil {
		return nil, err
	}
	ds := make([]*catalog.Distfile, len(db.Packages))
	for i := range db.Packages {
		ds[i] = u.distfile(&db.Packages[i])
	}
	return ds, nil
}
