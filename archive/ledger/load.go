package ledger

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"distkeep/catalog/digest"
)

// schema is the version of the whole key scheme, kept under m/schema.
const schema = "1"

func (l *Ledger) checkSchema() error {
	var got string
	err := l.db.View(func(txn *badger.Txn) error {
		it, err := txn.Get(nameKey(prefixMeta, "schema"))
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
		b.putNote("schema", schema, nil)
		return l.Commit(&b, nil)
	case got != schema:
		return fmt.Errorf("ledger has schema %q, this program knows %q: use the distkeep that wrote it, or a newer one", got, schema)
	}
	return nil
}

// Load reads the whole ledger except the successes and runs.
func (l *Ledger) Load() (*State, error) {
	s := newState()
	loaders := []struct {
		prefix byte
		add    func(k, v []byte) error
	}{
		{prefixFailure, s.addFailure},
		{prefixDeletion, s.addDeletion},
		{prefixRecycled, s.addRecycled},
		{prefixDropped, s.addDropped},
		{prefixMeta, s.addMeta},
	}
	err := l.db.View(func(txn *badger.Txn) error {
		for _, ld := range loaders {
			if err := each(txn, []byte{ld.prefix, '/'}, ld.add); err != nil {
				return err
			}
		}
		return l.loadDistfiles(txn, s)
	})
	if err != nil {
		return nil, fmt.Errorf("load ledger: %w", err)
	}
	return s, nil
}

// each calls f with every key below prefix and its value; both are valid only
// during the call.
func each(txn *badger.Txn, prefix []byte, f func(k, v []byte) error) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if err := item.Value(func(v []byte) error { return f(item.Key(), v) }); err != nil {
			return fmt.Errorf("%q: %w", item.Key(), err)
		}
	}
	return nil
}

// loadDistfiles decodes on all processors: with some 10^5 records, decoding is
// what a run with nothing to do spends most of its ledger time on.
func (l *Ledger) loadDistfiles(txn *badger.Txn, s *State) error {
	type raw struct{ k, v []byte }
	const chunk = 1024
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0) + 1)
	var decoded [][]Distfile
	var pending []raw
	flush := func() {
		raws, out := pending, make([]Distfile, len(pending))
		pending, decoded = nil, append(decoded, out)
		g.Go(func() (err error) {
			for i, r := range raws {
				if out[i], err = decodeDistfile(r.k, r.v); err != nil {
					return fmt.Errorf("%q: %w", r.k, err)
				}
			}
			return nil
		})
	}
	err := each(txn, []byte{prefixDistfile, '/'}, func(k, v []byte) error {
		if pending = append(pending, raw{slices.Clone(k), slices.Clone(v)}); len(pending) == chunk {
			flush()
		}
		return nil
	})
	if len(pending) > 0 {
		flush()
	}
	if werr := g.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return err
	}
	s.Distfiles = slices.Grow(s.Distfiles, len(decoded)*chunk)
	for _, ds := range decoded {
		for i := range ds {
			s.Distfiles = append(s.Distfiles, &ds[i])
		}
	}
	slices.SortFunc(s.Distfiles, byKey) // a key of the ledger has a / after the name
	return nil
}

func decodeDistfile(k, v []byte) (Distfile, error) {
	key, err := parseContentKey(k)
	if err != nil {
		return Distfile{}, err
	}
	var w wireDistfile
	if err := decode(v, &w); err != nil {
		return Distfile{}, err
	}
	return w.distfile(key)
}

func (s *State) addFailure(_, v []byte) error {
	f := new(Failure)
	if err := decode(v, f); err != nil {
		return err
	}
	if f.Name != "" { // that of a package has none
		if _, err := parseName([]byte(f.Name)); err != nil {
			return err
		}
	}
	s.Failures[f.Key()] = f
	return nil
}

func (s *State) addDeletion(k, v []byte) error {
	key, err := parseContentKey(k)
	if err != nil {
		return err
	}
	var w wireDeletion
	if err := decode(v, &w); err != nil {
		return err
	}
	s.Deletions[key] = &Deletion{key, secs(w.Since), w.Owner, w.Size, w.Undone}
	return nil
}

func (s *State) addRecycled(k, v []byte) error {
	key, err := parseContentKey(k)
	if err != nil {
		return err
	}
	var w wireDistfile
	if err := decode(v, &w); err != nil {
		return err
	}
	d, err := w.distfile(key)
	if err != nil {
		return err
	}
	s.Recycled[key] = &Recycled{d, secs(w.Since), w.Pending}
	return nil
}

func (s *State) addDropped(k, v []byte) error {
	var w wireDropped
	if err := decode(v, &w); err != nil {
		return err
	}
	sum, err := digest.Parse(digest.SHA256, w.SHA256)
	if err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	name, err := parseName(k[2:])
	if err != nil {
		return err
	}
	s.Dropped[name] = &Dropped{name, w.file(), sum, secs(w.Since), w.Want, w.Refused}
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
	err := l.db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Reverse = true
		prefix := []byte{prefixRun, '/'}
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Seek(append(prefix, 0xff)); it.ValidForPrefix(prefix) && len(runs) < n; it.Next() {
			sec, err := strconv.ParseInt(strings.TrimPrefix(string(it.Item().Key()), string(prefix)), 10, 64)
			if err != nil {
				return fmt.Errorf("%q: %w", it.Item().Key(), errRecord)
			}
			err = it.Item().Value(func(v []byte) error {
				if len(v) == 0 || v[0] != version {
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
