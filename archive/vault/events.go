package vault

import (
	"strings"
	"time"

	"distkeep/archive/disk"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
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
	// LayoutGrace is how long a layout keeps its paths when layout.conf does not
	// list it any more. Zero means 48 hours, negative not at all.
	LayoutGrace time.Duration
	// Relayout goes on with the layouts: contents are published by what a change
	// brings, and by what has had its grace they are not any more.
	Relayout bool
	// Events are told what happens. Nil fields are ignored.
	Events Events
	// Remote has the bytes of the contents. Nil means that the files of the archive
	// have.
	Remote Remote
	// Lease, if not nil, keeps others from using the Remote at the same time. It is taken
	// when the lock is, and given back before that.
	Lease func() (release func() error, err error)
	// CatchUp, if not nil, makes the ledger what whoever had the lease last has left. It
	// is called when the ledger is opened, but for OpenShut, where it finds none open.
	CatchUp func(v *Vault) error
	// Leave, if not nil, leaves the ledger for others. Close calls it when something was
	// recorded, before the lease is given back.
	Leave func(v *Vault) error
	// Around, when set, is given the operations on files and returns those that
	// are used. Nil means the real ones.
	Around func(disk.FS) disk.FS
}

// Events are called as a run proceeds, from several goroutines at once. They
// must return quickly. Nil fields are ignored.
type Events struct {
	// Warn is told what an operator should know, one line each.
	Warn func(msg string)
	// Phase is told what begins: "scan", "read", "fetch", "expire".
	Phase func(name string, files int, bytes int64)
	// Found is told what there is of what is wanted, before anything is fetched.
	Found func(f report.Found)
	// Added is told of every content that was recorded, and where it came
	// from; Removed of every content that left the published tree.
	Added   func(owner string, name string, size int64, origin string)
	Removed func(owner string, name string)
	// Failed is told of every failure of this run; known says that the last
	// run had it too.
	Failed func(f *ledger.Failure, known bool)
	// Coming is told what is going to be fetched, before the first request.
	Coming func(c report.Coming)
	// Missed is told of every transfer that has failed.
	Missed func(name string)
	// Received is told of bytes that came over the network, Read of bytes that
	// were read from the archive to verify them.
	Received func(n int)
	Read     func(n int)
	// Checked is told of every content that was verified; damage is empty when
	// it is right.
	Checked func(name string, size int64, damage string)
}

// withDefaults returns e with functions that do nothing in place of nil ones.
// Received stays as it is: what nobody listens to is not counted.
func (e Events) withDefaults() Events {
	if e.Warn == nil {
		e.Warn = func(string) {}
	}
	if e.Phase == nil {
		e.Phase = func(string, int, int64) {}
	}
	if e.Found == nil {
		e.Found = func(report.Found) {}
	}
	if e.Added == nil {
		e.Added = func(string, string, int64, string) {}
	}
	if e.Removed == nil {
		e.Removed = func(string, string) {}
	}
	if e.Failed == nil {
		e.Failed = func(*ledger.Failure, bool) {}
	}
	if e.Coming == nil {
		e.Coming = func(report.Coming) {}
	}
	if e.Missed == nil {
		e.Missed = func(string) {}
	}
	if e.Read == nil {
		e.Read = func(int) {}
	}
	if e.Checked == nil {
		e.Checked = func(string, int64, string) {}
	}
	return e
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
