package regular

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Tree is a directory below which other people may write. What is done in it is
// done in directories that were opened one below the other, so that no symbolic
// link leads it elsewhere, whenever somebody puts one there.
//
// A symbolic link of somebody else is to it what a file is in the place of a
// directory: ErrForeignLink.
type Tree struct {
	root   string
	follow bool
}

// NewTree returns the tree below the directory root. It follows the symbolic links
// to directories that root or the user of this process has made; the way to the
// directory root itself is not looked at.
func NewTree(root string) Tree { return Tree{filepath.Clean(root), true} }

// NewStrictTree is NewTree, but follows no symbolic link below the directory root.
func NewStrictTree(root string) Tree { return Tree{filepath.Clean(root), false} }

// Root is the directory.
func (t Tree) Root() string { return t.root }

// dirFlags open a directory to do something in it.
const dirFlags = searchOnly | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NONBLOCK

// Within calls f with a descriptor of the directory that the path rel, relative to
// the root, is in and the last component of rel.
func (t Tree) Within(rel string, f func(dir int, base string) error) error {
	dir, base, err := t.split(rel)
	if err != nil {
		return err
	}
	fd, err := t.open(dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f(fd, base)
}

// split splits the path rel, relative to the root, into its directory and its last
// component.
func (t Tree) split(rel string) (dir, base string, err error) {
	if rel == "" || rel[0] == '.' || rel[0] == '/' || strings.Contains(rel, "/.") || strings.Contains(rel, "//") || rel[len(rel)-1] == '/' {
		rel = filepath.Clean(rel) // most paths are
	}
	dir, base = above(rel)
	if base == "." || !filepath.IsLocal(rel) {
		return "", "", &fs.PathError{Op: "open", Path: filepath.Join(t.root, rel), Err: syscall.EINVAL}
	}
	return dir, base, nil
}

// Check returns an error unless the directory of rel can be reached.
func (t Tree) Check(rel string) error {
	return t.Within(rel, func(int, string) error { return nil })
}

// open opens the directory rel.
func (t Tree) open(rel string) (int, error) {
	fd, err := openat(unix.AT_FDCWD, t.root, dirFlags)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: t.root, Err: err}
	}
	links := maxLinks
	if fd, err = t.walk(fd, rel, &links); err != nil {
		return -1, &fs.PathError{Op: "open", Path: filepath.Join(t.root, rel), Err: err}
	}
	return fd, nil
}

// walk opens the directory rel of the directory fd, which it closes. links is how
// many symbolic links may still be followed.
func (t Tree) walk(fd int, rel string, links *int) (int, error) {
	for name := range strings.SplitSeq(rel, string(filepath.Separator)) {
		if name == "" || name == "." {
			continue
		}
		next, err := t.step(fd, name, links)
		unix.Close(fd)
		if err != nil {
			return -1, err
		}
		fd = next
	}
	return fd, nil
}

// step opens the directory name of the directory fd.
func (t Tree) step(fd int, name string, links *int) (int, error) {
	next, err := openat(fd, name, dirFlags|unix.O_NOFOLLOW)
	if err == nil || err == unix.ENOENT {
		return next, err
	}
	// Each system has an error of its own for a symbolic link.
	var before, after unix.Stat_t
	if unix.Fstatat(fd, name, &before, unix.AT_SYMLINK_NOFOLLOW) != nil || before.Mode&unix.S_IFMT != unix.S_IFLNK {
		return -1, err
	}
	if !t.follow || !Trusted(before.Uid) {
		return -1, ErrForeignLink
	}
	if *links--; *links < 0 {
		return -1, unix.ELOOP
	}
	target := make([]byte, 4096) // PATH_MAX
	n, err := unix.Readlinkat(fd, name, target)
	if err != nil {
		return -1, err
	}
	// Whoever puts another link there in between changes the time of one.
	if err := unix.Fstatat(fd, name, &after, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, err
	}
	if after.Ino != before.Ino || after.Ctim != before.Ctim {
		return -1, ErrForeignLink
	}
	from := "."
	if filepath.IsAbs(string(target[:n])) {
		from = "/"
	}
	if next, err = openat(fd, from, dirFlags); err != nil {
		return -1, err
	}
	return t.walk(next, string(target[:n]), links)
}

func openat(fd int, name string, flags int) (int, error) {
	return retry(func() (int, error) { return unix.Openat(fd, name, flags, 0) })
}

// Open opens the regular file rel for reading, without waiting for anybody. It
// follows no symbolic link at rel itself.
func (t Tree) Open(rel string) (f *os.File, err error) {
	path := filepath.Join(t.root, rel)
	err = t.Within(rel, func(dir int, base string) error {
		fd, err := openat(dir, base, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC)
		if err != nil {
			var st unix.Stat_t
			if serr := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); serr == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
				return irregular(path)
			}
			return &fs.PathError{Op: "open", Path: path, Err: err}
		}
		f, err = checked(os.NewFile(uintptr(fd), path), nil, path, os.Lstat)
		return err
	})
	return f, err
}

// ErrChanged means that a file is not the one that it was.
var ErrChanged = errors.New("is another file by now, or was changed")

// Remove removes the file rel if it is the file was, in that state. Otherwise its
// error wraps ErrChanged.
func (t Tree) Remove(rel string, was ID) error {
	path := filepath.Join(t.root, rel)
	return t.Within(rel, func(dir int, base string) error {
		var st unix.Stat_t
		err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && IDOfStat(&st) != was {
			return fmt.Errorf("%s %w", path, ErrChanged)
		}
		if err == nil {
			err = unix.Unlinkat(dir, base, 0)
		}
		if err != nil {
			return &fs.PathError{Op: "remove", Path: path, Err: err}
		}
		return nil
	})
}
