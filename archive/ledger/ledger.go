// Package ledger is the durable memory of an archive: which contents it holds
// under which names, what failed, what is scheduled for deletion, what waits in
// recycle, and the record of every run.
//
// It is a badger database and the only place that knows so. The disk is always
// ahead of it: a record is written after its bytes are durable.
//
// The rules that callers may rely on:
//
//   - What Commit has returned for is there after a power failure.
//   - What was read is bounded, and of its type: a hostile value is an error, and a
//     name is one that paths may be made of.
//   - Nothing depends on the flat files, which a closed ledger has beside badger to be
//     read without it. Badger is opened when something is asked of it, at the latest
//     by Commit, whose error may then be one of Open.
//   - Whatever changes a closed ledger changes its Seal.
//
// A key has a letter for the kind of its record, see the prefixes; a value has a byte
// for its form, see record. Begin reading at Open, Load and Commit.
package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
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

// slack is what badger writes beside records: the beginnings of its logs, its
// MANIFEST, and blocks that are not full.
const slack = 4 << 20

// Options of Open. The zero value is ready for use.
type Options struct {
	// Room returns an error unless that many bytes, and the files that they
	// take, can be written. Nil means that nobody looks.
	Room func(need int64) error
	// Spare is Room for what can be done without.
	Spare func(need int64) error
}

// A Ledger is an open ledger. Its methods may be called from one goroutine at
// a time.
type Ledger struct {
	dir    string
	o      Options
	seal   *seal
	db     *badger.DB // nil until something is asked of it, see wake
	log    *badgerLog
	lock   *flock.Flock
	since  changes
	stored int64 // what badger takes of the disk, and was given to it since
}

// Need is how many bytes have to be free where the ledger is before more bytes are
// committed, so that badger can write them and, on closing, a compacted copy of all
// that there is.
func (l *Ledger) Need(more int64) int64 { return need(l.stored, more) }

func need(stored, more int64) int64 { return 2*(stored+more) + more + slack }

// storedIn is what badger's files take of the disk: those that are open, or that a
// killed process has left, are larger than that.
func storedIn(dir string) (bytes int64) {
	files, _ := os.ReadDir(dir) // what cannot be listed cannot be opened either
	for _, f := range files {
		if fi, err := f.Info(); err == nil && filepath.Ext(f.Name()) != flatExt {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				bytes += int64(st.Blocks) * 512
			}
		}
	}
	return bytes
}

// badgerOptions are tuned for a process that lives for minutes and keeps 10^5 or 10^6
// records of a few hundred bytes, most of which are digests. badger's defaults would
// keep 2 GiB of sparse files while open, and not survive a power failure.
//
// A ledger that was changed a little leaves one more small table when it is closed. The
// keys of that are from the first to the last kind of records, so that to compact it
// writes nearly everything anew: that is done for maxSmall of them at once.
func badgerOptions(dir string, log *badgerLog) badger.Options {
	o := badger.DefaultOptions(dir).
		WithSyncWrites(true).       // a fraction of a millisecond a transaction; survives power loss
		WithDetectConflicts(false). // one goroutine writes
		WithCompactL0OnClose(newTables(dir)+1 >= maxSmall).
		WithNumLevelZeroTables(maxSmall).
		WithNumLevelZeroTablesStall(2 * maxSmall).
		WithMemTableSize(8 << 20).      // which is in memory three times: with its log, and the table made of it
		WithNumMemtables(2).            // one being written, one being flushed
		WithNumCompactors(2).           // fewer is an error
		WithBaseLevelSize(64 << 20).    // up to there, one level to compact into
		WithBaseTableSize(4 << 20).     // a compaction has twice that in memory for several tables
		WithValueLogFileSize(16 << 20). // an open value log has twice this apparent size
		WithCompression(options.None).  // takes a quarter off the tables, and a quarter of the time of a load
		WithBlockCacheSize(0).          // nothing to unpack, nothing to keep
		WithMetricsEnabled(false).      // no expvar globals
		WithLogger(log)
	o.TableSizeMultiplier = 1 // larger tables would only take more memory
	return o
}

// maxSmall is how many tables wait to be compacted.
const maxSmall = 8

// newTables returns how many do in dir. Where that cannot be read, badger says so.
func newTables(dir string) int {
	f, err := regular.Open(filepath.Join(dir, manifestName))
	if err != nil {
		return 0
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions(dir))
	if err != nil || len(m.Levels) == 0 {
		return 0
	}
	return len(m.Levels[0].Tables)
}

