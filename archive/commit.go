package archive

import (
	"context"
	"errors"
	"sync"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// An addition is an addition to the vault, and what a run makes of it.
type addition struct {
	vault.Addition
	want  *plan.Want    // nil when no package wants it
	total *layout.Count // where it is counted when it is new
	count *int          // where it is counted in any case
}

// A batch bounds what is committed together.
const (
	batchBytes = 256 << 20
	batchAge   = time.Second
	// enough is a batch of what came while another was committed: its bytes
	// are durable by then, and it is not kept waiting.
	enough = 256
)

// add publishes and records additions, see vault.Publish, and counts them. What
// cannot be published is a failure.
func (m *mirror) add(adds, next []*addition) error {
	err := m.v.Publish(plain(adds), plain(next))
	for _, a := range adds {
		switch {
		case a.Done:
			m.added(a)
		case a.Err != nil:
			m.unpublishable(a)
		}
	}
	return err
}

func plain(adds []*addition) []*vault.Addition {
	as := make([]*vault.Addition, len(adds))
	for i, a := range adds {
		if a.want != nil {
			a.Want = a.want.Key()
		}
		as[i] = &a.Addition
	}
	return as
}

// added ends the failures that a has ended, and counts it.
func (m *mirror) added(a *addition) {
	delete(m.failing, a.Want)
	delete(m.failing, a.Entry.Failure(ledger.Lost))
	delete(m.failing, a.Entry.Failure(ledger.Unread))
	if a.count != nil {
		*a.count++
	}
	if a.New && a.total != nil {
		a.total.Add(a.Entry.Size)
	}
}

// unpublishable turns a name that cannot be published into a failure. That a
// file is not what its record says is one even if no package wants it.
func (m *mirror) unpublishable(a *addition) {
	key, owner := a.Want, a.Entry.Owner
	switch {
	case a.want != nil:
		owner = a.want.Owner()
	case errors.Is(a.Err, store.ErrDamaged):
		key = ledger.FailureKey{Name: a.Entry.Name, Want: ledger.NoWant}
	default:
		return
	}
	m.failing[key] = &plan.Failing{Key: key, Owner: owner, Class: failure.Local, Reason: a.Err.Error()}
}

// A committer collects what the transfers deliver and commits it in batches,
// from one goroutine, while the transfers go on.
type committer struct {
	m    *mirror
	in   chan []*addition
	done chan struct{}
	stop context.CancelCauseFunc

	mu       sync.Mutex
	received int64
	parked   layout.Count // not tried, for want of time
	err      error
}

// newCommitter starts a committer. When it fails, it calls stop.
func newCommitter(m *mirror, stop context.CancelCauseFunc) *committer {
	c := &committer{m: m, in: make(chan []*addition, vault.BatchFiles), done: make(chan struct{}), stop: stop}
	go c.run()
	return c
}

// take takes the result of one transfer.
func (c *committer) take(wants []*plan.Want, r fetch.Result) {
	c.mu.Lock()
	c.received += r.Received
	fe := (*fetch.Error)(nil)
	switch {
	case r.Err == nil || !errors.As(r.Err, &fe):
	case fe.Class == failure.Interrupted:
		for _, w := range wants {
			c.m.waited[w.Key()] = true
			c.parked.Add(w.Size)
		}
	default:
		for _, w := range wants {
			c.m.tried[w.Key()] = fe
		}
		if fe.Class == failure.Disk && !errors.Is(fe, fetch.ErrRoom) {
			c.fail(vault.Damage(fe))
		}
	}
	c.mu.Unlock()
	if r.Err != nil {
		return
	}
	m := c.m
	var adds []*addition
	for _, w := range wants {
		origin := r.URL
		if origin == "" {
			origin = ledger.OriginAdopted
		} else if r.Lowered != "" {
			origin += " (" + r.Lowered + ")"
		}
		adds = append(adds, &addition{
			want: w, total: &m.sum.Fetched,
			Addition: vault.Addition{Part: r.Request.Part, New: true, Entry: ledger.Distfile{
				Content: layout.Content{Name: w.Name, Digests: r.Digests, Size: r.Size, Named: w.Named, Kind: w.Kind},
				Owner:   w.Owner(), Origin: origin, Added: m.v.Now, Verified: m.v.Now,
			}},
		})
	}
	c.in <- adds
}

// fail notes the error that ends the run. c.mu is held.
func (c *committer) fail(err error) {
	if c.err == nil {
		c.err = err
		c.stop(err)
	}
}

// A batch is what is committed together.
type batch struct {
	adds  []*addition
	bytes int64
}

func (b *batch) add(adds []*addition) {
	for _, a := range adds {
		b.bytes += a.Entry.Size
	}
	b.adds = append(b.adds, adds...)
}

func (b *batch) full() bool { return len(b.adds) >= vault.BatchFiles || b.bytes >= batchBytes }

// run commits batches until in is closed. After an error it only drains: the
// parts stay for the next run.
func (c *committer) run() {
	defer close(c.done)
	var b batch
	age := time.NewTimer(batchAge)
	age.Stop()
	for {
		select {
		case adds, ok := <-c.in:
			if !ok {
				c.commit(b.adds, nil)
				return
			}
			if len(b.adds) == 0 {
				age.Reset(batchAge)
			}
			b.add(adds)
			if !b.full() {
				continue
			}
		case <-age.C:
		}
		for more := true; more; more = len(b.adds) >= enough {
			next := c.waiting()
			c.commit(b.adds, next.adds)
			b = next
		}
		if age.Stop(); len(b.adds) > 0 {
			age.Reset(batchAge)
		}
	}
}

// waiting returns what has come while a batch was committed.
func (c *committer) waiting() (b batch) {
	for !b.full() {
		select {
		case adds := <-c.in:
			if adds == nil {
				return b
			}
			b.add(adds)
		default:
			return b
		}
	}
	return b
}

// commit commits a batch unless one has failed.
func (c *committer) commit(adds, next []*addition) {
	c.mu.Lock()
	failed := c.err != nil && !errors.Is(c.err, context.Canceled)
	c.mu.Unlock()
	if failed || len(adds) == 0 {
		return
	}
	if err := c.m.add(adds, next); err != nil {
		c.mu.Lock()
		c.fail(err)
		c.mu.Unlock()
	}
}

// close commits the rest and returns the error that ended the run, if any. The
// transfers have ended.
func (c *committer) close() error {
	close(c.in)
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m.sum.Received += c.received
	return c.err
}
