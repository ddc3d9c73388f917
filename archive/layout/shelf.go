package layout

import (
	"errors"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// A File is what the file system says about one published path.
type File struct {
	// Size is negative where no regular file is.
	Size    int64
	ModTime time.Time
	// Links is the number of paths of the file, or 0 when that is not known, and
	// Inode what they have in common.
	Links uint64
	Inode Inode
	// Err is why it is not known what is at the path. Size is negative then.
	Err error
	// Foreign: somebody else than the archive can write to it.
	Foreign bool
	// Blocked is what is in the way of a file at the path, or zero.
	Blocked Blocked
}

// An Inode tells files apart whatever their paths. Zero is not known.
type Inode struct{ Dev, Ino uint64 }

// A Stray is a file that lies where no layout would have it, or is a symbolic link
// to one.
type Stray struct {
	// Path is the file, absolute and without a symbolic link at its end, and Base
	// the name that was found.
	Path, Base string
	File
}

// Blocked is what is in the way of a file. It is for a person to move.
type Blocked uint8

const (
	// ByDir is a directory in its place, ByFile a file in the place of one of
	// its directories.
	ByDir Blocked = iota + 1
	ByFile
)

// Files know what is at published paths.
type Files interface {
	// Get returns what is at rel, and whether that is a regular file. It
	// answers the same until somebody says that rel has changed.
	Get(rel string) (File, bool)
	// All calls f with every path that is known to hold a regular file, in no
	// order, until f returns false. f must not call methods of the Files.
	All(f func(rel string, file File) bool)
}

// A Shelf tells where contents are: which files there are, and where contents
// should be. It decides by size and time alone.
type Shelf struct {
	Files Files
	// Layouts are those in use, Former those of the last run that are not any
	// more.
	Layouts Conf
	Former  []Layout
}

// Intact reports whether the path rel has the verified file of c.
func (s *Shelf) Intact(c *Content, rel string) bool {
	f, ok := s.Files.Get(rel)
	return ok && f.Size == c.Size && f.ModTime.Equal(c.ModTime)
}

// Paths are all paths that c may have, in the layouts in use and the former ones,
// those below by_cipher first: they stay when names change their contents.
func (s *Shelf) Paths(c *Content) iter.Seq[string] {
	return func(yield func(rel string) bool) {
		for _, rel := range c.CipherPaths() {
			if !yield(rel) {
				return
			}
		}
		if !c.Named {
			return
		}
		for _, l := range slices.Concat([]Layout(s.Layouts), s.Former) {
			if rel := c.Path(l); rel != "" && !yield(rel) {
				return
			}
		}
	}
}

// Stray reports whether no layout would have a file at rel, where the archive has no
// record that explains it. known reports whether it has one of a name: that may have
// directories, which in a flat layout are the operator's otherwise, or links of a
// former layout.
func (s *Shelf) Stray(rel string, known func(catalog.Name) bool) bool {
	for _, ls := range [...][]Layout{s.Layouts, s.Former} {
		for _, l := range ls {
			name, ok := l.NameOf(rel)
			ours := slices.Contains(s.Layouts, l) && (l != Flat() || !strings.Contains(rel, "/"))
			if ok && (ours && !obeyed(name) || known(name)) {
				return false
			}
			if l.isPlace(rel) {
				return false
			}
		}
	}
	return true
}

// isPlace reports whether l is by content, and may have a file at rel.
func (l Layout) isPlace(rel string) bool {
	base := path.Base(rel)
	return l.IsContentHash() && isHex(base, 2*l.alg.Size()) && l.join(base, base) == rel
}

// Promise returns the digest that a file at rel must have when l, by content, put it
// there, or zero.
func (l Layout) Promise(rel string) digest.Digest {
	if !l.isPlace(rel) {
		return digest.Digest{}
	}
	d, _ := digest.Parse(l.alg, path.Base(rel)) // isPlace knows that it is hex
	return d
}

// Promise returns the digest that a file at rel must have when one of conf, by content,
// put it there, or zero.
func (conf Conf) Promise(rel string) digest.Digest {
	for _, l := range conf {
		if d := l.Promise(rel); !d.IsZero() {
			return d
		}
	}
	return digest.Digest{}
}

// Sound returns a path that has the verified file of c, or "". It prefers those
// of the layouts, which a listing of the archive has looked at already.
func (s *Shelf) Sound(c *Content) string {
	if c.Named {
		for _, l := range slices.Concat([]Layout(s.Layouts), s.Former) {
			if rel := c.Path(l); rel != "" && s.Intact(c, rel) {
				return rel
			}
		}
	}
	if rel := c.CipherPaths()[0]; s.Intact(c, rel) {
		return rel
	}
	return ""
}

// Linked reports whether c is at its path in every layout and below by_cipher.
// The latter is only looked at when the file has fewer links than it needs: to
// look there for each of some 10^5 files would take longer than the rest of a run
// with nothing to do. Snapshots, views and other names of the content add to the
// links, so that a missing path below by_cipher can stay unseen.
func (s *Shelf) Linked(c *Content) bool {
	least := uint64(len(s.Layouts) + 1)
	if c.Kind.Base64() {
		least++
	}
	few := false
	for _, l := range s.Layouts {
		rel := c.Path(l)
		if rel == "" || !s.Intact(c, rel) {
			return false
		}
		f, _ := s.Files.Get(rel)
		few = few || f.Links > 0 && f.Links < least
	}
	return !few || !slices.ContainsFunc(c.CipherPaths(), func(rel string) bool { return !s.Intact(c, rel) })
}

// quiet is how long a file must have been left alone before it is taken for
// complete when its size does not tell: people copy slowly.
const quiet = time.Minute

// ErrWriting means that a file may not have all its bytes yet.
var ErrWriting = errors.New("somebody is writing to it")

// ErrDamaged means that a file does not have the bytes that were verified.
var ErrDamaged = errors.New("the file is damaged")

// Growing reports whether somebody may still be writing a file, as far as its
// time tells at now. A time that is an hour ahead says nothing.
func Growing(now, modTime time.Time) bool {
	return modTime.After(now.Add(-quiet)) && modTime.Before(now.Add(time.Hour))
}
