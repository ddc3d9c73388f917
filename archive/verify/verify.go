// Package verify reads the contents of an archive again and compares them with
// their SHA-256, so that bytes which a disk has lost are found while they can still
// be had elsewhere.
//
// The rules that callers may rely on:
//
//   - What was read longest ago is read first, within the budget, and what was read
//     is recorded as it goes: any number of short calls read everything in turn.
//   - A content with many names is one file, and is read once.
//   - No bytes are removed. Wrong ones go to quarantine with a note beside them, and
//     the file of the same content that is right is linked in their place, or the
//     record is dropped and the next run fetches it.
//
// Begin reading at Verify; repair.go has what becomes of one content.
package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// Options bound what Verify reads. The zero value reads everything.
type Options struct {
	// Names are the contents to read; none means all.
	Names []catalog.Name
	// OlderThan leaves out what was read within that time.
	OlderThan time.Duration
	// Bytes and Time are the budget: no file is begun that would exceed Bytes,
	// except the first, and none after Time. Zero means no bound.
	Bytes int64
	Time  time.Duration
	// Rate is how many bytes a second are read in all; zero means as many as
	// possible.
	Rate int64
	// Jobs is how many files are read at once; at least one.
	Jobs int
}

// A Summary says what Verify found. Its JSON form is stable.
type Summary struct {
	Command string        `json:"command"`
	Start   time.Time     `json:"start"`
	Took    time.Duration `json:"took_ns"`
	// Verified was read and is right, Left was not reached within the budget.
	Verified layout.Count `json:"verified"`
	Left     layout.Count `json:"left"`
	// Damaged are the contents that are not what they should be, Unread those
	// that could not be read for another reason.
	Damaged []Damage `json:"damaged,omitempty"`
	Unread  []Damage `json:"unread,omitempty"`
	// Ages are those of all contents after it.
	Ages report.Ages `json:"ages"`
	// Interrupted says that it was ended early. What it read counts.
	Interrupted bool `json:"interrupted,omitempty"`
}

// A Damage is a content whose bytes are not right.
type Damage struct {
	// Names are all names of the content, of which SHA256 and Size are what
	// they should be.
	Names  []catalog.Name `json:"names"`
	SHA256 string         `json:"sha256"`
	Size   int64          `json:"size"`
	// Reason says what is wrong, Kept where the wrong bytes are now.
	Reason string   `json:"reason"`
	Kept   []string `json:"kept,omitempty"`
	// Healed says that the archive had the right bytes in another file, and
	// publishes those now. Otherwise the next run fetches them.
	Healed bool `json:"healed,omitempty"`
	// Stuck says that it could not be moved to quarantine: it is where it was,
	// for a person to look after. Reason says why.
	Stuck bool `json:"stuck,omitempty"`
}

// A unit is one content with all its records.
type unit struct {
	sum      digest.Digest
	size     int64
	verified time.Time // the oldest of the records, see LastRead
	held     []*ledger.Distfile
	recycled []*ledger.Recycled
}

// read notes when one of the records was.
func (u *unit) read(at time.Time) {
	if at.Before(u.verified) {
		u.verified = at
	}
}

