package fetch

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// What follows keeps hosts that are slow, by misfortune or by intent, from holding
// a run. A transfer that does not move loses its place among Options.Jobs to one
// that may begin, and goes on beside them; the rate that is asked of it grows with
// its age. When nothing has moved for maxLull in all, the run waits for nobody any
// more, and after Options.MaxTime for nobody at all.
const (
	// moving is how many times Options.MinRate a transfer must have to keep its
	// place, from grace on: connections and slow answers take seconds.
	moving = 64
	grace  = 10 * time.Second
	// beside is how many slow transfers for each of Options.Jobs may go on when
	// others wait for a place.
	beside = 4
	// growth is the time after which twice Options.MinRate is asked of a transfer.
	growth = 10 * time.Minute
	// reviewEvery is how often all this is looked at.
	reviewEvery = 5 * time.Second
	// prompt is how long an attempt may take, beside its bytes, for the run to
	// count as moving.
	prompt = 2 * time.Second
	// maxLull is how long a run waits in all while nothing moves.
	maxLull = time.Hour
)

// asked is the least rate, in bytes a second, of a transfer that has taken age.
// It grows by MinRate for each growth: what is worth an hour is not worth a day.
func (o *Options) asked(age time.Duration) float64 {
	return float64(o.MinRate) * (1 + float64(age)/float64(growth))
}

// pace is the rate, in bytes a second, of a transfer that moves: less where our
// own limits do not allow that. It is 0 when nothing is asked of transfers.
func (o *Options) pace() float64 {
	if o.MinRate < 0 {
		return 0
	}
	pace := moving * float64(o.MinRate)
	if o.Rate > 0 {
		pace = min(pace, float64(o.Rate)/float64(2*o.Jobs))
	}
	if o.HostRate > 0 {
		pace = min(pace, float64(o.HostRate)/float64(2*o.HostJobs))
	}
	return pace
}

// lost is the time that a transfer of n bytes took beyond what one takes that
// moves.
func (o *Options) lost(took time.Duration, n int64) time.Duration {
	pace := o.pace()
	if pace == 0 {
		return 0
	}
	return took - time.Duration(float64(n)/pace*float64(time.Second))
}

// A flight is the attempt that a worker is at, as the review sees it.
type flight struct {
	mu    sync.Mutex
	began time.Time // zero when there is none
	held  time.Duration
	came  int64
	cut   context.CancelCauseFunc

	// What follows is guarded by Fetcher.mu: late since, from a fresh lane.
	late, fresh bool
	since       time.Time
	lane        *lane
}

func (l *flight) begin(cut context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began, l.held, l.came, l.cut = time.Now(), 0, 0, cut
}

// end returns the time that our own rates held the attempt back.
func (l *flight) end() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began, l.cut = time.Time{}, nil
	return l.held
}

// progress notes n bytes, and the time that our own rates held them back. It
// returns how long the attempt has taken without that.
func (l *flight) progress(n int64, held time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.came += n
	l.held += held
	return time.Since(l.began) - l.held
}

// state reports whether the attempt moves, or is slow; one that has just begun is
// neither.
func (l *flight) state(o *Options) (moves, slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began.IsZero() {
		return false, false
	}
	took := time.Since(l.began) - l.held
	lost := o.lost(took, l.came)
	return took >= reviewEvery && lost < prompt, lost > grace
}

// stop ends the attempt, if there is one.
func (l *flight) stop(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut != nil {
		l.cut(why)
	}
}

var (
	errLull  = fmt.Errorf("%w: for %v nothing has moved in this run", errNoProgress, maxLull)
	errPlace = fmt.Errorf("%w: others wait for its place", errNoProgress)
)

// A parkedError ends what outlives Options.MaxTime. It is no failure.
type parkedError struct{ after time.Duration }

func (e *parkedError) Error() string {
	return fmt.Sprintf("parked: the transfers of a run may take %v", e.after)
}

