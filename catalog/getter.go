package catalog

import (
	"context"
	"errors"
	"io"
	"time"
)

// A Version says which content of a URL is at hand.
type Version struct {
	Size      int64     `json:"size"`
	Validator string    `json:"validator,omitempty"`
	ModTime   time.Time `json:"mtime,omitzero"`
}

// ErrUnchanged means that a URL still has the content that was named.
var ErrUnchanged = errors.New("content has not changed")

// ErrRefused means that an upstream answered, and that what it answered is not
// the file.
var ErrRefused = errors.New("the upstream does not give the file")

// ErrTrouble stands beside ErrRefused when the upstream said that it is in
// trouble, so that it may give the file later.
var ErrTrouble = errors.New("the upstream is in trouble")

// A Getter obtains files of an upstream. It is safe for concurrent use.
type Getter interface {
	// Get writes the content of url to what start returns; start is called
	// again when Get begins anew. More than most bytes are an error.
	//
	// The error must wrap ErrRefused when the upstream answered with anything
	// else than the file, and with it fs.ErrNotExist when it said that it has
	// no such file, or ErrTrouble. It must wrap ErrUnchanged, without a call of start, when
	// the upstream still has the content that have names.
	Get(ctx context.Context, url string, have Version, most int64, start func() (io.Writer, error)) (Version, error)
	// Close closes connections; the Getter can be used again.
	Close() error
}

// A Verifier checks the detached signature of data. See package keyring.
type Verifier interface {
	Verify(data io.Reader, sig []byte) (signer string, err error)
}
