package ledger

import (
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"distkeep/archive/ledger/flat"
)

// A ledger that is closed has the records of each kind that Load reads in a flat file,
// too, in the binary form and in the order of their keys, and in one more file what has
// changed since those were written, unless that is much. The seal lists them with their
// sums: only those that have what the tables have, so that one that a killed process has
// left, or an older one, is none of them. They are made of what badger has, or of the
// ones before and what was committed since, never of what is in memory. Without one,
// the ledger has what it has.

// loaded are the kinds of what Load reads.
var loaded = []byte{prefixMeta, prefixDistfile, prefixFailure, prefixDeletion, prefixRecycled, prefixDropped}

// flatExt is how the names of flat files end.
const flatExt = ".flat"

// recentName is what the seal calls the file of what has changed. There is no file of that
// name: a program that knows none of it takes it for a table that is gone, and asks badger.
const (
	recentName = "recent"
	recentFile = recentName + flatExt
)

func flatName(prefix byte) string {
	for _, k := range kinds {
		if k.prefix == prefix {
			return k.name + flatExt
		}
	}
	return ""
}

func flatKind(name string) (prefix byte, ok bool) {
	i := slices.IndexFunc(loaded, func(prefix byte) bool { return flatName(prefix) == name })
	if i < 0 {
		return 0, false
	}
	return loaded[i], true
}

// changes are what was committed since the flat files of the kinds were written: the
// values by their keys, none for those that are gone.
type changes struct {
	values map[string][]byte
	bytes  int
	fresh  bool // not all of it is in the file of them
}

// maxRecent bounds what stands in a file of its own: each run reads and writes it anew.
// maxChanges bounds what is kept of changes. Above it, badger tells them.
const (
	maxRecent  = 1 << 20
	maxChanges = 8 << 20
)

// note keeps ops, which were committed, or perhaps not. While there is a sum for a kind,
// its records are those of that flat file, but for the changes.
func (l *Ledger) note(ops []op, committed bool) {
	s := &l.since
	for _, o := range ops {
		switch prefix := o.key[0]; {
		case l.seal.flats[prefix] == "":
		case !committed:
			delete(l.seal.flats, prefix)
		default:
			s.put(string(o.key), o.value)
			s.fresh = true
		}
	}
	if s.bytes > maxChanges {
		for k := range s.values {
			delete(l.seal.flats, k[0])
		}
		*s = changes{}
	}
}

func (s *changes) put(k string, v []byte) {
	if s.values == nil {
		s.values = make(map[string][]byte)
	}
	s.drop(k)
	s.values[k] = v
	s.bytes += len(k) + len(v)
}

func (s *changes) drop(k string) {
	if v, ok := s.values[k]; ok {
		s.bytes -= len(k) + len(v)
		delete(s.values, k)
	}
}

