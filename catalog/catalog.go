// Package catalog holds the words that all package trees share: names,
// distfiles, sources, problems, and the merged catalog of one run.
//
// The scanners of the single kinds of trees are in the packages below this
// one; each returns a [Scan], and [Merge] makes one [Catalog] of them.
package catalog

import (
	"context"
	"fmt"
	"time"

	"distkeep/catalog/digest"
)

// A Kind is a kind of repository.
type Kind string

// The kinds of repositories.
const (
	Gentoo  Kind = "gentoo"
	OpenBSD Kind = "openbsd"
	Pacman  Kind = "pacman"
	Sources Kind = "sources"
	Archive Kind = "archive"
)

// Base64 reports whether the packages of the kind ask for a content by the
// base64 spelling of its digest, in by_cipher and distinfo, beside the hex one.
func (k Kind) Base64() bool { return k == OpenBSD }

// A Repository is one package tree that can be scanned.
type Repository interface {
	// Name identifies the repository in owners, reports and the ledger. It
	// is stable from run to run.
	Name() string
	// Kind tells the format of the tree.
	Kind() Kind
	// Scan reads the whole tree. What is wrong with single packages is in
	// the Problems of the result. An error means that nothing can be said
	// about the tree at all: it is missing, or it is no tree of this kind.
	Scan(ctx context.Context) (*Scan, error)
}

// A Stamped is a Repository that knows by its files what has not changed since an
// earlier scan. Only one whose Scan.Stamped is not 0 need be a Stamped.
type Stamped interface {
	Repository
	// FullScan is Scan, but reads everything. It may be called after Scan.
	FullScan(ctx context.Context) (*Scan, error)
}

// A Scan is the result of scanning one repository.
type Scan struct {
	// Repo and Kind are those of the repository.
	Repo string
	Kind Kind
	// Packages counts the units that were read: ebuilds, pkgpaths or
	// package entries, those with problems included.
	Packages int
	// Stamped counts those of their directories that were not read, because none of
	// their files has changed since an earlier scan.
	Stamped int
	// ReadAgain is when a scan reads those again, if there are any.
	ReadAgain time.Time
	// Unreferenced counts checksum entries that no package wants.
	Unreferenced int
	// Distfiles are in the order of the tree. The same name may occur
	// several times, once a package or once a content: Merge joins them.
	Distfiles []*Distfile
	// Problems are the defects found, in the order of the tree.
	Problems []Problem
	// Notes say in a line each what the operator should know and need not
	// mend, such as how many entries were left out.
	Notes []string
	// Timestamp and Commit are as in RepoStats.
	Timestamp, Commit time.Time
	// Maintainers returns who looks after a package, see
	// [Catalog.Maintainers]. Nil means that the tree does not say. It may read
	// the tree: it is asked for packages in trouble alone.
	Maintainers func(pkg string) []string
}

// An Owner is a package that wants a distfile.
type Owner struct {
	// Repo is the name of the repository.
	Repo string
	// Package is the package as its users write it: category/name-version
	// for gentoo, the FULLPKGPATH for openbsd, name-version for pacman.
	Package string
}

// String returns Package::Repo.
func (o Owner) String() string { return o.Package + "::" + o.Repo }

// A Source is one place that a distfile can be fetched from.
type Source struct {
	// URI is as the tree spells it: https://host/path, mirror://NAME/path,
	// or a bare name that only a person can find.
	URI string
	// Bases are the base URLs behind a mirror:// URI, in the order of the
	// tree; empty when the group is not known or was skipped. The slice is
	// shared and must not be changed.
	Bases []string
	// Missing says why there are none although there should be, and what can be
	// done.
	Missing string
}

// A Restriction says why a distfile must not be mirrored. The zero value means
// that it may be.
type Restriction string

// The restrictions of trees.
const (
	// RestrictMirror is RESTRICT=mirror: fetchable, but not to be published.
	RestrictMirror Restriction = "mirror"
	// RestrictFetch is RESTRICT=fetch, or FETCH_MANUALLY: a person must
	// obtain the file.
	RestrictFetch Restriction = "fetch"
	// RestrictPermit is an openbsd PERMIT_* variable that does not say yes.
	RestrictPermit Restriction = "permit"
)

// A Distfile is a file that at least one package wants. It is not changed once
// Merge has returned it.
type Distfile struct {
	// Name is what the file is published as, unless Unnamed says that no
	// package asks for it by name: then it is archived by content only, and
	// the last component of Name is that of its path.
	Name    Name
	Unnamed bool
	// Size is the length in bytes, or -1 where the tree does not say.
	Size int64
	// Digests are all that the tree says about the content. They may be
	// empty or not verifiable; such a file is kept, but never fetched.
	Digests digest.Set
	// Sources are in the order in which the tree names them.
	Sources []Source
	// Owners are in the order of the tree; the first keeps the name.
	Owners []Owner
	// Restrict is set when no owner allows the file to be mirrored, with
	// Reason, where the tree has one, in the words of the tree.
	Restrict Restriction
	Reason   string
	// Kind is that of the first owner's repository. It decides the spelling
	// of the digest in by_cipher and distinfo.
	Kind Kind
}

// byHand reports whether d may be published once a person has obtained it: by the
// PMS, fetch implies mirror, and elsewhere it does not.
func (d *Distfile) byHand() bool {
	return d.Restrict == "" || d.Restrict == RestrictFetch && d.Kind != Gentoo
}

// FirstOwner is the package that keeps the name, or "the catalog" where none is
// known.
func (d *Distfile) FirstOwner() string {
	if len(d.Owners) == 0 {
		return "the catalog"
	}
	return d.Owners[0].String()
}

// Same tells how d and o relate as contents: by size and by digests.
func (d *Distfile) Same(o *Distfile) digest.Relation {
	if d.Size >= 0 && o.Size >= 0 && d.Size != o.Size {
		return digest.Different
	}
	return d.Digests.Compare(o.Digests)
}

// A Scope says how much a problem makes unknown.
type Scope int

// The scopes of problems.
const (
	// WholeTree: what the tree wants cannot be known. The catalog is not
	// complete then, and nothing is deleted.
	WholeTree Scope = iota
	// OnePackage: a single package cannot be known. What it may want is
	// protected; everything else goes on.
	OnePackage
)

// A Problem is a defect of a tree that does not end its scan.
type Problem struct {
	// Repo is the repository, Package the package if the defect is one
	// package's alone.
	Repo    string
	Package string
	// Scope says what is unknown because of it.
	Scope Scope
	// Names, which is shared and must not be changed, are what a package
	// that cannot be known may want.
	Names []Name
	// File is the path of the offending file, Line its line if known.
	File string
	Line int
	// Msg says what is wrong and, where that is not obvious, what to do.
	Msg string
}

// Owner is the package that the problem is of.
func (p *Problem) Owner() Owner { return Owner{p.Repo, p.Package} }

// Error returns "file:line: package: message".
func (p Problem) Error() string {
	s := p.Msg
	if p.Package != "" {
		s = p.Package + ": " + s
	}
	return p.place() + s
}

// Reason returns the same without the package.
func (p *Problem) Reason() string { return p.place() + p.Msg }

func (p *Problem) place() string {
	switch {
	case p.File != "" && p.Line > 0:
		return fmt.Sprintf("%s:%d: ", p.File, p.Line)
	case p.File != "":
		return p.File + ": "
	}
	return ""
}