// review is called every reviewEvery.
func (s *scheduler) review() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.open == 0 {
		return
	}
	s.clock.Reset(reviewEvery)
	s.cut()
	// What moves are attempts that ended in time, bytes, and work of our own.
	moves := s.quick > 0 || s.handing > 0 || s.finished.head != nil || s.local.active > 0
	s.quick = 0
	for _, w := range s.workers {
		m, slow := w.flight.state(&s.f.o)
		moves = moves || m
		s.setLate(w, slow)
	}
	s.makePlace()
	if moves || s.f.o.pace() == 0 {
		return
	}
	if s.lull += reviewEvery; s.lull > maxLull {
		s.haltAll(errLull)
		s.cut()
	}
}

// The lists of lanes that may start a transfer, or a look at a .part.
const (
	freshLanes = iota // no attempt has ended yet
	quickLanes        // the last one took no longer than its bytes
	tardyLanes        // it did
	looks
	urgentLanes // somebody waits for their first job, which takes nobody's place
)

type readyLists [5]laneList

func (q *readyLists) any() bool {
	return q[looks].head != nil || q[urgentLanes].head != nil || q[quickLanes].head != nil || q[freshLanes].head != nil || q[tardyLanes].head != nil
}

// remove takes a listed lane out of its list.
func (q *readyLists) remove(l *lane) {
	for i := range q {
		q[i].remove(l)
	}
}

// rank returns the list of a lane.
func (s *scheduler) rank(l *lane) int {
	switch {
	case l == s.local:
		return looks
	case l.queue.head != nil && l.queue.head.urgent.Load():
		return urgentLanes
	}
	return l.manner
}

// nextLane returns the lane that is to start next. Hosts that nothing is known of
// have a quarter of the places when others wait, and slow ones none.
func (s *scheduler) nextLane() *lane {
	order := [...]int{looks, urgentLanes, quickLanes, freshLanes, tardyLanes}
	if s.fresh < max(1, s.f.o.Jobs/4) {
		order[2], order[3] = freshLanes, quickLanes
	}
	for _, i := range order {
		if i != looks && i != urgentLanes && !s.places() {
			return nil
		}
		for l := s.ready[i].pop(); l != nil; l = s.ready[i].pop() {
			if s.rank(l) != i {
				s.touch(l) // it has lost its rank meanwhile
			} else if l.startable(time.Now()) {
				return l
			}
		}
	}
	return nil
}

// places reports whether another transfer may begin.
func (s *scheduler) places() bool {
	return s.flying-min(s.late, beside*s.f.o.Jobs) < s.f.o.Jobs
}

// depart and arrive count a transfer.
func (s *scheduler) depart(w *worker, l *lane) {
	s.flying++
	w.flight.lane = l
	if w.flight.fresh = l.manner == freshLanes; w.flight.fresh {
		s.fresh++
	}
}

func (s *scheduler) arrive(w *worker, l *lane, out *outcome) {
	s.flying--
	s.known(w)
	s.setLate(w, false)
	if l.manner = tardyLanes; s.f.o.lost(out.took-out.held, out.received) < prompt {
		l.manner = quickLanes
		s.quick++
	}
}

// known notes that the host of a worker's transfer is not fresh any more.
func (s *scheduler) known(w *worker) {
	if w.flight.fresh {
		s.fresh--
	}
	w.flight.fresh = false
}

// setLate notes whether a worker's transfer moves.
func (s *scheduler) setLate(w *worker, late bool) {
	switch l := &w.flight; {
	case late && !l.late:
		s.late++
		l.since = time.Now()
		l.lane.manner = tardyLanes
		s.known(w)
	case l.late && !late:
		s.late--
	}
	w.flight.late = late
}

// makePlace gives the places of slow transfers to those that wait for one. When
// too many are slow, the longest of them ends.
func (s *scheduler) makePlace() {
	if !s.ready.any() {
		return
	}
	for range s.late - beside*s.f.o.Jobs {
		var oldest *worker
		for _, w := range s.workers {
			if w.flight.late && (oldest == nil || w.flight.since.Before(oldest.flight.since)) {
				oldest = w
			}
		}
		s.setLate(oldest, false)
		oldest.flight.stop(errPlace)
	}
	for range s.f.o.Jobs + min(s.late, beside*s.f.o.Jobs) - len(s.workers) {
		s.hire()
	}
	s.cond.Signal()
}
