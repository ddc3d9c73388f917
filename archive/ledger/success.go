package ledger

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"math/bits"
	"strconv"
	"time"

	"github.com/dgraph-io/badger/v4"

	"distkeep/archive/layout"
	"distkeep/catalog/digest"
)

// A Success is something that was done with a content: the ledger keeps them for a
// year, also when the content is gone.
type Success struct {
	Key
	What Deed
	Time time.Time
	// Bytes is how many it has, Origin as in Distfile.
	Bytes  int64
	Origin string
}

// A Deed is what was done.
type Deed string

// The deeds.
const (
	Added    Deed = "added"
	Restored Deed = "restored" // added, from recycle
	Replaced Deed = "replaced" // another content has its name now
	Deleted  Deed = "recycled" // moved from the published tree to recycle
	Purged   Deed = "purged"
	Gone     Deed = "lost" // its bytes were gone, or were not its own
)

// deeds are the letters of keys.
var deeds = map[Deed]byte{Added: 'a', Restored: 'b', Replaced: 'n', Deleted: 'r', Purged: 'p', Gone: 'l'}

func deedOf(letter byte) (Deed, bool) {
	for d, l := range deeds {
		if l == letter {
			return d, true
		}
	}
	return "", false
}

// NewSuccess returns a record of what was done with a content of the origin at
// now.
func NewSuccess(c *layout.Content, origin string, what Deed, now time.Time) *Success {
	return &Success{Key: Key{c.Name, c.SHA256()}, What: what, Time: now, Bytes: c.Size, Origin: origin}
}

// PutSuccess records something that was done.
func (b *Batch) PutSuccess(s *Success) {
	b.put(successKey(s), s, nil)
}

// timeLen is the length of a time in a key, in Unix seconds.
const timeLen = 12

// successStart begins the keys of successes, which are in the order of time. No
// name begins with its last byte: before there were such keys, the name followed
// the letter.
var successStart = []byte{prefixSuccess, '/', 0}

func successKey(s *Success) []byte {
	k := s.SHA256.AppendHex(appendTime(bytes.Clone(successStart), s.Time))
	return append(append(k, deeds[s.What]), s.Name...)
}

// appendTime appends t as keys have it.
func appendTime(b []byte, t time.Time) []byte {
	n := max(t.Unix(), 0)
	b = append(b, "000000000000"[:timeLen]...)
	for i := len(b) - 1; n > 0 && i >= len(b)-timeLen; i, n = i-1, n/10 {
		b[i] = byte('0' + n%10)
	}
	return b
}

// blankSuccess returns what a key tells of a record. In the former form, which had but
// one for each name, that is the name.
func blankSuccess(k []byte) (s *Success, err error) {
	s = new(Success)
	rest := k[2:]
	if bytes.HasPrefix(k, successStart) {
		rest = k[len(successStart):]
		if len(rest) <= timeLen+65 {
			return nil, fmt.Errorf("key %q: %w", k, errRecord)
		}
		sec, err := strconv.ParseInt(string(rest[:timeLen]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k, errRecord)
		}
		s.Time = secs(sec)
		var ok bool
		if s.What, ok = deedOf(rest[timeLen+64]); !ok {
			return nil, fmt.Errorf("key %q: %w", k, errRecord)
		}
		if s.SHA256, err = digest.Parse(digest.SHA256, string(rest[timeLen:timeLen+64])); err != nil {
			return nil, fmt.Errorf("key %q: %w: %w", k, errRecord, err)
		}
		rest = rest[timeLen+65:]
	}
	s.Name, err = parseName(string(rest))
	return s, err
}

