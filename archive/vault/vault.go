// Package vault is one archive: its files, its ledger, and what is known of both
// in memory. The three are changed together, and only here.
//
// The rules that callers may rely on:
//
//   - A record has its bytes. They are verified while they arrive, durable under
//     every path of the content, and only then recorded.
//   - Every change is made on disk first, then in the ledger, then in memory. What
//     a process that was killed has left undone is ended by Recycle.Mend and by what
//     the next run finds on disk, without another transfer.
//   - A path is never written in place. What takes the place of another file is
//     renamed over it, and the only link to bytes that nobody knows goes to
//     quarantine.
//   - Trouble with one file is in that file's Addition or FileError. An error of a
//     method means that the archive can hold nothing more, see Broken.
//
// A Vault is opened by Open, which takes the lock, and filled by Load. Begin
// reading at Publish, the way in, and Recycle.Put, the only way out.
package vault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
)

// A Vault is an archive that this process may change: it holds the lock. One
// goroutine at a time uses it.
type Vault struct {
	Options
	// Began is when it was opened. Now is that in whole seconds, UTC: what is
	// decided and recorded has that time.
	Began, Now time.Time
	Store      *store.Store
	Memory
	Recycle *Recycle
	// Part is what the archive has of the catalog.
	Part catalog.Part
	// Listed are the layouts of layout.conf, which clients ask by. Leaving are
	// those that it does not list any more, and until when they keep their paths;
	// zero is that they do not any more. Contents are published by all that have
	// paths, and by what a change brings.
	Listed  layout.Conf
	Leaving map[layout.Layout]time.Time
	// Changed says that the content of the archive is not what it was when it
	// was opened, Restated that the record of a content is not.
	Changed, Restated bool
	// Unsynced says that the lock was not given back properly before: a run was
	// killed, or could not make durable what it did.
	Unsynced bool
	// Recorded says that something was committed to the ledger.
	Recorded bool
	// Looks says that nothing is to be changed: Load leaves what it would settle.
	Looks bool

	warned atomic.Bool // the operator was told something

	depot  Depot
	ledger *ledger.Ledger
	lock   *store.Held
	// release gives back the lease, or is nil.
	release func() error
	marked  bool // the ledger knows of Changed
}

// Open takes the lock of the archive that was made by Init and opens it. Its error
// wraps ErrLocked or ErrNoArchive where that is the cause.
func Open(o Options) (*Vault, error) { return OpenBy(o, (*Vault).openLedger) }

// OpenShut is Open, but leaves the ledger closed until NeedLedger is called.
func OpenShut(o Options) (*Vault, error) {
	return OpenBy(o, func(*Vault) error { return nil })
}

// OpenBy is Open with another way to open the ledger, for those who can do with a
// damaged one. openLedger calls OpenLedger, perhaps not for the first time.
func OpenBy(o Options, openLedger func(*Vault) error) (v *Vault, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LayoutGrace == 0 {
		// Portage keeps layout.conf for a day; mirrors of the archive have
		// another one to get it.
		o.LayoutGrace = 48 * time.Hour
	}
	o.LayoutGrace = max(o.LayoutGrace, 0)
	o.Events = o.Events.withDefaults()
	v = &Vault{Options: o, Began: o.Now()}
	v.Events.Warn = func(msg string) {
		v.warned.Store(true)
		o.Events.Warn(msg)
	}
	v.Now = v.Began.UTC().Truncate(time.Second)
	v.Recycle = &Recycle{v}
	if err := Check(o.Distfiles, o.State); err != nil {
		return nil, err
	}
	if v.Part, err = checkBound(o.State, o.Remote); err != nil {
		return nil, err
	}
	if v.lock, err = store.Lock(o.State, o.What, v.Now); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
			v = nil
		}
	}()
	if o.Lease != nil {
		if v.release, err = o.Lease(); err != nil {
			return v, err
		}
	}
	v.Unsynced = v.lock.Unsynced
	if v.Listed, err = layout.Load(o.Distfiles); err != nil {
		return v, err
	}
	if v.Store, err = openStore(o.Distfiles, o.State, v.Listed, v.lock, o.Around); err != nil {
		return v, err
	}
	v.at = v.Store.Places
	v.depot = InFiles(v.Store)
	if o.Remote != nil {
		v.depot = o.Remote
	}
	if err := openLedger(v); err != nil || o.CatchUp == nil {
		return v, err
	}
	return v, Damage(o.CatchUp(v))
}

