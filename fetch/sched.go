package fetch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"distkeep/catalog"
	"distkeep/fetch/failure"
)

// A scheduler carries out calls, from the first until none is open. Jobs wait in the
// queues of lanes or, during pauses, in a heap of timers; workers take what may start
// now, from one lane after the other. Nothing that waits for a host holds a worker or
// a slot.
type scheduler struct {
	f *Fetcher

	// What follows is guarded by f.mu.
	cond     *sync.Cond
	workers  []*worker
	hired    sync.WaitGroup
	ready    readyLists
	local    *lane    // jobs whose .part is to be looked at
	finished jobQueue // jobs whose result is to be handed over
	open     int      // askers whose result was not handed over
	urgent   int      // those of them that are urgent
	calls    map[*call]bool
	jobs     map[catalog.Name]*job // that are not ended
	sleepers sleepers
	timer    *time.Timer
	clock    *time.Timer
	// flying are the transfers under way, late those of them that do not move,
	// fresh those whose host has not answered yet, handing the results that are
	// being handed over, quick the attempts that ended in time since the last
	// review.
	flying, late, fresh, handing, quick int
	lull                                time.Duration
	// failed counts attempts by package.
	failed map[string]int
}

// scheduler returns the one that works, or a new one. f.mu is held.
func (f *Fetcher) scheduler() *scheduler {
	if f.sched != nil {
		return f.sched
	}
	n := runtime.GOMAXPROCS(0) // looking at a .part may mean hashing gigabytes
	s := &scheduler{
		f: f, cond: sync.NewCond(&f.mu), calls: make(map[*call]bool), jobs: make(map[catalog.Name]*job),
		failed: make(map[string]int), local: &lane{host: &host{max: n}, limit: n, ceil: n},
	}
	for _, l := range f.lanes {
		l.listed, l.next = false, nil // as the last one left it
	}
	s.clock = time.AfterFunc(reviewEvery, s.review)
	f.sched = s
	return s
}

// staff hires the workers that are missing. f.mu is held.
func (s *scheduler) staff() {
	for len(s.workers) < min(s.f.o.Jobs+s.urgent, s.open) {
		s.hire()
	}
}

// over ends the scheduler when there is nothing left to do. f.mu is held.
func (s *scheduler) over() {
	if s.open > 0 {
		return
	}
	s.f.sched, s.jobs = nil, nil
	s.clock.Stop()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.cond.Broadcast()
}

// hire starts another worker. f.mu is held.
func (s *scheduler) hire() {
	w := &worker{f: s.f, buf: make([]byte, bufferSize), answered: s.prove}
	s.workers = append(s.workers, w)
	s.hired.Go(func() { s.work(w) })
}

func (s *scheduler) work(w *worker) {
	for {
		j := s.take(w)
		switch {
		case j == nil:
			w.buf = nil // a kept connection knows of the transfer that it was opened for
			return
		case j.ended:
			j.part.keep()
			j.part.hash = nil
			s.handOver(j)
		case j.lane == nil:
			s.look(w, j)
		default:
			s.try(w, j)
		}
	}
}

// take waits for a job that can go on now, and returns nil when all are done.
func (s *scheduler) take(w *worker) *job {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for {
		if j := s.finished.pop(); j != nil {
			s.handing++
			return j
		}
		if s.open == 0 {
			return nil
		}
		if l := s.nextLane(); l != nil {
			j := s.board(l)
			if j == nil {
				s.touch(l)
				continue
			}
			if l != s.local {
				s.depart(w, l)
			}
			w.job, j.ctx = j, j.askers[0].call.ctx
			l.start()
			s.touch(l)
			if s.ready.any() {
				s.cond.Signal() // one call woke this worker, for all of them
			}
			return j
		}
		s.cond.Wait()
	}
}

