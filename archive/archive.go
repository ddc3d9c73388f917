// Package archive runs an archive of distfiles: it plans what a run has to do,
// mirrors what packages want, takes over what is on disk already, lets go of
// what nobody has wanted for long enough, and reports.
//
// The commit protocol is the same everywhere: bytes are verified while they
// arrive in a .part file, made durable, linked to their published paths, made
// durable there, and only then recorded in the ledger. A record therefore
// always has its bytes. What a crash leaves unrecorded is found by the next run
// in the published tree or among the parts and recorded then, without another
// transfer.
package archive

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
)

// Options say where an archive is and how it is used. Distfiles and State are
// needed; everything else has a usable zero value.
type Options struct {
	// Distfiles is the directory that is published, State the one that holds
	// the ledger and everything else.
	Distfiles, State string
	// Now is the clock. Nil means time.Now. A run reads it once at its start;
	// everything it decides or records has that time.
	Now func() time.Time
	// What describes the holder of the lock to others: "distkeep mirror".
	What string
	// Events are told what happens. Nil fields are ignored.
	Events Events
}

// Events are called as a run proceeds, from several goroutines at once. They
// must return quickly. Nil fields are ignored.
type Events struct {
	// Warn is told what an operator should know, one line each.
	Warn func(msg string)
	// Phase is told what begins: "scan", "read", "fetch", "expire".
	Phase func(name string, files int, bytes int64)
	// Added is told of every content that was recorded, and where it came
	// from; Removed of every content that left the published tree.
	Added   func(owner string, name string, size int64, origin string)
	Removed func(owner string, name string)
	// Failed is told of every failure of this run; known says that the last
	// run had it too.
	Failed func(f *ledger.Failure, known bool)
	// Received is told of bytes that came over the network, Read of bytes that
	// were read from the archive to verify them.
	Received func(n int)
	Read     func(n int)
	// Checked is told of every content that was verified; damage is empty when
	// it is right.
	Checked func(name string, size int64, damage string)
}

func (e *Events) warn(format string, args ...any) {
	if e.Warn != nil {
		e.Warn(fmt.Sprintf(format, args...))
	}
}

func (e *Events) phase(name string, files int, bytes int64) {
	if e.Phase != nil {
		e.Phase(name, files, bytes)
	}
}

func (e *Events) added(d *ledger.Distfile, origin string) {
	if e.Added != nil {
		e.Added(OwnerPackage(d.Owner), string(d.Name), d.Size, origin)
	}
}

func (e *Events) removed(owner string, name string) {
	if e.Removed != nil {
		e.Removed(OwnerPackage(owner), name)
	}
}

func (e *Events) failed(f *ledger.Failure, known bool) {
	if e.Failed != nil {
		e.Failed(f, known)
	}
}

func (e *Events) read(n int) {
	if e.Read != nil {
		e.Read(n)
	}
}

func (e *Events) checked(name string, size int64, damage string) {
	if e.Checked != nil {
		e.Checked(name, size, damage)
	}
}

// OwnerPackage cuts the repository off an owner, as emirrordist's logs want it,
// and is "unknown" for none.
func OwnerPackage(owner string) string {
	if p, _, ok := strings.Cut(owner, "::"); ok {
		return p
	}
	if owner == "" {
		return "unknown"
	}
	return owner
}

// Errors that decide the exit status of a program.
var (
	// ErrLocked is store.ErrLocked: another run holds the archive.
	ErrLocked = store.ErrLocked
	// ErrBroken means that the file system or the ledger of the archive is
	// full or damaged.
	ErrBroken = errors.New("archive is damaged or full")
	// ErrConfig means that the archive cannot be used as it was asked to be.
	ErrConfig = errors.New("archive cannot be used like this")
)

// An Archive is an archive that this process may change: it holds the lock.
type Archive struct {
	o      Options
	began  time.Time
	now    time.Time // began in whole seconds, UTC: what is decided and recorded
	store  *store.Store
	ledger *ledger.Ledger
	lock   *store.Held
}