func (s *Success) parse(text []byte) (err error) {
	var w wireSuccess
	if err := unmarshal(text, &w); err != nil {
		return err
	}
	s.Bytes, s.Origin = w.Bytes, w.Origin
	if s.What != "" {
		return nil
	}
	s.Time = secs(w.Time)
	if s.What = Added; w.Removed {
		s.What = Deleted
	}
	if s.SHA256, err = digest.Parse(digest.SHA256, w.SHA256); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

// readSuccess reads a record.
func readSuccess(k, v []byte) (*Success, error) {
	r, err := read(k, v, nil)
	if err != nil {
		return nil, err
	}
	return r.(*Success), nil
}

// Successes calls yield for each record, the oldest first, but for those in the
// former form, which come last, and for those that known tells: that a content was added,
// and when. An error of yield ends it and is returned.
func (l *Ledger) Successes(known Records, yield func(*Success) error) error {
	told := newAdditions(known)
	err := l.view(func(txn *badger.Txn) error {
		return each(txn, []byte{prefixSuccess, '/'}, func(k, v []byte) error {
			if told.tell(k) {
				return nil
			}
			s, err := readSuccess(k, v)
			if err != nil {
				return err
			}
			return yield(s)
		})
	})
	if err != nil {
		return fmt.Errorf("ledger: successes: %w", err)
	}
	return nil
}

// Additions find in records what keys of successes tell. There is a success for each
// record, and they come in the order of time: so the records are in a table by name,
// which takes eight bytes each.
type additions struct {
	records Records
	slots   []int32 // one more than where in records; 0 is that there is none
	seed    maphash.Seed
}

func newAdditions(records Records) *additions {
	a := &additions{records, make([]int32, 1<<bits.Len(uint(len(records)*3/2))), maphash.MakeSeed()}
	for n, d := range records {
		i := a.first(maphash.String(a.seed, string(d.Name)))
		for a.slots[i] != 0 {
			i = a.next(i)
		}
		a.slots[i] = int32(n + 1)
	}
	return a
}

func (a *additions) first(hash uint64) int { return int(hash & uint64(len(a.slots)-1)) }
func (a *additions) next(i int) int        { return (i + 1) & (len(a.slots) - 1) }

// tell reports whether a record says that its content was added then. Those in the
// former form say more than their key.
func (a *additions) tell(k []byte) bool {
	rest, ok := bytes.CutPrefix(k, successStart)
	if !ok || len(rest) <= timeLen+65 {
		return false
	}
	at, sum, letter, name := rest[:timeLen], rest[timeLen:timeLen+64], rest[timeLen+64], rest[timeLen+65:]
	if letter != deeds[Added] && letter != deeds[Restored] {
		return false
	}
	var room [64]byte
	for i := a.first(maphash.Bytes(a.seed, name)); a.slots[i] != 0; i = a.next(i) {
		d := a.records[a.slots[i]-1]
		if string(d.Name) == string(name) && bytes.Equal(appendTime(room[:0], d.Added), at) &&
			bytes.Equal(d.SHA256().AppendHex(room[:0]), sum) {
			return true
		}
	}
	return false
}

// keepSuccesses is how long the records of what was done are kept.
const keepSuccesses = 365 * 24 * time.Hour

// DropOldSuccesses puts into b the removal of the records that are older than a
// year at now, and gives those of the former form the present one.
func (l *Ledger) DropOldSuccesses(b *Batch, now time.Time) error {
	since := now.Add(-keepSuccesses)
	limit := appendTime(bytes.Clone(successStart), since)
	if err := l.dropBefore(b, successStart, limit); err != nil {
		return fmt.Errorf("ledger: old successes: %w", err)
	}
	return l.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{prefixSuccess, '/'}})
		defer it.Close()
		for it.Seek([]byte{prefixSuccess, '/', 1}); it.Valid(); it.Next() {
			k := it.Item().KeyCopy(nil)
			err := it.Item().Value(func(v []byte) error {
				s, err := readSuccess(k, v)
				if err == nil && s.Time.After(since) {
					b.PutSuccess(s)
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("ledger: old successes: %w", err)
			}
			b.drop(k, nil)
		}
		return nil
	})
}

// dropBefore puts into b the removal of the records with the prefix whose keys are
// before limit.
func (l *Ledger) dropBefore(b *Batch, prefix, limit []byte) error {
	return l.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Rewind(); it.Valid() && bytes.Compare(it.Item().Key(), limit) < 0; it.Next() {
			b.drop(it.Item().KeyCopy(nil), nil)
		}
		return nil
	})
}

func (s *Success) export(e *entry) {
	e.setKey(s.Key)
	e.What, e.Time, e.Size, e.Origin = s.What, s.Time, s.Bytes, s.Origin
}

func importSuccess(e *entry, b *Batch) error {
	k, err := e.key()
	if err != nil {
		return err
	}
	switch { // an export of the former form
	case e.What == "" && e.Removed:
		e.What = Deleted
	case e.What == "":
		e.What = Added
	}
	if deeds[e.What] == 0 {
		return fmt.Errorf("unknown deed %q", e.What)
	}
	b.PutSuccess(&Success{k, e.What, e.Time, e.Size, e.Origin})
	return nil
}
