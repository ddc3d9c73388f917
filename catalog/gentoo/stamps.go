package gentoo

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"distkeep/catalog/regular"
)

// Stamps spare a scan the packages whose files are what they were. A stamp is the
// hash of the [regular.ID] of everything that is read of a package: its directory,
// its Manifest, its ebuilds and their entries in the metadata cache, the absent ones
// too. With it is what the scan made of them. The next scan takes that when the same
// files have the same IDs: it looks at them and opens none.
//
// What a package depends on beside its files is in the key of the stamps; with
// another key they are void. What an earlier scan knew of mirror groups and masters is
// not kept: each scan looks that up.
//
// A file can be written to twice in what its file system takes for one moment. So an
// ID is that of the open file before it is read, and there is no stamp of what has
// changed since two seconds before the scan, as in the index of git. A package with a
// problem has none, nor has one of which a symbolic link is a part. What no ID shows,
// on a file system that keeps no time of change, say, is found by the scan that reads
// everything: once a day, and before anything is deleted.
//
// The file begins with a stampHeader. The records follow, see record.go, in the order
// of the tree: for each its length, its checksum and its bytes. Each is believed by
// itself; a package without a good one is read.
type stamps struct {
	repo *Repository
	key  [sha256.Size]byte
	// read is when everything was read last.
	read time.Time
	// since is the time, in Unix nanoseconds, from which on a change is too young
	// for a stamp.
	since int64
	// keep tells that stamps can be made in this scan, and all that no stamp is
	// taken in it.
	keep, all bool
	// What the file has, if it is of use.
	fromCache bool
	records   string
}

// A stampHeader is the beginning of the file.
type stampHeader struct {
	Magic     [len(stampMagic)]byte
	Key       [sha256.Size]byte
	Read      int64 // in Unix nanoseconds
	FromCache bool
	Sum       uint32 // of what is before it
}

// stampMagic changes with the format.
const stampMagic = "distkeep stamps 1\n"

const (
	// racy is how long before the scan a file must have been changed last. The
	// coarsest clock of a file system ticks every two seconds.
	racy = 2 * time.Second
	// fullScan is how often everything is read.
	fullScan = 24 * time.Hour
	// maxStamps bounds the file. A tree with a million distfiles has 300 MB.
	maxStamps = 1 << 30
	// worthwhile is the part of the packages that must be new in the file for it to be
	// written: to read a few again costs less than to write all.
	worthwhile = 64
)

// openStamps opens the stamps of the tree. With all, none is taken.
func (t *tree) openStamps(all bool) *stamps {
	o := &t.repo.opts
	now := o.Now()
	s := &stamps{repo: t.repo, read: now, since: now.Add(-racy).UnixNano(), all: true}
	if o.Stamps == "" || o.Program == "" {
		return s
	}
	young, err := s.makeKey(t.own.roots)
	if err != nil {
		return s
	}
	s.keep = young < s.since
	if !all && s.load(now) == nil {
		s.all = false
	}
	return s
}

// makeKey makes the key: the format and the program, the user, where the trees are,
// the name and the options that matter to a package, and the eclasses of the trees,
// the first of which wins. young is the time of the newest eclass.
func (s *stamps) makeKey(trees []*os.Root) (young int64, err error) {
	h := sha256.New()
	o := &s.repo.opts
	fmt.Fprintf(h, "%s%q %d %q %q\n", stampMagic, o.Program, os.Geteuid(), s.repo.name, slices.Sorted(slices.Values(o.MirrorExemptions)))
	for _, path := range append([]string{s.repo.path}, o.Masters...) {
		abs, err := filepath.Abs(path)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(h, "%q\n", abs)
	}
	for _, tree := range trees {
		fi, err := tree.Stat(".")
		if err != nil {
			return 0, err
		}
		id := regular.IDOf(fi)
		fmt.Fprintln(h, id.Dev, id.Inode)
		newest, err := hashEclasses(h, tree)
		if err != nil {
			return 0, err
		}
		young = max(young, newest)
	}
	h.Sum(s.key[:0])
	return young, nil
}

