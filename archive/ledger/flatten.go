package ledger

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"distkeep/archive/ledger/flat"
)

// A ledger that is closed has the records of each kind that Load reads in a flat file,
// too, in the binary form and in the order of their keys. The seal lists them with their
// sums: only those that have what the tables have, so that one that a killed process has
// left, or an older one, is none of them. They are made of what badger has, or of the
// ones before and what was committed since, never of what is in memory. Without one,
// the ledger has what it has.

// loaded are the kinds of what Load reads.
var loaded = []byte{prefixMeta, prefixDistfile, prefixFailure, prefixDeletion, prefixRecycled, prefixDropped}

// flatExt is how the names of flat files end.
const flatExt = ".flat"

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

// changes are what was committed since the ledger was opened: the values by their keys,
// nil for those that are gone.
type changes struct {
	values map[string][]byte
	bytes  int
}

// maxChanges bounds what is kept of changes. Above it, badger tells them.
const maxChanges = 8 << 20

// note keeps ops, which were committed, or perhaps not. While there is a sum for a kind,
// its records are those of that flat file, but for the changes.
func (l *Ledger) note(ops []op, committed bool) {
	s := &l.since
	if s.values == nil {
		s.values = make(map[string][]byte)
	}
	for _, o := range ops {
		switch prefix := o.key[0]; {
		case l.seal.flats[prefix] == "":
		case !committed:
			delete(l.seal.flats, prefix)
		default:
			s.values[string(o.key)] = o.value
			s.bytes += len(o.key) + len(o.value)
		}
	}
	if s.bytes > maxChanges {
		for k := range s.values {
			delete(l.seal.flats, k[0])
		}
		*s = changes{}
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

// distrust has all flat files made again.
func (l *Ledger) distrust() { clear(l.seal.flats) }

// readable reports whether the flat files have everything that Load reads, in the key
// scheme of this program.
func (l *Ledger) readable() bool {
	var found string
	ok := len(l.seal.flats) == len(loaded) && l.readFlat(prefixMeta, func(k, v []byte) error {
		if string(k[2:]) != schemaKey {
			return nil
		}
		return decode(v, &found)
	}) == nil
	return ok && found == schema
}

// loadFlat loads what the flat files have.
func (l *Ledger) loadFlat() (s *State, ok bool) {
	if len(l.seal.flats) < len(loaded) || len(l.since.values) > 0 {
		return nil, false
	}
	s, parts := newState(), new(pool)
	for _, prefix := range loaded {
		if l.readFlat(prefix, func(k, v []byte) error { return s.add(k, v, parts) }) != nil {
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
	for _, prefix := range loaded {
		path, keys := filepath.Join(l.dir, flatName(prefix)), l.since.of(prefix)
		sum, err := l.seal.flats[prefix], error(nil)
		switch {
		case sum == "":
			sum, err = l.writeFlat(path, func(put putter) error { return l.copy(prefix, put) })
		case len(keys) > 0:
			sum, err = l.writeFlat(path, func(put putter) error { return l.merge(prefix, keys, put) })
		}
		if err != nil {
			os.Remove(path) // the seal does not list it, whatever it is
			delete(l.seal.flats, prefix)
			continue
		}
		l.seal.flats[prefix] = sum
	}
}

type putter = func(k, v []byte) error

func (l *Ledger) writeFlat(path string, pairs func(put putter) error) (sum string, err error) {
	return flat.Write(path, func(more int64) error { return l.o.Spare(more + l.Need(0)) }, pairs)
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
		if v := l.since.values[k]; v != nil {
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
