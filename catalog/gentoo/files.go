package gentoo

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxFile bounds an ebuild, a cache entry and a Manifest. The largest real
// ones, Manifests of packages with thousands of crates, are below 1 MiB.
const maxFile = 8 << 20

// maxEntries bounds a directory. The largest real one, dev-python of the main
// tree, has some 2,000.
const maxEntries = 1 << 17

// A dir is an open directory of the tree and its path inside it. Whatever is
// opened in a directory that could not be opened fails with the same error.
type dir struct {
	fd  int
	rel string
	err error
}

func (d dir) join(name string) string {
	if d.rel == "." {
		return name
	}
	return d.rel + "/" + name
}

func (d dir) close() {
	if d.err == nil {
		unix.Close(d.fd)
	}
}

// A reader reads files and directories below one root. It works on file
// descriptors: a scan opens 100,000 small files, and package os spends more
// on each than the kernel does.
type reader struct {
	root *os.Root
	buf  []byte      // the last file
	st   unix.Stat_t // of it, before it was read
	ents []byte      // raw directory entries
	// followed is set when a symbolic link was followed.
	followed bool
}

func newReader(root *os.Root) reader {
	return reader{root: root, buf: make([]byte, 64<<10), ents: make([]byte, 32<<10)}
}

// open opens name in d. Only what is no link is opened directly; package os
// follows the links, and keeps inside the root.
func (r *reader) open(d dir, name string, flag int) (int, error) {
	if d.err != nil {
		return -1, d.err
	}
	// O_NONBLOCK keeps a named pipe from stopping the scan.
	flag |= unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC
	for {
		fd, err := unix.Openat(d.fd, name, flag|unix.O_NOFOLLOW, 0)
		switch err {
		case unix.EINTR:
			continue
		case unix.ELOOP, unix.EMLINK, unix.ENOTDIR: // the answers of the systems to a link
			return r.follow(d.join(name), flag)
		}
		return fd, err
	}
}

// errLink is in the chain of errors about a link that leads to nothing, or out
// of the tree.
var errLink = errors.New("symbolic link")

var errDangling = fmt.Errorf("dangling %w", errLink)

func (r *reader) follow(rel string, flag int) (int, error) {
	r.followed = true
	f, err := r.root.OpenFile(rel, flag, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		// Not the same as a name that is not there at all.
		return -1, errDangling
	case notDir(err):
		return -1, unix.ENOTDIR
	case err != nil:
		return -1, fmt.Errorf("%w: %w", errLink, plain(err))
	}
	defer f.Close()
	return unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
}

// dir opens the directory name of d, which the caller closes. Whether that
// worked is in the dir.
func (r *reader) dir(d dir, name string) dir {
	fd, err := r.open(d, name, unix.O_DIRECTORY)
	return dir{fd, d.join(name), err}
}

// list returns the names in d, unsorted.
func (r *reader) list(d dir) ([]string, error) {
	if d.err != nil {
		return nil, d.err
	}
	var names []string
	for {
		n, err := unix.ReadDirent(d.fd, r.ents)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n <= 0:
			return names, nil
		}
		_, _, names = unix.ParseDirent(r.ents[:n], -1, names)
		if len(names) > maxEntries {
			return nil, fmt.Errorf("more than %d entries", maxEntries)
		}
	}
}

// read returns the content of the file name of d, which is valid until the
// next read.
func (r *reader) read(d dir, name string) ([]byte, error) {
	fd, err := r.open(d, name, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &r.st); err != nil {
		return nil, err
	}
	for n := 0; ; {
		if n == len(r.buf) {
			if n > maxFile {
				return nil, fmt.Errorf("larger than %d bytes", maxFile)
			}
			r.buf = append(r.buf, make([]byte, min(n, maxFile+1-n))...)
		}
		m, err := unix.Read(fd, r.buf[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case m == 0:
			return r.buf[:n], nil
		default:
			n += m
		}
	}
}

// notThere reports whether err says that there is no such file.
func notThere(err error) bool { return errors.Is(err, unix.ENOENT) }

// notDir reports whether err says that there is something else than a
// directory.
func notDir(err error) bool { return errors.Is(err, unix.ENOTDIR) }
