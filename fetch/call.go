package fetch

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"distkeep/fetch/failure"
)

// A call is one call of Run or Fetch. Its fields are guarded by Fetcher.mu.
type call struct {
	ctx  context.Context
	reqs Requests
	// urgent: its jobs are before all others.
	urgent bool
	done   func(Result)
	open   int // results that were not handed over
	ended  chan struct{}
	halted error // nothing new is started for it
}

// An asker is a call that waits for a job, and what it has asked for.
type asker struct {
	call  *call
	index int
}

func (a asker) request() *Request { return a.call.reqs.At(a.index) }

// call makes a call and waits until it has ended.
func (f *Fetcher) call(c *call) {
	if c.reqs.Len == 0 {
		return
	}
	c.open, c.ended = c.reqs.Len, make(chan struct{})
	f.mu.Lock()
	s := f.scheduler()
	s.calls[c] = true
	s.open += c.open
	if c.urgent {
		s.urgent += c.open
	}
	s.admit(s.ask(c))
	s.touch(s.local)
	s.staff()
	f.mu.Unlock()

	stop := context.AfterFunc(c.ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		s.halt(c, interrupted(c.ctx))
	})
	defer stop()
	if most := f.o.MaxTime; most > 0 && !c.urgent {
		over := time.AfterFunc(most, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			s.halt(c, &parkedError{most})
			s.cut()
		})
		defer over.Stop()
	}
	<-c.ended
	f.mu.Lock()
	over := f.sched != s
	f.mu.Unlock()
	if over {
		s.hired.Wait()
	}
}

// ask returns the jobs of a call, but for those that others have asked for already:
// these it joins. f.mu is held.
func (s *scheduler) ask(c *call) []*job {
	there := make(listings)
	added, askers := make([]*job, 0, c.reqs.Len), make([]asker, c.reqs.Len)
	for i := range askers {
		askers[i] = asker{c, i}
		r := c.reqs.At(i)
		first := s.jobs[r.Name]
		j := first
		for j != nil && j.askers[0].request().Part != r.Part {
			j = j.twin
		}
		if j != nil {
			s.join(j, askers[i])
			continue
		}
		// Each by itself: those that have ended take no memory.
		absent := c.reqs.Len >= worthListing && !there.has(r.Part)
		j = &job{askers: askers[i : i+1 : i+1], twin: first, absent: absent, claim: claimOf(r, absent)}
		j.urgent.Store(c.urgent)
		s.jobs[r.Name] = j
		added = append(added, j)
	}
	return added
}

// leaves takes a job that has ended out of jobs.
func (s *scheduler) leaves(j *job) {
	at := s.jobs[j.req.Name]
	if at == j && j.twin == nil {
		delete(s.jobs, j.req.Name)
		return
	}
	if at == j {
		s.jobs[j.req.Name] = j.twin
		return
	}
	for at != nil && at.twin != j {
		at = at.twin
	}
	if at != nil {
		at.twin = j.twin
	}
}

// join makes a wait for a job as well, which may become urgent by that.
func (s *scheduler) join(j *job, a asker) {
	begun := j.askers[0].call
	j.askers = append(slices.Clip(j.askers), a)
	if begun.halted != nil {
		s.leave(j, begun)
	}
	if !a.call.urgent {
		return
	}
	j.tellAgain(&s.f.o.Events)
	if j.urgent.Swap(true) {
		return
	}
	l := j.lane
	if l == nil {
		l = s.local
	}
	if len(l.queue.remove(func(x *job) bool { return x == j })) > 0 { // else a worker has it, or it sleeps
		l.queue.pushFront(j)
		s.touch(l)
	}
}

// close notes that a result was handed over to a call. f.mu is held.
func (s *scheduler) close(c *call) {
	s.open--
	if c.urgent {
		s.urgent--
	}
	if c.open--; c.open == 0 {
		delete(s.calls, c)
		close(c.ended)
	}
}

// halted is why a job is not to be tried any further, or nil.
func (j *job) halted() error { return j.askers[0].call.halted }

// halt ends the jobs of a call that are not with a worker. Those that others wait for
// as well go on without it: the first asker of a job is of a halted call only when all
// are of that. f.mu is held.
func (s *scheduler) halt(c *call, cause error) {
	if c.halted != nil || c.open == 0 {
		return
	}
	c.halted = cause
	for _, j := range s.jobs {
		for ; j != nil; j = j.twin {
			s.leave(j, c)
		}
	}
	of := func(j *job) bool { return j.askers[0].call == c }
	over := s.local.queue.remove(of)
	for _, l := range s.f.lanes {
		over = append(over, l.queue.remove(of)...)
		l.waiting = l.queue.hops()
	}
	for _, fb := range s.f.fallbacks {
		over = append(over, fb.jobs.remove(of)...)
	}
	s.sleepers = slices.DeleteFunc(s.sleepers, func(z sleeper) bool {
		if z.job == nil || !of(z.job) {
			return false
		}
		over = append(over, z.job)
		return true
	})
	heap.Init(&s.sleepers)
	for _, j := range over {
		s.fail(j, cause)
	}
	s.cond.Broadcast()
}

// leave ends what a halted call has of a job, if others wait for that.
func (s *scheduler) leave(j *job, c *call) {
	others := slices.DeleteFunc(slices.Clone(j.askers), func(a asker) bool { return a.call == c })
	if len(others) == 0 || len(others) == len(j.askers) {
		return
	}
	for _, a := range j.askers {
		if a.call == c {
			r := a.request()
			e := newError(r, nil)
			e.Class, e.Err = Classify(c.halted), c.halted
			s.finished.push(&job{askers: []asker{a}, ended: true, work: &work{req: r, res: Result{Err: e}}})
		}
	}
	j.askers = others
	s.cond.Signal()
}

// haltAll halts all calls.
func (s *scheduler) haltAll(cause error) {
	for c := range s.calls {
		s.halt(c, cause)
	}
}

// interrupted reports whether a job that has failed with err was interrupted with the
// call by which it was begun, and another call waits for it.
func (s *scheduler) interrupted(j *job, err error) bool {
	if j.ctx.Err() == nil {
		return false
	}
	for c := range s.calls {
		if c.ctx.Err() != nil {
			s.halt(c, interrupted(c.ctx))
		}
	}
	return j.halted() == nil && Classify(err) == failure.Interrupted
}

// cut ends the transfers under way of halted calls, for the reason of that.
func (s *scheduler) cut() {
	for _, w := range s.workers {
		if w.job == nil {
			continue
		}
		if why := w.job.halted(); why != nil {
			w.flight.stop(why)
		}
	}
}
