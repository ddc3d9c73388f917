package pacman

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unique"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A Package is one package of a database. Only what is needed to mirror it is
// kept.
type Package struct {
	// Name and Version are NAME and VERSION: the version with its epoch and
	// release. Neither is empty, and neither has a slash or a control byte.
	Name, Version string
	// Arch is ARCH, "any" included; empty when the entry has none.
	Arch string
	// Filename is what the package is published as: a ".pkg.tar" name of one
	// component, which never begins with a dot and never is a signature, so
	// that no package can take the name of a database.
	Filename catalog.Name
	// Packager is PACKAGER, or empty.
	Packager string
	// CSize is the length of the package file, or -1 where the entry has no
	// CSIZE.
	CSize int64
	// SHA256 and MD5 are those of the package file; either may be zero.
	// pacman 7 no longer writes MD5SUM.
	SHA256, MD5 digest.Digest
	// PGPSig is the decoded detached signature of the package file. It is nil
	// when the database has none inline; then clients that want a signature
	// ask for Filename + ".sig" beside the package.
	PGPSig []byte
}

// ID returns NAME-VERSION, as pacman's users write a package.
func (p *Package) ID() string { return p.Name + "-" + p.Version }

// Digests returns what a download is verified by: SHA256, or MD5 where there
// is nothing better. The set is empty when the entry has neither.
func (p *Package) Digests() digest.Set {
	switch {
	case !p.SHA256.IsZero():
		return digest.Set{p.SHA256}
	case !p.MD5.IsZero():
		return digest.Set{p.MD5}
	}
	return nil
}

// weak reports whether the database does not prove the content: it has no
// SHA256SUM.
func (p *Package) weak() bool { return p.SHA256.IsZero() }

// A descError is a defect of a desc. Line is 0 when no line is to blame.
type descError struct {
	line int
	msg  string
}

func (e *descError) Error() string { return e.msg }

// descValues holds the values of the keys that matter, and their lines.
type descValues struct {
	one  map[string]string
	line map[string]int
}

// MaxSignature bounds a detached signature, such as a decoded PGPSIG. pacman downloads
// at most 16 KiB of a signature; keys of the future may need more.
const MaxSignature = 64 << 10

// parseDesc reads the text of one desc as libalpm does (sync_db_read in
// be_sync.c): a key line, then either one line of value or a list that a blank
// line ends. Unknown keys are skipped line by line. A key that occurs twice is
// an error, because readers disagree on which one counts.
func parseDesc(text string) (Package, error) {
	v, err := readDesc(text)
	if err != nil {
		return Package{}, err
	}
	p := Package{CSize: -1}
	for _, f := range []struct {
		key      string
		required bool
		set      func(string) error
	}{
		{"NAME", true, func(s string) error { return setWord(&p.Name, s) }},
		{"VERSION", true, func(s string) error { return setWord(&p.Version, s) }},
		{"ARCH", false, func(s string) error { return setWord(&p.Arch, s) }},
		{"FILENAME", true, p.setFilename},
		{"CSIZE", false, p.setCSize},
		{"SHA256SUM", false, func(s string) error { return setDigest(&p.SHA256, digest.SHA256, s) }},
		{"MD5SUM", false, func(s string) error { return setDigest(&p.MD5, digest.MD5, s) }},
		{"PGPSIG", false, p.setPGPSig},
		{"PACKAGER", false, p.setPackager},
	} {
		s, ok := v.one[f.key]
		switch {
		case !ok && f.required:
			return Package{}, &descError{0, "desc has no %" + f.key + "%"}
		case !ok:
			continue
		}
		if err := f.set(s); err != nil {
			return Package{}, &descError{v.line[f.key], "bad %" + f.key + "%: " + err.Error()}
		}
	}
	return p, nil
}

// readDesc finds the values. It knows every key that libalpm knows, and whether
// that takes one line or all up to a blank one: what pacman takes for a value
// must not be a key here.
func readDesc(text string) (descValues, error) {
	v := descValues{make(map[string]string), make(map[string]int)}
	n := 0
	next := func() (line string, ok bool) {
		if text == "" {
			return "", false
		}
		line, text, _ = strings.Cut(text, "\n")
		n++
		return line, true
	}
	for {
		line, ok := next()
		if !ok {
			return v, nil
		}
		key, isKey := keyOf(line)
		if !isKey {
			continue
		}
		switch key {
		case "NAME", "VERSION", "ARCH", "FILENAME", "CSIZE", "SHA256SUM", "MD5SUM", "PGPSIG":
			if _, twice := v.one[key]; twice {
				return v, &descError{n, "%" + key + "% occurs twice"}
			}
			value, ok := next()
			if !ok {
				return v, &descError{n, "%" + key + "% has no value: the desc is cut short"}
			}
			v.one[key], v.line[key] = value, n
		case "PACKAGER":
			// Nothing depends on it, so that it may occur twice.
			v.one[key], _ = next()
		case "BASE", "DESC", "URL", "BUILDDATE", "ISIZE":
			next()
		case "GROUPS", "LICENSE", "REPLACES", "DEPENDS", "OPTDEPENDS", "MAKEDEPENDS", "CHECKDEPENDS", "CONFLICTS", "PROVIDES", "FILES":
			for line, ok := next(); ok && line != ""; line, ok = next() {
			}
		}
	}
}

// keyOf returns KEY of a line %KEY%.
func keyOf(line string) (key string, ok bool) {
	if len(line) < 3 || line[0] != '%' || line[len(line)-1] != '%' {
		return "", false
	}
	return line[1 : len(line)-1], true
}

// setWord accepts what is safe in a path, a report and a log line.
func setWord(dst *string, s string) error {
	if _, err := catalog.ParseName(s); err != nil {
		return err
	}
	*dst = strings.Clone(s) // s is a part of the whole desc
	return nil
}

func (p *Package) setFilename(s string) error {
	n, err := catalog.ParseName(s)
	switch {
	case err != nil:
		return err
	case s[0] == '.':
		return fmt.Errorf("%q begins with a dot", s) // libalpm refuses it too
	case !strings.Contains(s, ".pkg.tar") || strings.HasSuffix(s, ".sig"):
		// makepkg refuses any other PKGEXT. Without this check a package
		// could be called core.db.
		return fmt.Errorf("%q is not the name of a .pkg.tar file", s)
	}
	p.Filename = catalog.Name(strings.Clone(string(n)))
	return nil
}

// setPackager keeps each packager once: few people have built all packages.
func (p *Package) setPackager(s string) error {
	p.Packager = unique.Make(strings.Clone(s)).Value()
	return nil
}

func (p *Package) setCSize(s string) error {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not the size of a file", s)
	}
	p.CSize = int64(n)
	return nil
}

func setDigest(dst *digest.Digest, a digest.Algorithm, s string) (err error) {
	*dst, err = digest.Parse(a, s)
	return err
}

func (p *Package) setPGPSig(s string) (err error) {
	if base64.StdEncoding.DecodedLen(len(s)) > MaxSignature {
		return fmt.Errorf("signature is longer than %d bytes", MaxSignature)
	}
	p.PGPSig, err = base64.StdEncoding.DecodeString(s)
	switch {
	case err != nil:
		return fmt.Errorf("signature is not base64: %w", err)
	case len(p.PGPSig) == 0:
		return fmt.Errorf("signature is empty")
	}
	return nil
}
