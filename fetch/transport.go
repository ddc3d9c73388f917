package fetch

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
)

// A transport opens one URL that the guard has let pass. Implementations are
// safe for concurrent use and hold nothing open once the body is closed.
type transport interface {
	// open starts a transfer at from.offset, or at 0 if the server cannot
	// continue: body.offset says which. The context is that of the whole
	// transfer; when it ends, reads from the body fail.
	//
	// Errors are those that Classify knows. A *rangeError asks for another try
	// from 0, a *redirectError for one at another host, and a *completeError
	// says that there is nothing beyond from.offset.
	open(ctx context.Context, u *url.URL, from resume) (*body, error)
}

// resume says what is there already.
type resume struct {
	// offset is the length of what is there.
	offset int64
	// size is that of the whole file, or -1.
	size int64
	// validator is the server's own mark of the content that the bytes are of,
	// or empty. A server that has other content by now starts at 0.
	// With offset 0 the content is there already: a *completeError says that
	// it is what the server has.
	validator string
	// trip is the way on which the transport was reached; nil begins one.
	trip *trip
	// plain leaves out all that only improves a request.
	plain bool
	// scratch is for a transport that has a program write the file: it makes
	// the file that the program is to write, which begins with the offset bytes
	// that are there. Nil when no file is asked for. The file is the caller's:
	// it looks at what is in it after open, whether or not that has failed.
	scratch func() (*os.File, error)
	// grown is called by such a transport when n bytes more are in the scratch
	// file; its error ends the transfer.
	grown func(n int64) error
}

// A body is a transfer under way.
type body struct {
	io.ReadCloser
	// offset is that of the first byte, size that of the whole file, or -1.
	offset, size int64
	// clean tells that an end without error is the end of the file. Otherwise
	// it may as well be a lost connection.
	clean bool
	// final is the URL after redirects, header what the server said.
	final     *url.URL
	status    int
	header    http.Header
	validator string
	html      bool
	// end is that of the piece of the file that comes, where only a piece does.
	end int64
	// old tells that the answer was of HTTP/1.0, as net/http reads it: by the
	// letter, which the servers do not.
	old bool
	// secret tells that a password or a signature was sent, which the body may
	// repeat.
	secret bool
	// refusal is what is wrong with the answer if its bytes are not the file:
	// they are to be judged before it is.
	refusal error
}

// A redirectError sends a request to another host.
type redirectError struct{ to *url.URL }

func (e *redirectError) Error() string { return "redirected to " + redactFinal(e.to) }

// A completeError says that the server has no byte beyond offset.
type completeError struct{ offset int64 }

func (e *completeError) Error() string { return "nothing beyond what is there" }
