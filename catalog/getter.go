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

// A Getter obtains files of an upstream. It is safe for concurrent use.
type Getter interface {
	// Get writes the content of url to what start returns; start is called
	// again when Get begins anew. More than most bytes are an error.
	//
	// The error must wrap fs.ErrNotExist when the upstream answered that it
	// has no such file, fs.ErrPermission when it does not let us have it, and
	// ErrUnchanged, without a call of start, when it still has the content
	// that have names.
	Get(ctx context.Context, url string, have Version, most int64, start func() (io.Writer, error)) (Version, error)
	// Close lets go of connections; the Getter can be used again.
	Close() error
}

// A Verifier checks the detached signature of data. See package keyring.
type Verifier interface {
	Verify(data io.Reader, sig []byte) (signer string, err error)
}
