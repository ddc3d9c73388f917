package vault

import (
	"errors"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
)

var (
	// ErrLocked is store.ErrLocked: another run holds the archive.
	ErrLocked = store.ErrLocked
	// ErrNoArchive means that there is no archive where one was expected.
	ErrNoArchive = errors.New("no archive here")
	// errBroken marks what Damage was given.
	errBroken = errors.New("archive is damaged or full")
)

// Broken reports whether err says that the file system or the ledger of an
// archive is full or damaged. Every other error is for a person to put right who
// looks at what was asked for.
func Broken(err error) bool {
	is := func(e error) bool { return errors.Is(err, e) }
	return is(errBroken) || is(ledger.ErrDamaged) || is(ledger.ErrStuck) || is(report.ErrDamaged) || store.Broken(err)
}

// Damage makes err one that Broken knows, and leaves its text as it is.
func Damage(err error) error {
	if err == nil {
		return nil
	}
	return damageError{err}
}

type damageError struct{ error }

func (d damageError) Unwrap() []error { return []error{d.error, errBroken} }

// A FileError is trouble with the files of one content. It ends nothing else.
type FileError struct {
	Of  *ledger.Distfile
	Err error
}

func (e *FileError) Error() string { return string(e.Of.Name) + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// contents returns what layouts see of records.
func contents(ds []*ledger.Distfile) []*layout.Content {
	cs := make([]*layout.Content, len(ds))
	for i, d := range ds {
		cs[i] = &d.Content
	}
	return cs
}