// Open opens or creates the ledger in dir. Its error wraps ErrDamaged where
// that is the cause.
func Open(dir string, o Options) (*Ledger, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if o.Room == nil {
		o.Room = func(int64) error { return nil }
	}
	if o.Spare == nil {
		o.Spare = o.Room
	}
	l := &Ledger{dir: dir, o: o, stored: storedIn(dir)}
	if err := o.Room(l.Need(0)); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	// Ours comes before badger's, which is taken when there is a database.
	lock := flock.New(filepath.Clean(dir)+".lock", flock.SetFlag(regular.LockFlags))
	if ok, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock ledger: %w", err)
	} else if !ok {
		return nil, fmt.Errorf("open ledger %s: %w", dir, errLocked)
	}
	l.lock = lock
	err := checkManifest(dir)
	if err == nil {
		l.seal, err = checkSeal(dir)
	}
	if err != nil {
		err = fmt.Errorf("open ledger: %w", err)
	} else if !l.readable() {
		l.distrust()
		err = l.wake()
	}
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return l, nil
}

// wake opens badger, unless it is open. A ledger that was closed has what Load reads in
// flat files as well: then nobody waits for badger who only reads.
func (l *Ledger) wake() error {
	if l.db != nil {
		return nil
	}
	// badger writes through mmap, where a full disk arrives as SIGBUS and
	// ends the process: it must never meet one.
	if err := l.o.Room(l.Need(0)); err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	if err := dropEmpty(l.dir); err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	db, err := l.openFreed()
	if err != nil {
		return fmt.Errorf("open ledger %s: %w: %w", l.dir, cause(err), err)
	}
	l.db = db
	if err := l.checkSchema(); err != nil {
		l.db = nil
		return errors.Join(err, db.Close())
	}
	return nil
}

// view reads in badger.
func (l *Ledger) view(f func(txn *badger.Txn) error) error {
	if err := l.wake(); err != nil {
		return err
	}
	return l.db.View(f)
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
		if ext := filepath.Ext(f.Name()); ext != logExt && ext != ".vlog" {
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

// openFreed is openBadger once nobody holds badger's lock. We have our own, so that it
// is a process that is just being started: until the program of one runs, it has what
// was open when it began, and badger gives its lock back by closing it.
func (l *Ledger) openFreed() (db *badger.DB, err error) {
	for pause := time.Millisecond; ; pause *= 2 {
		awaitForks()
		l.log = new(badgerLog)
		db, err = openBadger(l.dir, l.log)
		if err == nil || cause(err) != errHeld || pause > time.Second {
			return db, err
		}
		time.Sleep(pause)
	}
}

// awaitForks waits until no process of this one is being started, as far as Go knows: it
// may still have to close what it has.
func awaitForks() {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
}

// openBadger turns a panic of badger over its own damaged files into an error.
func openBadger(dir string, log *badgerLog) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("badger: %v", r)
		}
	}()
	return badger.Open(badgerOptions(dir, log))
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
	if l.db == nil {
		return l.lock.Unlock()
	}
	if err := l.o.Room(l.Need(0)); err != nil {
		if !errors.Is(err, syscall.EROFS) {
			err = nil
		}
		return errors.Join(err, l.lock.Unlock())
	}
	l.flatten()
	closed := make(chan error, 1)
	go func() { closed <- l.db.Close() }()
	late := time.NewTimer(closeTime)
	defer late.Stop()
	select {
	case err := <-closed:
		if err == nil {
			err = l.seal.write(l.dir)
		}
		return errors.Join(err, l.lock.Unlock())
	case <-late.C:
		// The lock stays with badger, which may go on to write until this process
		// ends.
		return fmt.Errorf("close ledger %s: %w", l.dir, l.log.stuck(closeTime))
	}
}

// badgerLog keeps the last error that badger told nobody else, which is why it cannot
// go on. What it says otherwise is about its own affairs.
type badgerLog struct{ last atomic.Pointer[string] }

func (b *badgerLog) Errorf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	b.last.Store(&text)
}

func (b *badgerLog) Warningf(string, ...any) {}
func (b *badgerLog) Infof(string, ...any)    {}
func (b *badgerLog) Debugf(string, ...any)   {}

// stuck is the error of badger that has not come to an end in that time.
func (b *badgerLog) stuck(in time.Duration) error {
	err := fmt.Errorf("%w in %v: it is left as it is", ErrStuck, in)
	if why := b.last.Load(); why != nil {
		err = fmt.Errorf("%w: %s", err, *why)
	}
	return err
}