// Open takes the lock of the archive that Init made and opens it. Its error
// wraps ErrLocked, ErrBroken, ErrConfig or ErrNoArchive where that is the
// cause.
func Open(o Options) (*Archive, error) { return open(o, (*Archive).openLedger) }

func open(o Options, openLedger func(*Archive) error) (a *Archive, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	a = &Archive{o: o, began: o.Now()}
	a.now = a.began.UTC().Truncate(time.Second)
	if err := Check(o.Distfiles, o.State); err != nil {
		return nil, mark(ErrConfig, err)
	}
	if a.lock, err = store.Lock(o.State, o.What, a.now); errors.Is(err, ErrLocked) {
		return nil, err
	} else if err != nil {
		return nil, mark(classOf(err), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
			a = nil
		}
	}()
	layouts, err := layout.Load(o.Distfiles)
	if err != nil {
		return a, mark(ErrConfig, err)
	}
	if a.store, err = openStore(o.Distfiles, o.State, layouts, a.lock); err != nil {
		return a, err
	}
	return a, openLedger(a)
}

// openStore opens the store of an archive. What a run that was killed has linked
// there is made durable before anybody builds upon it.
func openStore(distfiles, state string, layouts layout.Conf, lock *store.Held) (*store.Store, error) {
	s, err := store.Open(distfiles, state, layouts, nil)
	if err != nil {
		return nil, mark(classOf(err), err)
	}
	if lock.Unsettled {
		if err := s.Settle(); err != nil {
			return nil, errors.Join(mark(classOf(err), err), s.Close())
		}
		lock.Unsettled = false
	}
	return s, nil
}

func (a *Archive) openLedger() error {
	err := a.tryLedger()
	if errors.Is(err, ledger.ErrDamaged) {
		return mark(ErrBroken, fmt.Errorf("%w; the files of the archive are not affected: distkeep doctor --repair makes a new ledger of them", err))
	}
	return err
}

func (a *Archive) tryLedger() (err error) {
	a.ledger, err = ledger.Open(a.store.LedgerDir(), ledger.Options{
		Warn: func(msg string) { a.o.Events.warn("ledger: %s", msg) },
		Room: a.store.StateRoom,
	})
	if err != nil {
		return mark(classOf(err), err)
	}
	return nil
}

// mark makes err wrap one of the errors above without changing its text.
func mark(as, err error) error { return &marked{err, as} }

type marked struct{ err, as error }

func (m *marked) Error() string   { return m.err.Error() }
func (m *marked) Unwrap() []error { return []error{m.err, m.as} }

func classOf(err error) error {
	if store.Broken(err) {
		return ErrBroken
	}
	return ErrConfig
}

// Close closes the archive and lets go of the lock.
func (a *Archive) Close() error {
	var errs []error
	if a.ledger != nil {
		err := a.ledger.Close()
		if errors.Is(err, ledger.ErrStuck) {
			err = mark(ErrBroken, err)
		}
		errs = append(errs, err)
		store.Failpoint("ledger.closed")
	}
	if a.store != nil {
		a.lock.Unsettled = a.lock.Unsettled || a.store.Unsettled()
		errs = append(errs, a.store.Close())
	}
	errs = append(errs, a.lock.Unlock())
	return errors.Join(errs...)
}

// Room returns a function that says whether need bytes may be written below
// dir, so that keep are still free. It is for what repositories keep of their
// upstreams while they are scanned; a scan that ends with its error is one of
// an archive that is full.
func Room(dir string, keep int64) func(need int64) error {
	return func(need int64) error { return store.Room(dir, need, keep) }
}

// Dirs returns the published and the state directory of an archive at dir.
func Dirs(dir string) (distfiles, state string) {
	return filepath.Join(dir, "distfiles"), filepath.Join(dir, "state")
}
