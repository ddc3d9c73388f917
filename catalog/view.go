package catalog

import (
	"io"
	"time"
)

// A Viewer is a Repository that is published as directories as well, in the
// form that its clients expect: files under their names, and index files that
// name them. An archive publishes an index only when everything it names can
// be had.
type Viewer interface {
	Repository
	// Views returns the directories that the last successful Scan found.
	Views() []*View
	// Named returns the distfiles that a published index of View.Names names.
	Named(index string) ([]*Distfile, error)
}

// A View is one directory of the published tree.
type View struct {
	// Dir is the directory relative to the published tree: a path that
	// ParsePath accepts. Several views may share it.
	Dir string
	// Pool, if it is not empty, is another such directory, which has the
	// distfiles and what is beside them: Dir has relative symbolic links to
	// them. Several views may share it.
	Pool string
	// Links are the distfiles that Index names.
	Links []ViewLink
	// Index are the files that are put into place when all of Links are
	// there, in this order. There is at least one; the last, Names, is the
	// one that names the distfiles.
	Index []IndexFile
	// Blocked says why Index must not be published although its distfiles may
	// be there; empty otherwise.
	Blocked string
	// CheckID names what the Checks of Links depend on: when it is not that
	// of the last publication, all links are checked again. It is empty when
	// nothing is checked.
	CheckID string
	// Suffix is what the name of a small file beside a distfile has in
	// addition to that of the distfile.
	Suffix string
}

// Names is the index file that names the distfiles.
func (v *View) Names() *IndexFile { return &v.Index[len(v.Index)-1] }

// A ViewLink is one distfile in a View.
type ViewLink struct {
	*Distfile
	// Beside is a small file that appears together with the distfile, such as
	// its signature, or nil.
	Beside *SmallFile
	// Check, if set, is given the content before it is linked for the first
	// time. Its error says why the content must not be published.
	Check func(content io.Reader) error
}

// A SmallFile is a file of at most some KiB.
type SmallFile struct {
	// Data is the content; when it is nil, Path names a file that has it.
	Data []byte
	Path string
}

// An IndexFile is one file of the index of a View.
type IndexFile struct {
	Name Name
	// Path names the file that is to be published, with its size and SHA-256.
	Path   string
	Size   int64
	SHA256 string
	// ModTime is the modification time that the published file gets: clients
	// ask whether there is a newer one.
	ModTime time.Time
}
