package fetch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"distkeep/fetch/failure"
)

// A scheduler carries out one Run. Jobs wait in the queues of lanes or, during
// pauses, in a heap of timers; workers take what may start now, from one lane
// after the other. Nothing that waits for a host holds a worker or a slot.
type scheduler struct {
	f    *Fetcher
	ctx  context.Context
	done func(Result)

	// What follows is guarded by f.mu.
	cond     *sync.Cond
	workers  []*worker
	hired    sync.WaitGroup
	ready    readyLists
	local    *lane    // jobs whose .part is to be looked at
	finished jobQueue // jobs whose result is to be handed over
	open     int      // jobs that are not ended and handed over
	sleepers sleepers
	timer    *time.Timer
	halted   error // nothing new is started
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

func newScheduler(ctx context.Context, f *Fetcher, done func(Result)) *scheduler {
	n := runtime.GOMAXPROCS(0) // looking at a .part may mean hashing gigabytes
	return &scheduler{f: f, ctx: ctx, done: done, cond: sync.NewCond(&f.mu), failed: make(map[string]int), local: &lane{host: &host{max: n}, limit: n, ceil: n}}
}

func (s *scheduler) run(reqs []*Request) {
	jobs := make([]job, len(reqs))
	s.f.mu.Lock()
	s.open = len(jobs)
	for i := range jobs {
		jobs[i].req = reqs[i]
	}
	s.admit(jobs)
	s.touch(s.local)
	for range min(s.f.o.Jobs, len(jobs)) {
		s.hire()
	}
	s.clock = time.AfterFunc(reviewEvery, s.review)
	s.f.mu.Unlock()

	stop := context.AfterFunc(s.ctx, func() {
		s.f.mu.Lock()
		defer s.f.mu.Unlock()
		s.halt(interrupted(s.ctx))
	})
	var over *time.Timer
	if most := s.f.o.MaxTime; most > 0 {
		over = time.AfterFunc(most, func() {
			s.f.mu.Lock()
			defer s.f.mu.Unlock()
			s.halt(&parkedError{most})
			s.cutAll()
		})
	}
	s.hired.Wait()
	stop()
	if over != nil {
		over.Stop()
	}
	s.f.mu.Lock()
	s.clock.Stop()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.f.mu.Unlock()
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
			return
		case j.ended:
			s.done(j.res)
			s.handedOver()
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

func (s *scheduler) handedOver() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.handing--
	if s.open--; s.open == 0 {
		s.cond.Broadcast()
	}
}

// look prepares a job, without a host's slot: what is left of an earlier run is
// read and hashed. It may turn out to be all that is wanted.
func (s *scheduler) look(w *worker, j *job) {
	if !j.patient {
		j.began = time.Now()
	}
	complete, later, err := w.look(s.ctx, j)
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.local.end()
	s.touch(s.local)
	switch {
	case complete:
		s.end(j, nil)
	case later && s.halted == nil:
		j.patient = true
		s.local.queue.push(j)
		s.touch(s.local)
	case err != nil:
		s.fail(j, err)
	default:
		urls := s.f.o.order(j.req)
		if n := len(urls); n > maxSources {
			urls = urls[:maxSources]
			s.tooMany(j, fmt.Sprintf("the tree names %d URIs for it: %d of them are asked", n, maxSources))
		}
		for _, u := range urls {
			j.sources = append(j.sources, source{text: u})
		}
		s.route(j)
	}
}

// try makes one attempt.
func (s *scheduler) try(w *worker, j *job) {
	l := j.lane
	u := j.target()
	out := w.attempt(s.ctx, j, u, l)
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
			s.halt(out.err)
		}
		if s.ctx.Err() != nil {
			s.halt(interrupted(s.ctx))
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
		s.learnt(j.layout)
		return
	}
	j.res.Err = err
	j.res.Took = time.Since(j.began)
	if j.began.IsZero() {
		j.res.Took = 0
	}
	j.res.Request = j.req
	j.ended = true
	s.f.claimed.Add(-j.claim)
	j.claim = 0
	j.part.hash = nil
	s.finished.push(j)
	s.cond.Signal()
}

// touch lists a lane that has become startable and wakes a worker for it.
func (s *scheduler) touch(l *lane) {
	if !l.listed && l.startable(time.Now()) {
		s.ready[s.rank(l)].push(l)
	}
	if l.listed {
		s.cond.Signal()
	}
}

// halt ends all jobs that are not with a worker.
func (s *scheduler) halt(cause error) {
	if s.halted != nil || s.open == 0 {
		return
	}
	s.halted = cause
	lanes := []*lane{s.local}
	for _, l := range s.f.lanes {
		lanes = append(lanes, l)
	}
	for _, l := range lanes {
		l.waiting = 0
		for j := l.queue.pop(); j != nil; j = l.queue.pop() {
			s.fail(j, cause)
		}
	}
	for _, z := range s.sleepers {
		if z.job != nil {
			s.fail(z.job, cause)
		}
	}
	s.sleepers = nil
	s.cond.Broadcast()
}

// An interruptError is the end of the context.
type interruptError struct{ err, cause error }

func (e *interruptError) Error() string   { return "interrupted: " + e.cause.Error() }
func (e *interruptError) Unwrap() []error { return []error{e.err, e.cause} }

func interrupted(ctx context.Context) error {
	return &interruptError{ctx.Err(), context.Cause(ctx)}
}
