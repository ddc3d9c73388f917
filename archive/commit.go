package archive

import (
	"context"
	"errors"
	"sync"
	"time"

	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/vault"
	"distkeep/fetch"
	"distkeep/fetch/failure"
)

// A batch bounds what is committed together.
const (
	batchBytes = 256 << 20
	batchAge   = time.Second
	// listsEvery is how often readers get lists while transfers go on.
	listsEvery = 5 * time.Minute
	// enough is a batch of what came while another was committed: its bytes
	// are durable by then, and it is not kept waiting.
	enough = 256
)

// A committer collects what the transfers deliver and commits it in batches,
// from one goroutine, while the transfers go on.
type committer struct {
	run  *run
	in   chan []*addition
	done chan struct{}
	stop context.CancelCauseFunc
	// now asks for the lists of readers at once; nil never does.
	now <-chan struct{}

	mu       sync.Mutex
	received int64
	parked   layout.Count // not tried, for want of time
	err      error
}

// newCommitter starts a committer. When it fails, it calls stop.
func newCommitter(r *run, stop context.CancelCauseFunc, now <-chan struct{}) *committer {
	c := &committer{now: now, run: r, in: make(chan []*addition, vault.BatchFiles), done: make(chan struct{}), stop: stop}
	go c.loop()
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
			c.run.fails.Waits(w)
			c.parked.Add(w.Size)
		}
	default:
		for _, w := range wants {
			c.run.fails.Tried(w, fe)
			c.run.v.Events.Missed(string(w.Name))
		}
		if fe.Class == failure.Disk && !errors.Is(fe, fetch.ErrRoom) {
			c.fail(vault.Damage(fe))
		}
	}
	c.mu.Unlock()
	if r.Err != nil {
		return
	}
	c.run.attendant.came(wants, &r)
	var adds []*addition
	for _, w := range wants {
		adds = append(adds, c.run.arrived(w, &r))
	}
	c.in <- adds
}

// arrived makes an addition of what a transfer has brought for w.
func (r *run) arrived(w *plan.Want, res *fetch.Result) *addition {
	origin := res.URL
	if origin == "" {
		origin = ledger.OriginAdopted
	} else if res.Lowered != "" {
		origin += " (" + res.Lowered + ")"
	}
	a := &addition{want: w, total: &r.sum.Fetched, Addition: vault.Addition{Part: res.Request.Part, New: true, Entry: w.Begin(r.v.Now)}}
	a.Entry.Digests, a.Entry.Size, a.Entry.Origin = res.Digests, res.Size, origin
	return a
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

// loop commits batches until in is closed. After an error it only drains: the
// parts stay for the next run.
func (c *committer) loop() {
	defer close(c.done)
	var b batch
	age := time.NewTimer(batchAge)
	age.Stop()
	lists := time.NewTicker(listsEvery)
	defer lists.Stop()
	for {
		select {
		case <-lists.C:
			c.export()
			continue
		case <-c.now:
			c.export()
			continue
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

// export exports the lists of readers as they are so far: transfers may take days. That
// it cannot is told, and ends nothing.
func (c *committer) export() {
	c.mu.Lock()
	fails := c.run.fails.SoFar()
	c.mu.Unlock()
	err := export.Meanwhile(c.run.v, fails)
	if err == nil && c.run.meanwhile != nil {
		err = c.run.meanwhile()
	}
	if err != nil {
		c.run.v.Warn("the lists are not exported meanwhile: %v", err)
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
	if err := c.run.add(adds, next); err != nil {
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
	c.run.sum.Received += c.received
	return c.err
}
