package regular

import (
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Make makes the file at path, which must not be there, with data in it, and with the
// permissions perm less the umask from its first moment. It is not durable. On an error
// of writing there is no file.
func Make(path string, data []byte, perm fs.FileMode) error {
	// Not os.OpenFile: that asks whether the file can be waited for, and a file that is
	// written at once is not worth what an os.File costs.
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm.Perm()))
	})
	if err != nil {
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	for len(data) > 0 && err == nil {
		var n int
		if n, err = retry(func() (int, error) { return unix.Write(fd, data) }); err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		data = data[max(n, 0):]
	}
	if cerr := unix.Close(fd); err == nil && !errors.Is(cerr, unix.EINTR) {
		err = cerr
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: errors.Join(err, unix.Unlink(path))}
	}
	return nil
}

// retry calls f until no signal comes in between.
func retry(f func() (int, error)) (n int, err error) {
	for n, err = f(); err == unix.EINTR; n, err = f() {
	}
	return n, err
}
