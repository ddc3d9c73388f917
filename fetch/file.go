package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

// A fileTransport reads files of this machine. URIs of trees are untrusted, so
// the scheme must have been allowed.
type fileTransport struct{}

var _ transport = fileTransport{}

func (fileTransport) open(_ context.Context, u *url.URL, from resume) (*body, error) {
	// Without O_NONBLOCK a FIFO would wait for a writer.
	f, err := os.OpenFile(u.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &statusError{code: http.StatusNotFound, text: "no such file", method: "file: "}
	case errors.Is(err, fs.ErrPermission):
		return nil, &statusError{code: http.StatusForbidden, text: "permission denied", method: "file: "}
	case err != nil:
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &statusError{code: http.StatusNotFound, text: "no regular file", method: "file: "}
	}
	if err == nil && from.offset > fi.Size() {
		err = &rangeError{"the file is shorter than the .part"}
	}
	if err == nil {
		_, err = f.Seek(from.offset, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &body{ReadCloser: f, offset: from.offset, size: fi.Size(), final: u, clean: true}, nil
}
