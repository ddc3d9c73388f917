package regular

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Replace makes what write writes the content of the file at path, atomically
// and durably: whoever reads it sees the old content or the new one, also after
// a power failure, and on an error the old one stays. Until then the new one is
// in temp, a directory of the same file system, or beside path if that is "".
//
// Permissions stay; a new file has 0644 less the umask. What is at path and no
// regular file, such as a symbolic link, is replaced by one.
func Replace(path, temp string, write func(w io.Writer) error) error {
	return replace(path, temp, 0o644, write)
}

// A Replacer is Replace, or does what that does.
type Replacer func(path, temp string, write func(w io.Writer) error) error

func replace(path, temp string, perm fs.FileMode, write func(w io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	if temp == "" {
		temp = dir // without one, renameio tries what the environment names
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("replace %s: %w", path, err)
		}
	}()
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(temp), renameio.WithPermissions(perm), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Cleanup()) }()
	w := bufio.NewWriterSize(f, 64<<10)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return SyncDir(dir)
}

// Write is Replace with the content data; a new file has the permissions perm less
// the umask.
func Write(path string, data []byte, perm fs.FileMode) error {
	return replace(path, "", perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// SyncDir makes the entries of a directory durable.
func SyncDir(dir string) error {
	d, err := OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Renew is Replace for a file that is checked when it is read, and can be made again:
// it is not durable. After a power failure it may be the old one, the new one, or
// damaged.
func Renew(path string, write func(w io.Writer) error) (err error) {
	temp := path + ".new" // of a process that was killed, too
	defer func() {
		if err != nil {
			err = fmt.Errorf("renew %s: %w", path, errors.Join(err, gone(os.Remove(temp))))
		}
	}()
	if err := gone(os.Remove(temp)); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// gone drops the error that there is no such file.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
