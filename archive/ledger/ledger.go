// Package ledger is the durable memory of an archive: which contents it holds
// under which names, what failed, what is scheduled for deletion, what waits in
// recycle, and the record of every run.
//
// It is a badger database and the only place that knows so. The disk is always
// ahead of it: a record is written after its bytes are durable.
package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/gofrs/flock"

	"distkeep/catalog/regular"
)

var (
	// errLocked means that another process has the ledger open.
	errLocked = errors.New("ledger is open in another process")
	// ErrDamaged means that the files of the ledger cannot be used. They
	// hold nothing that the archive itself does not: set them aside, and
	// the next run adopts every file anew.
	ErrDamaged = errors.New("ledger is damaged")
	// errHeld means that badger has the files of the ledger open elsewhere: in a
	// program of its own, or in this process, where Close had no room.
	errHeld = errors.New("badger has the ledger open already")
	// ErrStuck means that the file system does not let the ledger be closed.
	ErrStuck = errors.New("badger cannot write what it has")
)

const (
	// room is what badger may come to write in one run before anybody looks
	// again: two memtables with their logs, one value log and a compaction.
	room = 256 << 20
	// closeRoom is what it may come to write when it is closed.
	closeRoom = 64 << 20
)

// Options of Open. The zero value is ready for use.
type Options struct {
	// Warn is told what badger has to say that somebody should know. Nil
	// means nobody.
	Warn func(msg string)
	// Room returns an error unless that many bytes, and the files that they
	// take, can be written. Nil means that nobody looks.
	Room func(need int64) error
}

// A Ledger is an open ledger. Its methods may be called from one goroutine at
// a time.
type Ledger struct {
	dir    string
	room   func(need int64) error
	sealed map[string]sealed
	db     *badger.DB
	lock   *flock.Flock
}

// badgerOptions are tuned for a process that lives for minutes and keeps some
// 10^5 records of a few hundred bytes. badger's defaults would leave one more
// small table behind each run, keep 2 GiB of sparse files while open, and not
// survive a power failure.
func badgerOptions(dir string, o Options) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).           // a fraction of a millisecond a transaction; survives power loss
		WithCompactL0OnClose(true).     // else one tiny table a run, for ever
		WithMemTableSize(16 << 20).     // one transaction may hold 12,000 records
		WithNumMemtables(2).            // one being written, one being flushed
		WithNumLevelZeroTables(2).      //
		WithNumLevelZeroTablesStall(8). //
		WithNumCompactors(2).           // fewer is an error
		WithValueLogFileSize(16 << 20). // an open value log has twice this apparent size
		WithBlockCacheSize(8 << 20).    // zero panics while compression is on
		WithMetricsEnabled(false).      // no expvar globals
		WithLogger(badgerLog{o.Warn})
}

// Open opens or creates the ledger in dir. Its error wraps ErrDamaged where
// that is the cause.
func Open(dir string, o Options) (*Ledger, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	// badger writes through mmap, where a full disk arrives as SIGBUS and
	// ends the process: it must never meet one.
	if o.Room != nil {
		if err := o.Room(room); err != nil {
			return nil, fmt.Errorf("open ledger: %w", err)
		}
	}
	// Ours comes before badger's, which is taken when there is a database.
	lock := flock.New(filepath.Clean(dir)+".lock", flock.SetFlag(regular.LockFlags))
	if ok, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock ledger: %w", err)
	} else if !ok {
		return nil, fmt.Errorf("open ledger %s: %w", dir, errLocked)
	}
	if err := checkManifest(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), lock.Unlock())
	}
	sealed, err := checkSeal(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), lock.Unlock())
	}
	if err := dropEmpty(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), lock.Unlock())
	}
	db, err := openBadger(badgerOptions(dir, o))
	if err != nil {
		lock.Unlock()
		return nil, fmt.Errorf("open ledger %s: %w: %w", dir, cause(err), err)
	}
	l := &Ledger{dir, o.Room, sealed, db, lock}
	if err := l.checkSchema(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// makeDir makes the directory of a new ledger durable: badger looks after what is
// in it.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return regular.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// dropEmpty removes logs of badger that have no byte: whoever was killed between
// their creation and their first byte has left them, and badger would refuse to
// open the ledger over them, once or for ever.
func dropEmpty(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if ext := filepath.Ext(f.Name()); ext != ".mem" && ext != ".vlog" {
			continue
		}
		fi, err := f.Info()
		if err == nil && fi.Mode().IsRegular() && fi.Size() == 0 {
			err = os.Remove(filepath.Join(dir, f.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openBadger turns a panic of badger over its own damaged files into an error.
func openBadger(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("badger: %v", r)
		}
	}()
	return badger.Open(o)
}

// cause tells what the operating system refused, and errHeld, from ErrDamaged.
func cause(err error) error {
	// badger cuts the chain of errors when it opens files.
	for _, e := range []error{
		syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, os.ErrPermission,
	} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return e
		}
	}
	if strings.Contains(err.Error(), "Cannot acquire directory lock") {
		return errHeld
	}
	return ErrDamaged // a bad sector, too: a new ledger has other ones
}

// closeTime is how long badger may take to close: it writes a few tables.
const closeTime = time.Minute

// Close flushes and closes the ledger. Without the room for that it leaves the
// ledger as a process does that is killed, for the next one to open: what was
// committed is durable. badger would end this process by SIGBUS, or try for ever
// to make a file. Until this process ends, nobody in it can open the ledger again.
// That there is too little room is no error of Close; anything else is one.
func (l *Ledger) Close() error {
	if l.room != nil {
		if err := l.room(closeRoom); err != nil {
			if !errors.Is(err, syscall.EROFS) {
				err = nil
			}
			return errors.Join(err, l.lock.Unlock())
		}
	}
	closed := make(chan error, 1)
	go func() { closed <- l.db.Close() }()
	late := time.NewTimer(closeTime)
	defer late.Stop()
	select {
	case err := <-closed:
		if err == nil {
			err = writeSeal(l.dir, l.sealed)
		}
		return errors.Join(err, l.lock.Unlock())
	case <-late.C:
		// The lock stays with badger, which may go on to write until this process
		// ends.
		return fmt.Errorf("close ledger %s: %w in %v: it is left as it is", l.dir, ErrStuck, closeTime)
	}
}

// badgerLog hands warnings and errors of badger on and drops its chatter.
type badgerLog struct{ warn func(string) }

func (b badgerLog) say(format string, args []any) {
	if b.warn != nil {
		b.warn(strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (b badgerLog) Errorf(format string, args ...any)   { b.say(format, args) }
func (b badgerLog) Warningf(format string, args ...any) { b.say(format, args) }
func (b badgerLog) Infof(string, ...any)                {}
func (b badgerLog) Debugf(string, ...any)               {}