func (u *unit) names() (names []catalog.Name) {
	for _, d := range u.held {
		names = append(names, d.Name)
	}
	for _, r := range u.recycled {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// units are the contents of the archive, those that were read longest ago
// first.
func units(v *vault.Vault, o *Options) (us []unit) {
	held := slices.SortedFunc(slices.Values(v.Index.Distfiles), func(a, b *ledger.Distfile) int { return a.SHA256().Compare(b.SHA256()) })
	recycled := slices.SortedFunc(maps.Values(v.Index.Recycled), func(a, b *ledger.Recycled) int { return a.SHA256().Compare(b.SHA256()) })
	for len(held)+len(recycled) > 0 {
		// The records of the next content, which are neighbours.
		var first *ledger.Distfile
		if len(held) > 0 {
			first = held[0]
		}
		if len(recycled) > 0 && (first == nil || recycled[0].SHA256().Compare(first.SHA256()) < 0) {
			first = &recycled[0].Distfile
		}
		u := unit{sum: first.SHA256(), size: first.Size, verified: first.LastRead(v.Now)}
		n, m := 0, 0
		for n < len(held) && held[n].SHA256() == u.sum {
			u.read(held[n].LastRead(v.Now))
			n++
		}
		for m < len(recycled) && recycled[m].SHA256() == u.sum {
			u.read(recycled[m].LastRead(v.Now))
			m++
		}
		u.held, u.recycled = held[:n:n], recycled[:m:m]
		held, recycled = held[n:], recycled[m:]
		named := len(o.Names) == 0 || slices.ContainsFunc(u.names(), func(n catalog.Name) bool { return slices.Contains(o.Names, n) })
		if named && (o.OlderThan == 0 || ledger.Elapsed(v.Now, u.verified, o.OlderThan)) {
			us = append(us, u)
		}
	}
	// Those that were read together stay in the order of their digests.
	slices.SortStableFunc(us, func(a, b unit) int { return a.verified.Compare(b.verified) })
	return us
}

// Verify reads the contents of the archive again and compares them with their
// SHA-256, those first that were read longest ago. A content with many names is
// one file and is read once.
//
// A file that is not right is moved to quarantine, with all its links, and its
// records are dropped, so that the next run fetches it; where the archive has
// the same content in another file, that is linked in its place. What was read
// is recorded as it goes, so that the next call goes on where this one ended.
//
// Damage is in the summary, not in the error, which is one that vault.Broken
// knows when the archive is full or damaged, and the cause of ctx when that ended it.
func Verify(ctx context.Context, v *vault.Vault, o Options) (*Summary, error) {
	if err := v.Load(ctx); err != nil {
		return nil, err
	}
	s := &Summary{Command: "verify", Start: v.Now}
	for _, n := range o.Names {
		if len(v.Index.ByName(n)) == 0 && !recycled(v.Index, n) {
			return nil, fmt.Errorf("verify: the archive has no %s", n)
		}
	}
	r := &verifier{v: v, o: o, sum: s}
	err := r.run(ctx, units(v, &o))
	s.Interrupted = ctx.Err() != nil
	s.Ages = export.Ages(v.Index, v.Now)
	if rerr := export.Refresh(v, s.Command); err == nil {
		err = rerr
	}
	s.Took = v.Options.Now().Sub(v.Began)
	return s, err
}

// recycled reports whether recycle has a content of that name.
func recycled(x *ledger.Index, name catalog.Name) bool {
	for _, r := range x.Recycled {
		if r.Name == name {
			return true
		}
	}
	return false
}

// A verifier reads units with several goroutines and records what it finds
// with one.
type verifier struct {
	v     *vault.Vault
	o     Options
	sum   *Summary
	limit *rate.Limiter
	// stamps are records of contents that are right, not yet in the ledger.
	stamps ledger.Batch
	bytes  int64
}

// run verifies us as far as the budget goes.
func (r *verifier) run(ctx context.Context, us []unit) error {
	var total layout.Count
	for _, u := range us {
		total.Add(u.size)
	}
	r.v.Events.Phase("verify", total.Files, total.Bytes)
	if r.o.Rate > 0 {
		r.limit = rate.NewLimiter(rate.Limit(r.o.Rate), store.RereadBuffer)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	todo := make(chan *unit)
	done := make(chan *examined)
	var wg sync.WaitGroup
	for range max(r.o.Jobs, 1) {
		wg.Go(func() {
			for u := range todo {
				done <- r.examine(ctx, u)
			}
		})
	}
	wg.Go(func() { r.feed(ctx, us, todo) })
	go func() { wg.Wait(); close(done) }()
	var failed error
	read := 0
	for x := range done {
		if failed != nil {
			continue // the readers are on their way out
		}
		if x.err == nil {
			read++
		}
		if failed = r.record(ctx, x); failed != nil {
			stop(failed)
		}
	}
	if failed == nil {
		failed = r.flush()
	}
	for _, d := range r.sum.Unread {
		total.Files, total.Bytes = total.Files-1, total.Bytes-d.Size
	}
	for _, d := range r.sum.Damaged {
		total.Files, total.Bytes = total.Files-1, total.Bytes-d.Size
	}
	r.sum.Left = layout.Count{Files: total.Files - r.sum.Verified.Files, Bytes: total.Bytes - r.sum.Verified.Bytes}
	if failed == nil && ctx.Err() != nil {
		failed = context.Cause(ctx)
	}
	return failed
}

// feed hands out units until the budget is used up.
func (r *verifier) feed(ctx context.Context, us []unit, todo chan<- *unit) {
	defer close(todo)
	var bytes int64
	for i, u := range us {
		if r.o.Bytes > 0 && i > 0 && bytes+u.size > r.o.Bytes {
			return
		}
		if r.o.Time > 0 && r.v.Options.Now().Sub(r.v.Now) >= r.o.Time {
			return
		}
		bytes += u.size
		select {
		case todo <- &us[i]:
		case <-ctx.Done():
			return
		}
	}
}

// An examined unit was read.
type examined struct {
	*unit
	copies []*vault.Replica
	remote string // what is wrong with it where it is kept elsewhere
	err    error  // it could not be read; nothing is known
}

func (x *examined) good() *vault.Replica {
	for _, c := range x.copies {
		if c.Wrong == "" {
			return c
		}
	}
	return nil
}

// has returns the right replica at one of paths, or nil.
func (x *examined) has(paths []string) *vault.Replica {
	for _, c := range x.copies {
		if c.Wrong == "" && slices.ContainsFunc(paths, func(p string) bool { _, is := slices.BinarySearch(c.Paths, p); return is }) {
			return c
		}
	}
	return nil
}

// batch bounds of a verification: what a kill costs is read again.
const (
	verifyFiles = 512
	verifyBytes = 4 << 30
)

// stamp notes that a record's content was read and is right.
func (r *verifier) stamp(size int64) error {
	if r.bytes += size; r.stamps.Len() < verifyFiles && r.bytes < verifyBytes {
		return nil
	}
	return r.flush()
}

func (r *verifier) flush() error {
	r.bytes = 0
	return r.v.Commit(&r.stamps)
}
