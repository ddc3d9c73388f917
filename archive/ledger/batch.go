package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"distkeep/catalog"
)

// A Batch collects changes for Commit. The zero value is empty and ready for
// use.
type Batch struct {
	ops []op
	err error
}

type op struct {
	key, value []byte       // no value: delete
	apply      func(*Index) // does the same in memory; nil where that knows nothing of it
}

// Len is the number of changes in b.
func (b *Batch) Len() int { return len(b.ops) }

// ChangesContents reports whether a change in b is about a content that is
// held, in recycle or on its way there.
func (b *Batch) ChangesContents() bool {
	return slices.ContainsFunc(b.ops, func(o op) bool {
		return o.key[0] == prefixDistfile || o.key[0] == prefixRecycled || o.key[0] == prefixDeletion
	})
}

func (b *Batch) put(key []byte, r record, apply func(*Index)) {
	b.ops = append(b.ops, op{key, write(r), apply})
}

// putText is put for notes and runs.
func (b *Batch) putText(key []byte, v any, apply func(*Index)) {
	value, err := encode(v)
	if err != nil {
		b.fail(fmt.Errorf("record %q: %w", key, err))
		return
	}
	b.ops = append(b.ops, op{key, value, apply})
}

func (b *Batch) fail(err error) { b.err = errors.Join(b.err, err) }

func (b *Batch) drop(key []byte, apply func(*Index)) {
	b.ops = append(b.ops, op{key: key, apply: apply})
}

// PutDistfile records a held content. The index has a copy of it after Commit: d may be
// a part of something that goes.
func (b *Batch) PutDistfile(d *Distfile) {
	own := new(Distfile)
	*own = *d
	b.put(contentKey(prefixDistfile, own.Key()), own, func(x *Index) { x.put(own) })
}

// DropDistfile forgets a held content.
func (b *Batch) DropDistfile(k Key) {
	b.drop(contentKey(prefixDistfile, k), func(x *Index) { x.drop(k) })
}

// PutFailure records a failure. f belongs to the index after Commit.
func (b *Batch) PutFailure(f *Failure) {
	b.put(failureKey(f.Key()), f, func(x *Index) { x.Failures[f.Key()] = f })
}

// DropFailure forgets a failure.
func (b *Batch) DropFailure(k FailureKey) {
	b.drop(failureKey(k), func(x *Index) { delete(x.Failures, k) })
}

// PutDeletion schedules a deletion. d belongs to the index after Commit.
func (b *Batch) PutDeletion(d *Deletion) {
	b.put(contentKey(prefixDeletion, d.Key), d, func(x *Index) { x.Deletions[d.Key] = d })
}

// DropDeletion takes a deletion off the schedule.
func (b *Batch) DropDeletion(k Key) {
	b.drop(contentKey(prefixDeletion, k), func(x *Index) { delete(x.Deletions, k) })
}

// PutRecycled records that a content waits in recycle. r belongs to the index
// after Commit.
func (b *Batch) PutRecycled(r *Recycled) {
	b.put(contentKey(prefixRecycled, r.Key()), r, func(x *Index) { x.recycle(r) })
}

// DropRecycled forgets a content in recycle.
func (b *Batch) DropRecycled(k Key) {
	b.drop(contentKey(prefixRecycled, k), func(x *Index) { x.dropRecycled(k) })
}

// PutDropped records a file of distfiles-local. d belongs to the index after
// Commit.
func (b *Batch) PutDropped(d *Dropped) {
	b.put(nameKey(prefixDropped, d.Name), d, func(x *Index) { x.Dropped[d.Name] = d })
}

// DropDropped forgets a file of distfiles-local.
func (b *Batch) DropDropped(name catalog.Name) {
	b.drop(nameKey(prefixDropped, name), func(x *Index) { delete(x.Dropped, name) })
}

// PutRun records a run.
func (b *Batch) PutRun(r *Run) { b.putText(runKey(r.Start), json.RawMessage(r.Summary), nil) }

func runKey(t time.Time) []byte { return fmt.Appendf(nil, "%c/%012d", prefixRun, t.Unix()) }

// perTxn and perTxnBytes bound a transaction: badger takes 13,000 records,
// and 15 % of the chosen memtable size, which is 1.2 MiB.
const (
	perTxn      = 4000
	perTxnBytes = 3 << 18
)

// Commit makes the changes of b durable, then makes them in x, which may be nil,
// and empties b. Up to 4000 changes of 768 KiB together are one transaction;
// larger batches are several, in order, so a crash leaves a prefix of them: every
// record stands for itself.
func (l *Ledger) Commit(b *Batch, x *Index) error {
	if b.err != nil {
		return b.err
	}
	if err := l.wake(); err != nil {
		return err
	}
	for len(b.ops) > 0 {
		n := txnLen(b.ops)
		l.stored += bytesOf(b.ops[:n])
		err := l.db.Update(func(txn *badger.Txn) error {
			for _, o := range b.ops[:n] {
				var err error
				if o.value == nil {
					err = txn.Delete(o.key)
				} else {
					err = txn.Set(o.key, o.value)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		l.note(b.ops[:n], err == nil)
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		if x != nil {
			x.apply(b.ops[:n])
		}
		b.ops = b.ops[n:]
	}
	b.ops = nil
	return nil
}

// Bytes bounds what the changes of b are in badger's log.
func (b *Batch) Bytes() int64 { return bytesOf(b.ops) }

func bytesOf(ops []op) (bytes int64) {
	const frame = 64 // of an entry
	for _, o := range ops {
		bytes += int64(len(o.key)+len(o.value)) + frame
	}
	return bytes
}

// txnLen is how many of ops go into one transaction: at least one.
func txnLen(ops []op) int {
	size := 0
	for i, o := range ops {
		size += len(o.key) + len(o.value)
		if i > 0 && size > perTxnBytes || i == perTxn {
			return i
		}
	}
	return len(ops)
}

// keepRuns is how long the records of runs are kept: an hourly job would
// otherwise add nine thousand of them a year for ever.
const keepRuns = 90 * 24 * time.Hour

// DropOldRuns puts into b the removal of the run records that are older than
// three months at now.
func (l *Ledger) DropOldRuns(b *Batch, now time.Time) error {
	err := l.dropBefore(b, []byte{prefixRun, '/'}, runKey(now.Add(-keepRuns)))
	if err != nil {
		return fmt.Errorf("ledger: old runs: %w", err)
	}
	return nil
}
