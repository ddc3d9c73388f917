package ledger

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"distkeep/archive/ledger/flat"
)

// A ledger that is closed has the records of each kind that Load reads in a flat file,
// too, in the binary form and in the order of their keys. The seal lists them with their
// sums: only those that have what the tables have, so that one that a killed process has
// left, or an older one, is none of them. They are made of what badger has, never of
// what is in memory. Without one, the ledger has what it has.

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

// whole reports whether there is a flat file of each kind.
func (s *seal) whole() bool { return len(s.flats) == len(loaded) }

// readable reports whether the flat files have everything that Load reads, in the key
// scheme of this program.
func (l *Ledger) readable() bool {
	var found string
	ok := l.seal.whole() && l.readFlat(prefixMeta, func(k, v []byte) error {
		if string(k[2:]) != schemaKey {
			return nil
		}
		return decode(v, &found)
	})
	return ok && found == schema
}

// loadFlat loads what the flat files have.
func (l *Ledger) loadFlat() (s *State, ok bool) {
	if !l.seal.whole() {
		return nil, false
	}
	s, parts := newState(), new(pool)
	for _, prefix := range loaded {
		if !l.readFlat(prefix, func(k, v []byte) error { return s.add(k, v, parts) }) {
			return nil, false
		}
	}
	return s, true
}

// readFlat calls add with what the flat file of a kind has, and reports whether all of
// that is what badger has. If not, all are made again.
func (l *Ledger) readFlat(prefix byte, add func(k, v []byte) error) bool {
	limit := 32*l.stored + 16<<20 // tables are compressed, but not to a smaller part
	err := flat.Read(filepath.Join(l.dir, flatName(prefix)), l.seal.flats[prefix], limit, func(k, v []byte) error {
		if len(k) < 3 || k[0] != prefix || k[1] != '/' {
			return errRecord
		}
		return add(k, v)
	})
	if err != nil {
		clear(l.seal.flats)
	}
	return err == nil
}

// flatten writes the flat files of what has changed since they were written. What a
// former program has written is renewed in badger meanwhile, some of it each time.
// Where there is no room, or anything else is in the way, there is no flat file.
func (l *Ledger) flatten() {
	var renewed Batch
	for _, prefix := range loaded {
		if l.seal.flats[prefix] != "" {
			continue
		}
		path := filepath.Join(l.dir, flatName(prefix))
		room := func(more int64) error { return l.o.Spare(more + l.Need(renewed.Bytes())) }
		sum, err := flat.Write(path, room, func(put func(k, v []byte) error) error {
			return l.view(func(txn *badger.Txn) error {
				return each(txn, []byte{prefix, '/'}, func(k, v []byte) error {
					if isText(k) || len(v) == 0 || v[0] != versionJSON {
						return put(k, v)
					}
					r, err := read(k, v, nil)
					if err != nil {
						return err
					}
					v = write(r)
					if renewed.Len() < perTxn/2 {
						renewed.ops = append(renewed.ops, op{key: bytes.Clone(k), value: v})
					}
					return put(k, v)
				})
			})
		})
		if err != nil {
			os.Remove(path) // the seal does not list it, whatever it is
			continue
		}
		l.seal.flats[prefix] = sum
	}
	if renewed.Len() == 0 {
		return
	}
	flats := maps.Clone(l.seal.flats)
	if err := l.o.Spare(l.Need(renewed.Bytes())); err != nil || l.Commit(&renewed, nil) != nil {
		return
	}
	l.seal.flats = flats // they have it already
}
