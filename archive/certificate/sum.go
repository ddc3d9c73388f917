package certificate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"distkeep/catalog"
)

// A Sum is the hash of a set of entries: a number below 2^256, the least byte first.
type Sum [sha256.Size]byte

// add adds what another set has.
func (s *Sum) add(o *Sum) {
	var carry uint64
	for i := 0; i < len(s); i += 8 {
		var n uint64
		n, carry = bits.Add64(binary.LittleEndian.Uint64(s[i:]), binary.LittleEndian.Uint64(o[i:]), carry)
		binary.LittleEndian.PutUint64(s[i:], n)
	}
}

// MarshalText spells s in hex.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *Sum) UnmarshalText(text []byte) error { return decodeHex(s[:], text) }

// A Place is a file, or a directory with all that is below it. It need not be there.
type Place struct {
	catalog.Place
	// Shut, if not nil, reports whether a directory is not entered, but for its times,
	// which tell whether its names have changed.
	Shut func(rel string) bool
	// Busy: the directory itself counts without its times and its size, since each
	// run replaces files in it.
	Busy bool
}

var (
	// ErrYoung means that a file was changed too short a time ago.
	ErrYoung = errors.New("was changed just now")
	// errLeads means that a symbolic link leads to a directory.
	errLeads = errors.New("is a symbolic link to a directory")
	errDeep  = errors.New("is too deep")
)

// maxDepth bounds how deep directories are: each level has an open one.
const maxDepth = 64

// A Hasher makes sums.
type Hasher struct {
	Key *Key
	// Before, if not zero, is the time before which everything must have been changed
	// last.
	Before time.Time
}

// Sum returns the hash of all that is in places. It keeps no names: what it needs does
// not grow with them. An error means that there is none.
func (h *Hasher) Sum(ctx context.Context, places ...Place) (Sum, error) {
	w := &walk{Hasher: h}
	w.g, w.ctx = errgroup.WithContext(ctx)
	// With a cold cache, a disk does better with several questions.
	w.g.SetLimit(max(4, runtime.GOMAXPROCS(0)))
	w.idle.New = func() any { return &walker{walk: w, ents: make([]byte, 32<<10)} }
	for i := range places {
		w.g.Go(func() error {
			p := &places[i]
			return w.with(p, filepath.Clean(p.Path), (*walker).start)
		})
	}
	err := w.g.Wait()
	return w.total, err
}

// A walk is the making of one sum.
type walk struct {
	*Hasher
	ctx  context.Context
	g    *errgroup.Group
	idle sync.Pool // of walkers

	mu    sync.Mutex
	total Sum
}

// A walker is what one goroutine of a walk has to itself.
type walker struct {
	*walk
	place *Place
	root  int    // the length of the path of place
	path  []byte // where it is
	sum   Sum
	ents  []byte // raw directory entries
	enc   []byte // an entry under way
	st    unix.Stat_t
}

// with gives f a walker that is at path in p.
func (w *walk) with(p *Place, path string, f func(*walker) error) error {
	x := w.idle.Get().(*walker)
	x.place, x.root, x.path, x.sum = p, len(filepath.Clean(p.Path)), append(x.path[:0], path...), Sum{}
	err := f(x)
	w.mu.Lock()
	w.total.add(&x.sum)
	w.mu.Unlock()
	w.idle.Put(x)
	return err
}

// start hashes a place.
func (x *walker) start() error {
	path := string(x.path)
	fd, err := open(unix.AT_FDCWD, path, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		// A file, or nothing, or a link to one of them.
		err := x.entry(unix.AT_FDCWD, path)
		if err == nil && x.st.Mode == 0 {
			err = x.add('-', &x.st)
		}
		return err
	case err != nil:
		return x.wrong(err)
	}
	defer unix.Close(fd)
	if err := fstat(fd, &x.st); err != nil {
		return x.wrong(err)
	}
	if x.place.Busy {
		x.st.Mtim, x.st.Ctim, x.st.Size = unix.Timespec{}, unix.Timespec{}, 0
	}
	if err := x.add('e', &x.st); err != nil {
		return err
	}
	return x.dir(fd, 0)
}

// few entries of a directory are not worth another goroutine.
const few = 64

