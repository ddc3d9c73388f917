// Package feed is how an archive tells archives downstream what has changed in it.
//
// Every run that changes the archive ends with a generation. A generation is what
// the archive holds: contents under names, without the paths of its layouts.
// Generation N has a file [File](N) of what was added, removed, moved or changed
// since N-1. Once in [FullEvery] generations there is [FullFile](N) as well, which
// has all of it, so that older files may go. A small file, [LatestFile], names the
// newest generation.
//
//   - The files of a generation are durable before LatestFile names it, and never
//     change afterwards: a reader finds a whole generation or the one before.
//   - History is a chain. LatestFile has the SHA-256 of the newest file, each file
//     that of the file before it and of the full list of its own generation, and
//     each full list those of all files before it. So LatestFile, which may be
//     signed, vouches for everything, and who has seen generation M finds the
//     digest of M in what is shown later, or is shown another history.
//
// The files are JSON Lines packed by zstd: a [Header], then lines of changes.
// LatestFile is text, or a signed note of package sumdb/note:
//
//	distkeep generations
//	generation 12
//	time 2026-01-02T03:00:00Z
//	sha256 DIGEST of 12.jsonl.zst
//	full 0
//
// Begin reading at [Follow], which every reader uses, that of the archive included.
package feed

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// FullEvery is how many generations there are from one full list to the next.
// Files of changes are kept as far back again before the newest full list.
const FullEvery = 100

// LatestFile is the file that names the newest generation.
const LatestFile = "latest"

// File is the name of the file with the changes of generation n.
func File(n int64) string { return strconv.FormatInt(n, 10) + ".jsonl.zst" }

// FullFile is the name of the file with all of generation n.
func FullFile(n int64) string { return strconv.FormatInt(n, 10) + ".full.jsonl.zst" }

// Sum is the SHA-256 of a file, in hex.
func Sum(data []byte) string { return digest.SHA256.Sum(data).Hex() }

// A Key identifies one content under one name.
type Key struct {
	Name   catalog.Name
	SHA256 digest.Digest
}

// An Entry is one content under one name.
type Entry struct {
	Name catalog.Name
	// Digests has SHA256.
	Digests digest.Set
	Size    int64
	// Owner is the package that wants it, as package::repository, or empty, and
	// Kind the kind of the repository.
	Owner string
	Kind  catalog.Kind
	// Named says that it is published under its name, and not by its digest alone.
	Named bool
}

// Key returns what identifies e.
func (e *Entry) Key() Key { return Key{e.Name, e.Digests.Get(digest.SHA256)} }

func (e *Entry) equal(o *Entry) bool {
	return e.Name == o.Name && e.Size == o.Size && e.Owner == o.Owner && e.Kind == o.Kind && e.Named == o.Named && slices.Equal(e.Digests, o.Digests)
}

// A List is what an archive holds.
type List map[Key]*Entry

// Sorted returns the entries by name and digest.
func (l List) Sorted() []*Entry {
	return slices.SortedFunc(maps.Values(l), func(a, b *Entry) int { return compareKeys(a.Key(), b.Key()) })
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), a.SHA256.Compare(b.SHA256))
}

// What can become of an entry.
const (
	Added   = "added"
	Removed = "removed"
	Moved   = "moved"   // the content has another name
	Changed = "changed" // something else is said of it
)

// A Change is what became of one entry.
type Change struct {
	Do string
	// From is the name that a moved content had.
	From catalog.Name
	// Entry is how it is now or, of what was removed, Name and SHA256 alone.
	Entry
}

// Diff returns what makes next of old, in the order of names.
func Diff(old, next List) (cs []Change) {
	gone := make(map[digest.Digest][]*Entry)
	for k, e := range old {
		if next[k] == nil {
			gone[k.SHA256] = append(gone[k.SHA256], e)
		}
	}
	for _, es := range gone {
		slices.SortFunc(es, func(a, b *Entry) int { return cmp.Compare(a.Name, b.Name) })
	}
	fresh := make(List)
	for k, e := range next {
		if was := old[k]; was == nil {
			fresh[k] = e
		} else if !was.equal(e) {
			cs = append(cs, Change{Do: Changed, Entry: *e})
		}
	}
	for _, e := range fresh.Sorted() {
		sum := e.Key().SHA256
		if left := gone[sum]; len(left) > 0 {
			cs = append(cs, Change{Do: Moved, From: left[0].Name, Entry: *e})
			gone[sum] = left[1:]
		} else {
			cs = append(cs, Change{Do: Added, Entry: *e})
		}
	}
	for sum, es := range gone {
		for _, e := range es {
			cs = append(cs, Change{Do: Removed, Entry: Entry{Name: e.Name, Digests: digest.Set{sum}}})
		}
	}
	slices.SortStableFunc(cs, func(a, b Change) int { return compareKeys(a.Key(), b.Key()) })
	return cs
}

// apply makes changes in l. An error means that they are not of l.
func (l List) apply(cs []Change) error {
	for i := range cs {
		c := &cs[i]
		k := c.Key()
		was := k
		if c.Do == Moved {
			was.Name = c.From
		}
		if (l[was] == nil) != (c.Do == Added) || c.Do == Moved && l[k] != nil {
			return fmt.Errorf("%s %q does not follow from the generation before", c.Do, c.Name)
		}
		delete(l, was)
		if c.Do != Removed {
			l[k] = &c.Entry
		}
	}
	return nil
}

// List returns what a full list has.
func (g *Generation) List() (List, error) {
	l := make(List, len(g.Changes))
	return l, l.apply(g.Changes)
}

// A Header is the first line of a file.
type Header struct {
	Generation int64     `json:"generation"`
	Time       time.Time `json:"time"`
	// Prev is the SHA-256, in hex, of the file of the generation before, Full that
	// of the full list of this generation; empty where there is none. A full list
	// has neither.
	Prev string `json:"prev,omitempty"`
	Full string `json:"full,omitempty"`
}
