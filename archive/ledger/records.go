package ledger

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// A Key identifies one content held under one name. The same name may be held
// with several contents (a re-rolled file), and the same content under several
// names.
type Key struct {
	Name   catalog.Name
	SHA256 digest.Digest
}

// Compare orders keys by name, then by digest.
func (k Key) Compare(o Key) int {
	if c := cmp.Compare(k.Name, o.Name); c != 0 {
		return c // most names are had once
	}
	return k.SHA256.Compare(o.SHA256)
}

// A Distfile is one content that the archive holds under one name. Its bytes
// were durable before the record was written.
type Distfile struct {
	// Content has all digests that were ever computed, SHA256 among them, and
	// the kind of the owner's repository.
	layout.Content
	// Owner is the package that last wanted it, as package::repository, or
	// empty.
	Owner string
	// Origin says where the bytes came from: a URL without credentials, or
	// one of the Origin constants.
	Origin string
	// Added is when it was committed, Verified when all its bytes were last
	// read and found right.
	Added, Verified time.Time
}

// Key returns what identifies d.
func (d *Distfile) Key() Key { return Key{d.Name, d.SHA256()} }

// LastRead returns when d was last read, or the zero time for a time after now: the
// clock was wrong once, and when the file was read nobody knows.
func (d *Distfile) LastRead(now time.Time) time.Time {
	if d.Verified.After(now) {
		return time.Time{}
	}
	return d.Verified
}

// Relation tells what is known about whether the content of d is the one that w
// asks for.
func (d *Distfile) Relation(w *catalog.Distfile) digest.Relation {
	if w.Size >= 0 && w.Size != d.Size {
		return digest.Different
	}
	return d.Digests.Compare(w.Digests)
}

// Satisfies reports whether the content of d is the one that w asks for, as far
// as the tree allows to tell: where it publishes nothing but MD5 or SHA1, those
// decide.
func (d *Distfile) Satisfies(w *catalog.Distfile) bool {
	r := d.Relation(w)
	return r == digest.Same || r == digest.Weak && !slices.ContainsFunc(w.Digests, func(d digest.Digest) bool {
		return d.Alg.Strong() && d.Alg.Computable()
	})
}

// Origins that are no URL.
const (
	OriginLocal   = "distfiles-local" // a person supplied it
	OriginAdopted = "adopted"         // it was found in the published tree
	OriginRecycle = "recycle"         // it was taken back out of recycle
	OriginLink    = "archive"         // the archive had it under another name
)

// A Failure says why a wanted content is not in the archive.
type Failure struct {
	Name catalog.Name `json:"name"`
	// Want tells the wanted content apart from others of that name, so that
	// a re-rolled file starts without the pauses of its predecessor.
	Want string `json:"want"`
	// Class is one of the failure classes of package fetch.
	Class string `json:"class"`
	// Reason is one line for the person who reads the report.
	Reason string `json:"reason"`
	// Hint says what can be done, where it is not what helps all of the class.
	Hint  string `json:"hint,omitempty"`
	Owner string `json:"owner"`
	// Owners are all that want it, Owner first, when there are several, and
	// Maintainers who looks after the package of Owner.
	Owners      []string `json:"owners,omitempty"`
	Maintainers []string `json:"maintainers,omitempty"`
	// Size is that of the content, or zero where the tree does not say.
	Size int64 `json:"size,omitempty"`
	// First and Last are when it failed first and last without a success
	// between, Count how many runs tried, and Next is when the next try is
	// due; zero means every run.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Next  time.Time `json:"next,omitzero"`
	Count int       `json:"count"`
	// Asked is a mark of what was asked for. Pauses hold only while it is the
	// same.
	Asked string `json:"asked,omitempty"`
	// Answers are those of the places that were asked last.
	Answers []Answer `json:"answers,omitempty"`
}

// An Answer is what one place said that was asked for a file.
type Answer struct {
	// URL is without credentials; Host is what transfers are counted by.
	URL  string `json:"url"`
	Host string `json:"host,omitempty"`
	// Class is one of the failure classes, Text the answer in a line.
	Class string `json:"class"`
	Text  string `json:"text"`
}

// A Deletion is a held content that nobody wants any more.
type Deletion struct {
	Key
	// Since is when it was first found to be unwanted.
	Since time.Time
	Owner string
	Size  int64
	// Undone says that a person took it off the schedule at Since: it is not
	// scheduled, and cannot be again for a delay.
	Undone bool
}

// UndoHold is how long a content that a person took off the schedule stays off
// it at least: there must be time to whitelist it although the job is hourly and
// deletes without a delay.
const UndoHold = 24 * time.Hour