// dir hashes what is in the directory fd, which stays open. Others do a part of it when
// they have time.
func (x *walker) dir(fd, depth int) error {
	if depth == maxDepth {
		return x.wrong(errDeep)
	}
	var others sync.WaitGroup
	defer others.Wait()
	for {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		n, err := unix.ReadDirent(fd, x.ents)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return x.wrong(err)
		case n <= 0:
			return nil
		}
		_, _, names := unix.ParseDirent(x.ents[:n], -1, nil)
		for ; len(names) > few; names = names[few:] {
			place, path, some := x.place, string(x.path), names[:few]
			others.Add(1)
			if x.g.TryGo(func() error {
				defer others.Done()
				return x.with(place, path, func(y *walker) error { return y.each(fd, some, depth) })
			}) {
				continue
			}
			others.Done()
			if err := x.each(fd, some, depth); err != nil {
				return err
			}
		}
		if err := x.each(fd, names, depth); err != nil {
			return err
		}
	}
}

// each hashes the entries names of the directory fd, with what is below them.
func (x *walker) each(fd int, names []string, depth int) error {
	here := len(x.path)
	for _, name := range names {
		x.path = append(append(x.path[:here], '/'), name...)
		if err := x.below(fd, name, depth); err != nil {
			return err
		}
	}
	x.path = x.path[:here]
	return nil
}

func (x *walker) below(fd int, name string, depth int) error {
	if x.place.Skip != nil && x.place.Skip(string(x.path[x.root+1:])) {
		return nil
	}
	if err := x.entry(fd, name); err != nil || x.st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	if x.place.Shut != nil && x.place.Shut(string(x.path[x.root+1:])) {
		return nil
	}
	sub, err := open(fd, name, unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // it has gone since
	} else if err != nil {
		return x.wrong(err)
	}
	defer unix.Close(sub)
	return x.dir(sub, depth+1)
}

// entry hashes the entry name of the directory fd, of which st is told then: nothing
// is there if it has no mode. What a link leads to counts as well.
func (x *walker) entry(fd int, name string) error {
	err := lstat(fd, name, &x.st)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		x.st = unix.Stat_t{}
		return nil
	} else if err != nil {
		return x.wrong(err)
	}
	if err := x.add('e', &x.st); err != nil || x.st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return err
	}
	var target unix.Stat_t
	switch err := stat(fd, name, &target); {
	case err != nil:
		return x.add('-', new(unix.Stat_t))
	case target.Mode&unix.S_IFMT == unix.S_IFDIR:
		return x.wrong(errLeads)
	}
	return x.add('t', &target)
}

// add adds an entry of a kind to the sum.
func (x *walker) add(kind byte, st *unix.Stat_t) error {
	mtime, ctime := st.Mtim.Nano(), st.Ctim.Nano()
	if !x.Before.IsZero() && max(mtime, ctime) >= x.Before.UnixNano() {
		return x.wrong(ErrYoung)
	}
	b := append(x.enc[:0], x.Key[:]...)
	for _, n := range [...]uint64{
		uint64(st.Dev), uint64(st.Ino), uint64(st.Size), uint64(mtime), uint64(ctime), uint64(st.Nlink),
		uint64(st.Mode), uint64(st.Uid)<<32 | uint64(st.Gid),
	} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	x.enc = append(append(b, kind), x.path...)
	sum := Sum(sha256.Sum256(x.enc))
	x.sum.add(&sum)
	return nil
}

func (x *walker) wrong(err error) error { return fmt.Errorf("%s: %w", x.path, err) }

// open opens a directory.
func open(fd int, name string, flag int) (sub int, err error) {
	again(func() error {
		sub, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC|flag, 0)
		return err
	})
	return sub, err
}

func fstat(fd int, st *unix.Stat_t) error {
	return again(func() error { return unix.Fstat(fd, st) })
}

func lstat(fd int, name string, st *unix.Stat_t) error {
	return again(func() error { return unix.Fstatat(fd, name, st, unix.AT_SYMLINK_NOFOLLOW) })
}

func stat(fd int, name string, st *unix.Stat_t) error {
	return again(func() error { return unix.Fstatat(fd, name, st, 0) })
}

// again calls f until no signal has interrupted it.
func again(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