// of returns the keys of a kind that have changed, in order.
func (s *changes) of(prefix byte) (keys []string) {
	for k := range s.values {
		if k[0] == prefix {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

// each calls put with each change.
func (s *changes) each(put putter) error {
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		if err := put([]byte(k), s.values[k]); err != nil {
			return err
		}
	}
	return nil
}

// forget drops the changes of a kind of which there is a flat file with them, or none.
func (s *changes) forget(prefix byte) {
	for _, k := range s.of(prefix) {
		s.drop(k)
		s.fresh = true
	}
}

// distrust has all flat files made again.
func (l *Ledger) distrust() {
	clear(l.seal.flats)
	l.since = changes{}
}

// readable reports whether the flat files have everything that Load reads, in the key
// scheme of this program.
func (l *Ledger) readable() bool {
	if len(l.seal.flats) < len(loaded) || l.readRecent() != nil {
		return false
	}
	var found string
	err := l.merge(prefixMeta, l.since.of(prefixMeta), func(k, v []byte) error {
		if string(k[2:]) != schemaKey {
			return nil
		}
		return decode(v, &found)
	})
	return err == nil && found == schema
}

// readRecent reads what has changed since the flat files were written.
func (l *Ledger) readRecent() error {
	if l.seal.recent == "" {
		return nil
	}
	return flat.Read(filepath.Join(l.dir, recentFile), l.seal.recent, 2*maxRecent, func(k, v []byte) error {
		if len(k) < 3 || k[1] != '/' || !slices.Contains(loaded, k[0]) {
			return errRecord
		}
		l.since.put(string(k), slices.Clone(v))
		return nil
	})
}

// loadFlat loads what the flat files have.
func (l *Ledger) loadFlat() (s *State, ok bool) {
	if len(l.seal.flats) < len(loaded) {
		return nil, false
	}
	s, parts := newState(), new(pool)
	for _, prefix := range loaded {
		if l.merge(prefix, l.since.of(prefix), func(k, v []byte) error { return s.add(k, v, parts) }) != nil {
			return nil, false
		}
	}
	return s, true
}

// readFlat calls add with what the flat file of a kind has.
func (l *Ledger) readFlat(prefix byte, add func(k, v []byte) error) error {
	limit := 32*l.stored + 16<<20 // tables are compressed, but not to a smaller part
	return flat.Read(filepath.Join(l.dir, flatName(prefix)), l.seal.flats[prefix], limit, func(k, v []byte) error {
		if len(k) < 3 || k[0] != prefix || k[1] != '/' {
			return errRecord
		}
		return add(k, v)
	})
}

// flatten writes the flat files of what has changed. Where there is no room, or
// anything else is in the way, there is none.
func (l *Ledger) flatten() {
	much := l.since.bytes > maxRecent
	for _, prefix := range loaded {
		pairs := func(put putter) error { return l.copy(prefix, put) }
		if l.seal.flats[prefix] != "" {
			keys := l.since.of(prefix)
			if !much || len(keys) == 0 {
				continue
			}
			pairs = func(put putter) error { return l.merge(prefix, keys, put) }
		}
		l.seal.flats[prefix] = l.writeFlat(flatName(prefix), pairs)
		l.since.forget(prefix)
	}
	switch {
	case len(l.since.values) == 0:
		l.seal.recent = ""
		os.Remove(filepath.Join(l.dir, recentFile))
	case l.since.fresh:
		l.seal.recent = l.writeFlat(recentFile, l.since.each)
	}
	if l.seal.recent == "" {
		for k := range l.since.values {
			delete(l.seal.flats, k[0])
		}
	}
	maps.DeleteFunc(l.seal.flats, func(_ byte, sum string) bool { return sum == "" })
}

type putter = func(k, v []byte) error

// writeFlat returns the sum of the file, or "" where there is none: the seal does not list
// what is left of it.
func (l *Ledger) writeFlat(name string, pairs func(put putter) error) (sum string) {
	path := filepath.Join(l.dir, name)
	sum, err := flat.Write(path, func(more int64) error { return l.o.Spare(more + l.Need(0)) }, pairs)
	if err != nil {
		os.Remove(path)
		return ""
	}
	return sum
}

// copy puts what badger has of a kind.
func (l *Ledger) copy(prefix byte, put putter) error {
	return l.view(func(txn *badger.Txn) error {
		return each(txn, []byte{prefix, '/'}, func(k, v []byte) error {
			if isText(k) || len(v) == 0 || v[0] != versionJSON {
				return put(k, v)
			}
			r, err := read(k, v, nil)
			if err != nil {
				return err
			}
			return put(k, write(r))
		})
	})
}

// merge puts what the flat file of a kind has, with the changes of keys.
func (l *Ledger) merge(prefix byte, keys []string, put putter) error {
	change := func() error {
		k := keys[0]
		keys = keys[1:]
		if v := l.since.values[k]; len(v) > 0 {
			return put([]byte(k), v)
		}
		return nil
	}
	err := l.readFlat(prefix, func(k, v []byte) error {
		for len(keys) > 0 && keys[0] < string(k) {
			if err := change(); err != nil {
				return err
			}
		}
		if len(keys) > 0 && keys[0] == string(k) {
			return change()
		}
		return put(k, v)
	})
	for err == nil && len(keys) > 0 {
		err = change()
	}
	return err
}