// openStore opens the store of an archive. What a run that was killed has linked
// there is made durable before anybody builds upon it.
func openStore(distfiles, state string, layouts layout.Conf, lock *store.Held, around func(disk.FS) disk.FS) (*store.Store, error) {
	s, err := store.Open(distfiles, state, layouts, around)
	if err != nil {
		return nil, err
	}
	if lock.Unsynced {
		if err := s.Sync(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		lock.Unsynced = false
	}
	return s, nil
}

// NeedLedger opens the ledger of a vault that OpenShut has opened.
func (v *Vault) NeedLedger() error {
	if v.ledger != nil {
		return nil
	}
	return v.openLedger()
}

func (v *Vault) openLedger() error {
	err := v.OpenLedger()
	if errors.Is(err, ledger.ErrDamaged) {
		return fmt.Errorf("%w; the files of the archive are not affected: distkeep doctor --repair makes a new ledger of them", err)
	}
	return err
}

// OpenLedger opens the ledger of a vault that has none yet. Its error wraps
// ledger.ErrDamaged where that is the cause.
func (v *Vault) OpenLedger() (err error) {
	v.ledger, err = ledger.Open(v.Store.LedgerDir(), ledger.Options{Room: v.room, Spare: v.Store.SpareRoom})
	if err != nil {
		return err
	}
	if err := v.Store.KeepReserve(2 * v.ledger.Need(0)); err != nil {
		v.Warn("%v", err)
	}
	return nil
}

// room is StateRoom of the store, and tells when that has given up the reserve.
func (v *Vault) room(need int64) error {
	before := v.Store.GivenUp()
	err := v.Store.StateRoom(need)
	if v.Store.GivenUp() && !before && err == nil {
		v.Warn("the disk of %s is full: its reserve is used up now: distkeep mirror --delete, or whoever else has files there, must free some", v.State)
	}
	return err
}

// CloseLedger closes the ledger, so that it can be moved aside. Without one it
// does nothing.
func (v *Vault) CloseLedger() error {
	if v.ledger == nil {
		return nil
	}
	l := v.ledger
	v.ledger = nil
	return l.Close()
}

// RenewLedger removes the ledger and opens one without records.
func (v *Vault) RenewLedger() error {
	if err := v.CloseLedger(); err != nil {
		return err
	}
	if err := os.RemoveAll(v.Store.LedgerDir()); err != nil {
		return err
	}
	return v.OpenLedger()
}

// Ledger returns the open ledger, or nil.
func (v *Vault) Ledger() *ledger.Ledger { return v.ledger }

// Close closes the archive and gives the lock back.
func (v *Vault) Close() error {
	var errs []error
	if v.Recorded && v.Leave != nil && v.ledger != nil {
		errs = append(errs, Damage(v.Leave(v)))
	}
	errs = append(errs, v.CloseLedger())
	if v.Store != nil {
		v.lock.Unsynced = v.lock.Unsynced || v.Store.Unsynced()
		errs = append(errs, v.Store.Close())
	}
	if v.release != nil {
		errs = append(errs, v.release())
	}
	errs = append(errs, v.lock.Unlock())
	return errors.Join(errs...)
}

// Load reads the ledger and lists the published tree.
func (v *Vault) Load(ctx context.Context) error {
	state, err := v.ledger.Load()
	if err != nil {
		return Damage(err)
	}
	v.Index = ledger.NewIndex(state)
	if err := v.settle(); err != nil {
		return err
	}
	layouts, former := v.layouts()
	v.Store.PublishBy(layouts)
	v.Disk, err = v.Store.List(ctx, slices.Concat([]layout.Layout(layouts), former)...)
	v.Shelf = layout.Shelf{Files: v.Disk, Layouts: layouts, Former: former}
	if v.Remote != nil {
		v.Shelf.Files = recorded{&v.Memory}
	}
	return err
}

// Commit makes durable what was removed, records b, and makes memory follow.
func (v *Vault) Commit(b *ledger.Batch) error {
	if b.Len() == 0 {
		return nil
	}
	v.Recorded = true
	v.Restated = v.Restated || b.ChangesContents()
	if v.Changed && !v.marked {
		v.Note(b, func(n *ledger.Notes) { n.Changed, n.Untold = true, true })
		v.marked = true
	}
	if v.Remote != nil {
		if err := v.Remote.Held(); err != nil {
			return Damage(err)
		}
	}
	// What is recorded as gone must not be back after a power failure.
	if err := v.Store.SyncRemoved(); err != nil {
		return Damage(err)
	}
	// badger cannot meet a full disk and live.
	if err := v.room(v.ledger.Need(b.Bytes())); err != nil {
		return Damage(err)
	}
	return Damage(v.ledger.Commit(b, v.Index))
}

// Note puts into b a change of what the ledger knows about the archive as a
// whole.
func (v *Vault) Note(b *ledger.Batch, change func(n *ledger.Notes)) {
	notes := v.Index.Notes
	change(&notes)
	b.PutNotes(&v.Index.Notes, &notes)
}

// Warned reports whether the operator was told something.
func (v *Vault) Warned() bool { return v.warned.Load() }

// Warn tells the operator something, in one line.
func (v *Vault) Warn(format string, args ...any) { v.Events.Warn(fmt.Sprintf(format, args...)) }

// Dirs returns the published and the state directory of an archive at dir.
func Dirs(dir string) (distfiles, state string) {
	return filepath.Join(dir, "distfiles"), filepath.Join(dir, "state")
}

// Room returns a function that says whether need bytes may be written below
// dir, so that keep are still free. It is for what repositories keep of their
// upstreams while they are scanned; a scan that ends with its error is one of
// an archive that is full.
func Room(dir string, keep int64) func(need int64) error {
	return func(need int64) error { return store.Room(dir, need, keep) }
}
