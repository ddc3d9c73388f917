// Package regular opens and replaces regular files in directories that other
// people may write to.
//
// Anybody who can write to a directory can put a FIFO there, which keeps whoever
// opens it waiting for ever, a device, or a symbolic link to a file that is
// somebody else's. So a file is opened without waiting and looked at before
// it is read, and a symbolic link is followed only if root or the user of this
// process has made it.
//
// It is the lowest package of all beside digest, so that everything that opens a
// file can use it. Whatever opens a file that somebody else may have made does.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

var (
	// ErrIrregular means that something else than a regular file is there.
	ErrIrregular = errors.New("is not a regular file")
	// ErrForeignLink means that a symbolic link is there that neither root nor
	// the user of this process has made. It is like a file in the place of a
	// directory: errors.Is takes it for syscall.ENOTDIR, too.
	ErrForeignLink error = foreignLink{}
	// ErrTooLarge means that a file is larger than its reader allows.
	ErrTooLarge = errors.New("is too large")
)

type foreignLink struct{}

func (foreignLink) Error() string {
	return "is a symbolic link that somebody else has made: it is not followed"
}

func (foreignLink) Is(target error) bool { return target == error(syscall.ENOTDIR) }

// LockFlags open a lock file, creating it, without waiting for anybody. No symbolic
// link is followed.
const LockFlags = os.O_CREATE | os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOFOLLOW

// Trusted reports whether a symbolic link of the user uid is followed.
func Trusted(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

// Open opens the regular file at path for reading, without waiting for anybody.
// Its error wraps ErrIrregular or ErrForeignLink where that is the cause.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY) }

// OpenFile opens the regular file at path like os.OpenFile with flag. It never
// creates one.
func OpenFile(path string, flag int) (*os.File, error) {
	real, err := Follow(path)
	if err != nil {
		return nil, err
	}
	return openItself(real, flag)
}

// OpenItself is Open, but follows no symbolic link at path.
func OpenItself(path string) (*os.File, error) { return openItself(path, os.O_RDONLY) }

func openItself(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	return checked(f, err, path, os.Lstat)
}

// OpenIn opens the regular file name below root for reading. A symbolic link is
// followed when it leads to a file below root, whoever has made it.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return checked(f, err, name, root.Stat)
}

// checked closes f unless it is a regular file. look finds out what is there that
// could not be opened: a symbolic link, or a FIFO without a reader that was to be
// written to, for which each system has an error of its own.
func checked(f *os.File, err error, path string, look func(string) (fs.FileInfo, error)) (*os.File, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		if fi, lerr := look(path); lerr == nil && !fi.Mode().IsRegular() && !errors.Is(err, fs.ErrPermission) {
			return nil, irregular(path)
		}
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = irregular(path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// OpenDir opens the directory at path for reading. Something else that was put
// there keeps nobody waiting.
func OpenDir(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}

func irregular(path string) error { return fmt.Errorf("%s %w", path, ErrIrregular) }

// maxLinks is how many symbolic links may lead to one another.
const maxLinks = 40

// Follow returns what the symbolic links at path, if there are any, lead to. Its
// error wraps ErrForeignLink when one of them is not followed. The link that is
// looked at is the one that is read: whoever puts another one there in between
// changes the time of a link.
func Follow(path string) (string, error) {
	for range maxLinks {
		before, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil // opening it says so
		} else if err != nil {
			return "", err
		}
		if before.Mode().Type() != fs.ModeSymlink {
			return path, nil
		}
		if st, ok := before.Sys().(*syscall.Stat_t); !ok || !Trusted(st.Uid) {
			return "", fmt.Errorf("%s %w", path, ErrForeignLink)
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if after, err := os.Lstat(path); err != nil || IDOf(before) != IDOf(after) {
			return "", fmt.Errorf("%s: changed while it was looked at", path)
		}
		if !filepath.IsAbs(target) {
			// Not filepath.Join: ".." after a symbolic link is not what was
			// before it.
			target = filepath.Dir(path) + string(filepath.Separator) + target
		}
		path = target
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
}

// Read returns the content of the regular file at path, which has at most limit
// bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, limit)
}

// ReadIn is Read for the file name below root, which it opens as OpenIn does.
func ReadIn(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := OpenIn(root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, limit)
}

func readAll(f *os.File, path string, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s %w: it has more than %d bytes", path, ErrTooLarge, limit)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}