// hashEclasses adds to h what tells when an eclass of the tree is another one. newest
// is the time of the newest.
func hashEclasses(h hash.Hash, tree *os.Root) (newest int64, err error) {
	dir, err := tree.OpenRoot("eclass")
	if errors.Is(err, fs.ErrNotExist) || notDir(err) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer dir.Close()
	entries, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".eclass") {
			continue
		}
		fi, err := dir.Stat(e.Name()) // that of what a link leads to
		if err != nil {
			return 0, err
		}
		id := regular.IDOf(fi)
		fmt.Fprintf(h, "%q %v\n", e.Name(), id)
		newest = max(newest, id.ModTime, id.Changed)
	}
	return newest, nil
}

// load reads the file. Its error says that it is not there, or of no use at the time
// now.
func (s *stamps) load(now time.Time) error {
	f, err := regular.Open(s.repo.opts.Stamps)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	var h stampHeader
	if err := binary.Read(f, binary.LittleEndian, &h); err != nil {
		return err
	}
	read, size := time.Unix(0, h.Read), fi.Size()-int64(binary.Size(h))
	if h != s.header(h.Read, h.FromCache) || now.Before(read) || !now.Before(read.Add(fullScan)) || size > maxStamps {
		return errors.New("of no use")
	}
	// The strings of the catalog are parts of this one.
	var b strings.Builder
	b.Grow(int(size))
	if _, err := io.Copy(&b, io.LimitReader(f, size)); err != nil {
		return err
	}
	s.read, s.fromCache, s.records = read, h.FromCache, b.String()
	return nil
}

// header is that of a file of these stamps.
func (s *stamps) header(read int64, fromCache bool) stampHeader {
	h := stampHeader{Key: s.key, Read: read, FromCache: fromCache}
	copy(h.Magic[:], stampMagic)
	b, _ := binary.Append(nil, binary.LittleEndian, &h) // it has a fixed size
	h.Sum = checksum(b)
	return h
}

// assign gives units, which are sorted, their records.
func (s *stamps) assign(units []unit) {
	rest := cursor{rest: s.records}
	text, at := rest.unframe()
	for i := range units {
		u := &units[i]
		for !rest.bad && compareUnits(at, *u) < 0 {
			text, at = rest.unframe()
		}
		if compareUnits(at, *u) == 0 {
			u.stamp.record = text
		}
	}
}

// save writes the file, if that is worth while. One that cannot be written, on a full
// disk, say, costs the next scan its time. A scan that took no stamp leaves no stamp
// that it did not make: it may have been asked for because one was wrong.
func (s *stamps) save(fromCache bool, units []unit) {
	o := &s.repo.opts
	fresh := count(units, func(u *unit) bool { return u.stamp.kept })
	if o.Stamps == "" || o.ReadOnly || !s.all && fresh*worthwhile < max(len(units), 1) {
		return
	}
	if (fresh == 0 || s.write(fromCache, units) != nil) && s.all {
		_ = os.Remove(o.Stamps)
	}
}

func (s *stamps) write(fromCache bool, units []unit) error {
	o := &s.repo.opts
	if o.Room != nil {
		// Records have about 250 bytes a distfile.
		size := sum(units, func(u *unit) int { return 256 + 300*len(u.distfiles) })
		if err := o.Room(int64(size)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(o.Stamps), 0o755); err != nil {
		return err
	}
	return regular.Replace(o.Stamps, "", func(w io.Writer) error {
		h := s.header(s.read.UnixNano(), fromCache)
		if err := binary.Write(w, binary.LittleEndian, &h); err != nil {
			return err
		}
		b := bufio.NewWriter(w) // its error stays
		var buf []byte
		for i := range units {
			u := &units[i]
			if u.stamp.kept {
				buf = appendRecord(buf[:0], u)
				frame(b, buf)
			} else if u.stamp.used {
				buf = append(buf[:0], u.stamp.record...)
				frame(b, buf)
			}
		}
		return b.Flush()
	})
}