// prove notes that the host of a lane has answered a request, whose transfer may
// take long yet.
func (s *scheduler) prove(l *lane) {
	if l.proven.Load() {
		return
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	l.prove()
	s.touchHost(l.host)
}

// handOver gives the result of a job to all who have asked for it.
func (s *scheduler) handOver(j *job) {
	for _, a := range j.askers {
		res := j.res
		res.Request, res.Index = a.request(), a.index
		a.call.done(res)
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.handing--
	for _, a := range j.askers {
		s.close(a.call)
	}
	s.over()
}

// look prepares a job, without a host's slot: what is left of an earlier run is
// read and hashed. It may turn out to be all that is wanted.
func (s *scheduler) look(w *worker, j *job) {
	complete, later, err := w.look(j.ctx, j)
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	w.job = nil
	s.local.end()
	s.touch(s.local)
	switch {
	case complete:
		s.end(j, nil)
	case later && j.halted() == nil:
		j.patient = true
		s.local.queue.push(j)
		s.touch(s.local)
	case err != nil && s.interrupted(j, err):
		s.local.queue.pushFront(j) // somebody else waits for it
		s.touch(s.local)
	case err != nil:
		s.fail(j, err)
	default:
		s.expand(j)
		s.route(j)
	}
}

// resume makes what it takes to carry out a job whose .part was looked at.
func (s *scheduler) resume(j *job) {
	if j.work == nil {
		j.begin()
		s.expand(j)
	}
}

// expand finds the sources of a job.
func (s *scheduler) expand(j *job) {
	urls := s.f.o.order(j.req)
	if n := len(urls); n > maxSources {
		urls = urls[:maxSources]
		s.tooMany(j, fmt.Sprintf("the tree names %d URIs for it: %d of them are asked", n, maxSources))
	}
	j.sources = make([]source, len(urls))
	for i, u := range urls {
		j.sources[i].text = u
	}
	j.only = len(urls) == 1 && len(s.f.fallbacks) == 0
}

// try makes one attempt.
func (s *scheduler) try(w *worker, j *job) {
	l := j.lane
	u := j.target()
	out := w.attempt(j.ctx, j, u, l)
	a := Attempt{
		URL: redact(u), Host: l.name, Fallback: j.sources[j.cur].trusted,
		Class: out.class, Err: out.err, Offset: out.offset, Received: out.received, Took: out.took,
	}
	if j.hop != nil {
		a.URL = redactFinal(u)
	}
	if out.redirect == nil {
		j.note(s.f, j.cur, a)
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	w.job = nil
	j.res.Received += out.received
	s.arrive(w, l, &out)
	l.end()
	l.count(&out)
	if out.err == nil || out.redirect != nil || out.again {
		l.thrive()
	} else {
		s.learn(l, &out)
	}
	s.touchHost(l.host)
	switch {
	case out.redirect != nil:
		s.follow(j, out.redirect)
	case out.err == nil:
		if j.hop == nil {
			l.led(nil)
		}
		s.end(j, nil)
	default:
		if out.class == failure.Disk && !errors.Is(out.err, ErrRoom) {
			s.haltAll(out.err)
		}
		if s.interrupted(j, out.err) {
			s.route(j)
			return
		}
		if j.req.Package != "" {
			s.failed[j.req.Package]++
		}
		j.judge(&s.f.o, &out)
		s.route(j)
	}
}

func (l *lane) count(out *outcome) {
	l.stats.Bytes += out.received
	if out.lowered != "" {
		l.stats.Lowered = out.lowered
	}
	if out.asked {
		l.stats.Requests++
	}
	switch {
	case out.redirect != nil:
	case out.err == nil:
		l.stats.Files++
	case out.class.OfHost():
		l.stats.Failures++
		l.stats.Spent += out.took
	case out.asked && out.class != failure.Disk && out.class != failure.Interrupted:
		l.stats.Declined++
	}
}

// learn applies what an attempt says about its host.
func (s *scheduler) learn(l *lane, out *outcome) {
	pause, dead := l.learn(&s.f.o, out, time.Now())
	switch {
	case l.dead != nil:
	case dead:
		l.dead = out.err
		if s.f.o.Events.HostBusy != nil {
			s.f.o.Events.HostBusy(l.name, time.Time{}, out.err)
		}
		s.rerouteAll(l)
	case pause > 0:
		until := time.Now().Add(pause)
		if !until.After(l.until) {
			return
		}
		l.until = until
		s.wake(sleeper{when: until, lane: l})
		if s.f.o.Events.HostBusy != nil {
			s.f.o.Events.HostBusy(l.name, s.f.o.Now().Add(pause), out.err)
		}
		s.rerouteAll(l)
	}
}

// rerouteAll sends every job that waits for l where it may fare better.
func (s *scheduler) rerouteAll(l *lane) {
	q := l.queue
	l.queue, l.waiting = jobQueue{}, 0
	for j := q.pop(); j != nil; j = q.pop() {
		if j.work == nil && j.only && l.dead == nil {
			l.queue.push(j)
			continue
		}
		s.resume(j)
		s.route(j)
	}
}

// tooMany notes that not all of a job's sources are asked.
func (s *scheduler) tooMany(j *job, why string) {
	j.note(s.f, -1, Attempt{Class: failure.Policy, Err: &policyError{why}})
}

// fail ends a job that no source can satisfy, or, with a cause, one that is
// not tried any further.
func (s *scheduler) fail(j *job, cause error) {
	j.begin()
	attempts := j.res.Attempts
	e := newError(j.req, attempts)
	e.omitted = j.res.Omitted
	if c := Classify(cause); cause != nil && (c == failure.Interrupted || c == failure.Disk || len(attempts) == 0) {
		e.Class, e.Err = c, cause
	}
	s.end(j, e)
}

// end hands a job to a worker that reports its result.
func (s *scheduler) end(j *job, err error) {
	if j.layout != nil {
		s.learnt(j)
		return
	}
	j.res.Err = err
	j.ended = true
	s.leaves(j)
	s.f.claimed.Add(-j.claim)
	j.claim = 0
	s.finished.push(j)
	s.cond.Signal()
}

// touch lists a lane that has become startable, or urgent, and wakes a worker for it.
func (s *scheduler) touch(l *lane) {
	if l.listed && s.rank(l) == urgentLanes {
		s.ready.remove(l)
	}
	if !l.listed && l.startable(time.Now()) {
		s.ready[s.rank(l)].push(l)
	}
	if l.listed {
		s.cond.Signal()
	}
}

// An interruptError is the end of the context.
type interruptError struct{ err, cause error }

func (e *interruptError) Error() string   { return "interrupted: " + e.cause.Error() }
func (e *interruptError) Unwrap() []error { return []error{e.err, e.cause} }

func interrupted(ctx context.Context) error {
	return &interruptError{ctx.Err(), context.Cause(ctx)}
}