// Holds reports whether d, which a person took off the schedule, keeps its
// content at now from being scheduled again. delay is the deletion delay.
func (d *Deletion) Holds(now time.Time, delay time.Duration) bool {
	return d.Undone && !Elapsed(now, d.Since, max(delay, UndoHold))
}

// HeldUntil is the time from which d does not hold any more.
func (d *Deletion) HeldUntil(delay time.Duration) time.Time {
	return d.Since.Add(max(delay, UndoHold))
}

// Elapsed reports whether delay has passed since then. A time in the future
// means that the clock was changed: then nothing has passed.
func Elapsed(now, then time.Time, delay time.Duration) bool {
	return !then.After(now) && now.Sub(then) >= delay
}

// A Recycled content has left the published tree and waits in recycle.
type Recycled struct {
	Distfile
	// Since is when it was moved to recycle.
	Since time.Time
	// Pending says that its published links are not known to be gone yet.
	Pending bool
}

// A Dropped file was found in distfiles-local.
type Dropped struct {
	Name catalog.Name
	// File is the file that was examined, in the state that it was in.
	File FileID
	// SHA256 is its content.
	SHA256 digest.Digest
	// Since is when it was first seen in that state: its expiry counts from
	// there.
	Since time.Time
	// Want is the wanted content it was compared with, as Failure.Want, or
	// empty when no package wanted the name.
	Want string
	// Refused is why it was not taken, or empty.
	Refused string
}

// A Run is the record of one finished run.
type Run struct {
	Start time.Time `json:"start"`
	// Summary is the JSON that the run reported.
	Summary []byte `json:"summary"`
}

// Records are those of the contents that are held, in the order of their keys. Each
// key occurs once.
type Records []*Distfile

func byKey(a, b *Distfile) int {
	if c := cmp.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return a.SHA256().Compare(b.SHA256())
}

// search returns where the record of k is, or would be.
func (ds Records) search(k Key) (i int, ok bool) {
	return slices.BinarySearchFunc(ds, k, func(d *Distfile, k Key) int {
		if c := cmp.Compare(d.Name, k.Name); c != 0 {
			return c
		}
		return d.SHA256().Compare(k.SHA256)
	})
}

// Get returns the record of k, or nil.
func (ds Records) Get(k Key) *Distfile {
	if i, ok := ds.search(k); ok {
		return ds[i]
	}
	return nil
}

// with returns ds with more before the records at some places, which are in order, in
// the place of ds.
func (ds Records) with(at []int, more Records) Records {
	end := len(ds)
	ds = append(ds, more...)
	for n, i := range slices.Backward(at) {
		copy(ds[i+n+1:], ds[i:end])
		ds[i+n] = more[n]
		end = i
	}
	return ds
}

// without returns ds without those at some places, which are in order, in the place of ds.
func (ds Records) without(at []int) Records {
	for n, i := range at {
		next := len(ds)
		if n+1 < len(at) {
			next = at[n+1]
		}
		copy(ds[i-n:], ds[i+1:next])
	}
	left := len(ds) - len(at)
	clear(ds[left:])
	return ds[:left]
}

// State is everything in a ledger, in memory.
type State struct {
	Distfiles Records
	Failures  map[FailureKey]*Failure
	Deletions map[Key]*Deletion
	Recycled  map[Key]*Recycled
	Dropped   map[catalog.Name]*Dropped
	Notes     Notes
}

// A FileID tells one state of a file from every other.
type FileID = regular.ID

// A FailureKey identifies a failure.
type FailureKey struct {
	Name catalog.Name
	Want string
}

// Key returns what identifies f.
func (f *Failure) Key() FailureKey { return FailureKey{f.Name, f.Want} }

func newState() *State {
	return &State{
		Failures:  make(map[FailureKey]*Failure),
		Deletions: make(map[Key]*Deletion),
		Recycled:  make(map[Key]*Recycled),
		Dropped:   make(map[catalog.Name]*Dropped),
	}
}

// The kinds of failures that are about a record and not about what a package
// wants, see Distfile.Failure.
const (
	// Lost contents are missed by somebody. The failure outlives the record.
	Lost = "lost"
	// Unread contents may be there, but cannot be read.
	Unread = "read"
)

// Want returns 16 hexadecimal digits that tell the content wanted under name
// apart from every other content that was or will be wanted under it.
func Want(name catalog.Name, size int64, sums digest.Set) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", name, size, sums.Strongest()))
	return hex.EncodeToString(h[:len(NoWant)/2])
}

// NoWant stands in a FailureKey for the content of a name that nobody wants.
const NoWant = "0000000000000000"

// Failure is the key of the failure of a kind that is about d.
func (d *Distfile) Failure(kind string) FailureKey {
	return FailureKey{Name: d.Name, Want: (kind + d.SHA256().Hex())[:len(NoWant)]}
}
