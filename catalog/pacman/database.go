package pacman

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A Database is one parsed repository database.
type Database struct {
	// Repo, Arch and Dir say where the database belongs: its repository, its
	// architecture, and the directory, relative to the base of the
	// repositories, that clients find it and its packages in. A Repository
	// sets them; ParseDatabase alone cannot know them.
	Repo, Arch, Dir string
	// File is the name that it was read by.
	File string
	// Size and SHA256 are those of the file as it was read, so that a caller
	// can make sure that what it publishes is what was parsed.
	Size   int64
	SHA256 digest.Digest
	// Compression is that of the file, whatever its name says.
	Compression Compression
	// Entries counts the package directories of the database; it exceeds the
	// number of Packages by those that could not be understood.
	Entries int
	// Packages are in the order of the database.
	Packages []Package
}

// Location returns where the database belongs.
func (db *Database) Location() Location { return Location{db.Repo, db.Arch, db.Dir} }

// MaxDatabase is how long a database may be: libalpm downloads no more.
const MaxDatabase = 128 << 20

// Further bounds of a database.
const (
	maxUnpacked = 2 << 30  // 16 times MaxDatabase; real databases grow 7 to 14 times
	maxEntries  = 500_000  // members; a package has two or three, Arch Linux some 15,000 packages
	maxDesc     = 1 << 20  // libalpm reads lines of at most 512 KiB
	maxSigned   = 64 << 20 // of all signatures: equal ones compress to nothing; Arch Linux has 8 MiB
)

type limits struct {
	packed, unpacked int64
	entries          int
	desc, signed     int64
}

// ParseDatabase reads a database as repo-add writes it (alpm-repo-db(7)): a tar
// archive with a directory for each package and a desc in it. A .files database
// is read as well; its lists of files are skipped. The compression (gzip, xz,
// zstd, bzip2 or none) is found by content, never by name.
//
// What is wrong with single entries is in the problems, whose File is
// "file(entry/desc)"; a package is missing from the result unless the problem
// says that it is kept. An error, which begins with file, means that the
// database cannot be used at all: it is damaged, cut short, no database, or
// beyond the bounds of size, unpacked size and number of entries.
func ParseDatabase(file string, r io.Reader) (*Database, []catalog.Problem, error) {
	db, problems, err := parseDatabase(file, r, limits{MaxDatabase, maxUnpacked, maxEntries, maxDesc, maxSigned})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return db, problems, nil
}

func parseDatabase(file string, r io.Reader, lim limits) (*Database, []catalog.Problem, error) {
	hash := digest.NewHasher()
	packed := &bounded{r: io.TeeReader(r, hash), max: lim.packed, what: "file"}
	br := bufio.NewReaderSize(packed, 64<<10)
	c, err := sniff(br)
	if err != nil {
		return nil, nil, err
	}
	z, release, err := decompress(c, br)
	defer release()
	if err != nil {
		return nil, nil, packedError(c, err)
	}
	unpacked := &bounded{r: z, max: lim.unpacked, what: "what it unpacks to"}

	s := &scanner{
		db:      &Database{File: file, Compression: c},
		entries: make(map[string]bool),
		lim:     lim,
	}
	if err := s.read(tar.NewReader(unpacked)); err != nil {
		return nil, nil, packedError(c, err)
	}
	// What follows the archive holds the compressor's checksums. All of the
	// decompressors read up to the end of the file, so that the digest is that
	// of the whole file.
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return nil, nil, packedError(c, err)
	}
	// archive/tar is content with an archive that just ends after a member.
	if unpacked.zeros < 512 {
		return nil, nil, errors.New("cut short: the tar archive has no end marker")
	}
	s.finish()
	s.db.Size = hash.Size()
	s.db.SHA256 = hash.Sum().Get(digest.SHA256)
	return s.db, s.problems, nil
}

var errNoDatabase = errors.New("neither a tar archive nor compressed with gzip, xz, zstd or bzip2: is it an error page?")

// packedError adds what a person needs to see what kind of file this is.
func packedError(c Compression, err error) error {
	switch {
	case errors.Is(err, tar.ErrHeader) && c == None:
		return errNoDatabase
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("cut short: %w", io.ErrUnexpectedEOF)
	}
	if c == None {
		return err
	}
	return fmt.Errorf("%s: %w", c, err)
}

// A scanner collects the packages of one database.
type scanner struct {
	db       *Database
	problems []catalog.Problem
	entries  map[string]bool // directory to whether its desc was seen
	order    []string
	signed   int64 // bytes of signatures so far
	lim      limits
}

func (s *scanner) problem(dir string, line int, format string, args ...any) {
	s.problems = append(s.problems, catalog.Problem{
		Package: dir,
		Scope:   catalog.OnePackage,
		File:    s.db.File + "(" + dir + "/desc)",
		Line:    line,
		Msg:     fmt.Sprintf(format, args...),
	})
}

func (s *scanner) read(tr *tar.Reader) error {
	for n := 0; ; n++ {
		h, err := tr.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case n == s.lim.entries:
			return fmt.Errorf("more than %d members", s.lim.entries)
		}
		name := strings.TrimPrefix(h.Name, "./")
		dir, base, isBelow := strings.Cut(strings.TrimSuffix(name, "/"), "/")
		if name == "" || !isBelow && h.Typeflag != tar.TypeDir {
			continue // a file beside the packages: libalpm ignores it too
		}
		if _, err := catalog.ParseName(dir); err != nil {
			s.problems = append(s.problems, catalog.Problem{File: s.db.File, Msg: fmt.Sprintf("entry %.80q is no package directory", h.Name)})
			s.db.Entries++
			continue
		}
		if _, known := s.entries[dir]; !known {
			dir = strings.Clone(dir)
			s.entries[dir] = false
			s.order = append(s.order, dir)
		}
		if base != "desc" {
			continue // depends, files, links and whatever comes
		}
		if err := s.desc(dir, h, tr); err != nil {
			return err
		}
	}
}

// desc reads one desc. Its error is that of the archive.
func (s *scanner) desc(dir string, h *tar.Header, r io.Reader) error {
	if s.entries[dir] {
		s.problem(dir, 0, "second desc of one directory; the first is kept")
		return nil
	}
	s.entries[dir] = true
	switch {
	case h.Typeflag != tar.TypeReg:
		s.problem(dir, 0, "desc is not a regular file")
		return nil
	case h.Size > s.lim.desc:
		s.problem(dir, 0, "desc of %d bytes is larger than %d", h.Size, s.lim.desc)
		return nil
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	p, err := parseDesc(string(text))
	if de := (*descError)(nil); errors.As(err, &de) {
		s.problem(dir, de.line, "%s", de.msg)
		return nil
	}
	if p.ID() != dir {
		// libalpm complains and takes the package by the directory's name;
		// which file is wanted is not in doubt.
		s.problem(dir, 0, "desc is that of %s; the package is kept", p.ID())
	}
	if s.signed += int64(len(p.PGPSig)); s.signed > s.lim.signed {
		return fmt.Errorf("signatures of more than %d bytes in all", s.lim.signed)
	}
	s.db.Packages = append(s.db.Packages, p)
	return nil
}

// finish reports the directories without a desc.
func (s *scanner) finish() {
	s.db.Entries += len(s.order)
	for _, dir := range s.order {
		if !s.entries[dir] {
			s.problem(dir, 0, "directory has no desc")
		}
	}
}
