package ledger

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// schema is the version of the whole key scheme, kept under m/schema.
const (
	schema    = "1"
	schemaKey = "schema"
)

func (l *Ledger) checkSchema() error {
	var got string
	err := l.view(func(txn *badger.Txn) error {
		it, err := txn.Get(nameKey(prefixMeta, schemaKey))
		if err == badger.ErrKeyNotFound {
			return nil
		} else if err != nil {
			return err
		}
		return it.Value(func(v []byte) error { return decode(v, &got) })
	})
	switch {
	case err != nil:
		return fmt.Errorf("ledger: read schema: %w", err)
	case got == "":
		var b Batch
		b.putNote(schemaKey, schema, nil)
		return l.Commit(&b, nil)
	case got != schema:
		return fmt.Errorf("ledger has schema %q, this program knows %q: use the distkeep that wrote it, or a newer one", got, schema)
	}
	return nil
}

// Load reads the whole ledger except the successes and runs.
func (l *Ledger) Load() (*State, error) {
	s, ok := l.loadFlat()
	if !ok {
		l.distrust()
		var err error
		if s, err = l.loadAll(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(s.Distfiles, byKey) // a key of the ledger has a / after the name
	return s, nil
}

// Check reads in badger what Load may know without, and keeps none of it. Its error
// wraps ErrDamaged where that is the cause.
func (l *Ledger) Check() error {
	if err := l.wake(); err != nil {
		return err
	}
	notes, parts := newState(), new(pool)
	err := l.loadEach(func(k, v []byte) error {
		if k[0] == prefixMeta {
			return notes.addMeta(k, v)
		}
		_, err := read(k, v, parts)
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

func (l *Ledger) loadAll() (*State, error) {
	s, parts := newState(), new(pool)
	return s, l.loadEach(func(k, v []byte) error { return s.add(k, v, parts) })
}

// loadEach calls add with everything in badger that Load reads.
func (l *Ledger) loadEach(add func(k, v []byte) error) error {
	err := l.view(func(txn *badger.Txn) error {
		for _, prefix := range loaded {
			if err := each(txn, []byte{prefix, '/'}, add); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load ledger: %w", err)
	}
	return nil
}

// add adds what is kept under a key.
func (s *State) add(k, v []byte, p *pool) error {
	if k[0] == prefixMeta {
		return s.addMeta(k, v)
	}
	r, err := read(k, v, p)
	if err != nil {
		return err
	}
	r.keep(s)
	return nil
}

// each calls f with every key below prefix and its value; both are valid only
// during the call. Values stand beside their keys: to have badger fetch them before
// would cost a goroutine each.
func each(txn *badger.Txn, prefix []byte, f func(k, v []byte) error) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if err := item.Value(func(v []byte) error { return f(item.Key(), v) }); err != nil {
			return fmt.Errorf("%q: %w", item.Key(), err)
		}
	}
	return nil
}

func (s *State) addMeta(k, v []byte) error {
	var text string
	if err := decode(v, &text); err != nil {
		return err
	}
	return s.Notes.set(string(k[2:]), text)
}

// Runs returns the records of the last n runs, the newest first.
func (l *Ledger) Runs(n int) ([]Run, error) {
	var runs []Run
	err := l.view(func(txn *badger.Txn) error {
		prefix := []byte{prefixRun, '/'}
		it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
		defer it.Close()
		for it.Seek(append(prefix, 0xff)); it.ValidForPrefix(prefix) && len(runs) < n; it.Next() {
			sec, err := strconv.ParseInt(strings.TrimPrefix(string(it.Item().Key()), string(prefix)), 10, 64)
			if err != nil {
				return fmt.Errorf("%q: %w", it.Item().Key(), errRecord)
			}
			err = it.Item().Value(func(v []byte) error {
				if len(v) == 0 || v[0] != versionJSON {
					return errRecord
				}
				runs = append(runs, Run{secs(sec), slices.Clone(v[1:])})
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: runs: %w", err)
	}
	return runs, nil
}
