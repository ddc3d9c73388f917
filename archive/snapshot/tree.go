package snapshot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/archive/layout"
	"distkeep/catalog/regular"
)

// batch is the number of entries that are read of a directory at a time.
const batch = 1024

// maxDepth bounds the directories inside each other: each costs descriptors.
// Names of distfiles have at most 1,024 bytes, and rarely more than three
// components.
const maxDepth = 128

// errMount means that something is mounted inside a tree.
var errMount = errors.New("another file system or a bind mount is mounted here: hard links cannot leave a mount, and nothing outside the tree is touched")

// A dir is an open directory, so that what is done in it cannot be led away by
// symbolic links or by renames of its parents.
type dir struct {
	*os.File
	fd    int
	at    string
	depth int
	// root is the real path of the published tree that it belongs to, or empty:
	// in a snapshot, no symbolic link is followed. links are the real paths of the
	// directories outside of it that symbolic links have led to on the way here.
	root  string
	links []string
}

func newDir(fd int, path string, depth int) *dir {
	return &dir{File: os.NewFile(uintptr(fd), path), fd: fd, at: path, depth: depth}
}

// openTree opens the directory at path, following symbolic links.
func openTree(path string) (*dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return newDir(fd, filepath.Clean(path), 0), nil
}

// openPublished opens the published tree at path.
func openPublished(path string) (*dir, error) {
	d, err := openTree(path)
	if err != nil {
		return nil, err
	}
	if d.root, err = realPath(path); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// follow opens the directory outside the published tree that the symbolic link
// name in d leads to; rel is the path of d in the tree. It returns nil for what is
// no link, and for a link that means the same in a snapshot: one by a relative path
// to a directory of the tree, or one to no directory at all. Any other is an error: a
// snapshot would show what it leads to as that is later. The error about a link that
// somebody else has made says that its name is gone.
func (d *dir) follow(name, rel string) (*dir, error) {
	if d.root == "" {
		return nil, nil
	}
	var st unix.Stat_t
	if err := d.stat(name, &st); err != nil || fileType(&st) != unix.S_IFLNK {
		return nil, nil
	}
	target, err := realPath(d.path(name))
	if err != nil {
		return nil, nil // to nothing, or to itself
	}
	if fi, err := os.Stat(target); err != nil || !fi.IsDir() {
		return nil, nil
	}
	if err := trusted(d, name, &st); err != nil && !isInside(target, d.root) {
		return nil, d.fail("follow the symbolic link", name, err)
	}
	refuse := func(why string) (*dir, error) {
		return nil, d.fail("follow the symbolic link", name, fmt.Errorf("it leads to the directory %s, %s", target, why))
	}
	if isInside(target, d.root) {
		text, err := d.readlink(name)
		if err == nil && len(d.links) == 0 && !filepath.IsAbs(text) && filepath.Join(d.root, rel, text) == target {
			return nil, nil
		}
		return refuse("which is in the published tree: only a relative link means the same in a snapshot")
	}
	for _, l := range append(d.links, d.root) {
		if isInside(l, target) {
			return refuse("which it is in")
		}
	}
	here, err := device(d.root)
	if err != nil {
		return nil, err
	}
	if there, err := device(target); err != nil || there != here {
		return refuse("on another file system: hard links cannot leave that of the published tree")
	}
	if d.depth >= maxDepth {
		return refuse("with too many directories around it")
	}
	sub, err := openTree(target)
	if err != nil {
		return nil, err
	}
	sub.depth, sub.root, sub.links = d.depth+1, d.root, append(slices.Clone(d.links), target)
	return sub, nil
}

// trusted returns an error unless the symbolic link name in d is still the link st,
// and one that is followed.
func trusted(d *dir, name string, st *unix.Stat_t) error {
	var now unix.Stat_t
	if err := unix.Fstatat(d.fd, name, &now, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if !regular.Trusted(st.Uid) || now.Ino != st.Ino || now.Ctim != st.Ctim {
		return regular.ErrForeignLink
	}
	return nil
}

// open opens a directory in d. It follows neither symbolic links nor mounts.
func (d *dir) open(name string) (*dir, error) {
	if d.depth >= maxDepth {
		return nil, d.fail("open", name, errors.New("too many directories inside each other"))
	}
	fd, err := openBelow(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	if errors.Is(err, unix.EXDEV) {
		err = errMount
	}
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	sub := newDir(fd, d.path(name), d.depth+1)
	sub.root, sub.links = d.root, d.links
	return sub, nil
}

// openFile opens a regular file in d for reading.
func (d *dir) openFile(name string) (*os.File, error) {
	fd, err := openBelow(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	f := os.NewFile(uintptr(fd), d.path(name))
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		if err == nil {
			err = d.fail("open", name, errors.New("not a regular file"))
		}
		f.Close()
		return nil, err
	}
	return f, nil
}

func (d *dir) path(name string) string { return filepath.Join(d.at, name) }

func (d *dir) fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: d.path(name), Err: err}
}

// stat fills in st for an entry of d itself, not for what a link points to. A
// name of several components means something only if none but the last is a
// symbolic link.
func (d *dir) stat(name string, st *unix.Stat_t) error {
	if err := unix.Fstatat(d.fd, name, st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return d.fail("stat", name, err)
	}
	return nil
}

// statDir is stat, but for the symbolic links to directories that follow follows;
// rel is the path of d in the tree.
func (d *dir) statDir(name, rel string, st *unix.Stat_t) error {
	if err := d.stat(name, st); err != nil || fileType(st) != unix.S_IFLNK {
		return err
	}
	sub, err := d.follow(name, rel)
	if err != nil || sub == nil {
		return err
	}
	defer sub.Close()
	if err := unix.Fstat(sub.fd, st); err != nil {
		return d.fail("stat", name, err)
	}
	return nil
}

// readlink returns the target of a symbolic link in d.
func (d *dir) readlink(name string) (string, error) {
	buf := make([]byte, 4096) // PATH_MAX
	n, err := unix.Readlinkat(d.fd, name, buf)
	if err != nil {
		return "", d.fail("readlink", name, err)
	}
	return string(buf[:n]), nil
}

// remove removes an entry of d.
func (d *dir) remove(name string, flags int) error {
	if err := unix.Unlinkat(d.fd, name, flags); err != nil {
		return d.fail("remove", name, err)
	}
	return nil
}

// each calls f with the entries of d in no order, a bounded number at a time.
func (d *dir) each(f func([]fs.DirEntry) error) error {
	for {
		entries, err := d.ReadDir(batch)
		if len(entries) > 0 {
			if err := f(entries); err != nil {
				return err
			}
		}
		// A directory that is removed while it is read has nothing more.
		if err == io.EOF || errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// rewind lets each begin anew.
func (d *dir) rewind() error {
	_, err := d.Seek(0, io.SeekStart)
	return err
}

// fileType is the type in a mode.
func fileType(st *unix.Stat_t) uint32 { return uint32(st.Mode) & unix.S_IFMT }

// gone reports whether err says that an entry is no longer what it was when
// its directory was read.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// isList reports whether rel, a path in a published tree, is a list or a stamp
// that the archive writes.
func isList(rel string) bool {
	switch rel {
	case "distinfo", "history", "lastsync", "lastupdate":
		return true
	}
	return false
}

// isOwn reports whether rel, a path in a published tree, is a file that the
// archive or its operator writes, and no distfile.
func isOwn(rel string) bool { return isList(rel) || rel == "layout.conf" }

func inByCipher(rel string) bool { return rel != layout.ByCipherDir && layout.InByCipher(rel) }

// isFirst reports whether rel names other files, so that it comes before them.
func isFirst(rel string) bool { return isOwn(rel) || isIndex(rel) && !inByCipher(rel) }

// isIndex reports whether rel has the name of a pacman database or of its
// signature, which name other files: REPO.db, REPO.files, REPO.links, and
// REPO.db.tar.zst.
func isIndex(rel string) bool {
	name := strings.TrimSuffix(filepath.Base(rel), ".sig")
	for _, s := range []string{".db", ".files", ".links"} {
		if strings.HasSuffix(name, s) || strings.Contains(name, s+".tar") {
			return true
		}
	}
	return false
}
