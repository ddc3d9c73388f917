package fetch

import (
	"container/heap"
	"time"
)

// A sleeper is a job or a lane that goes on at a time.
type sleeper struct {
	when time.Time
	job  *job
	lane *lane
}

type sleepers []sleeper

func (q sleepers) Len() int           { return len(q) }
func (q sleepers) Less(i, k int) bool { return q[i].when.Before(q[k].when) }
func (q sleepers) Swap(i, k int)      { q[i], q[k] = q[k], q[i] }
func (q *sleepers) Push(x any)        { *q = append(*q, x.(sleeper)) }
func (q *sleepers) Pop() any {
	n := len(*q) - 1
	z := (*q)[n]
	*q = (*q)[:n]
	return z
}

// wake sees to it that z goes on at its time.
func (s *scheduler) wake(z sleeper) {
	heap.Push(&s.sleepers, z)
	if s.sleepers[0] == z {
		s.arm()
	}
}

// arm sets the timer for the first sleeper.
func (s *scheduler) arm() {
	d := time.Until(s.sleepers[0].when)
	if s.timer == nil {
		s.timer = time.AfterFunc(d, s.tick)
		return
	}
	s.timer.Reset(d)
}

func (s *scheduler) tick() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	now := time.Now()
	for len(s.sleepers) > 0 && !s.sleepers[0].when.After(now) {
		switch z := heap.Pop(&s.sleepers).(sleeper); {
		case z.job != nil:
			s.route(z.job)
		default:
			s.touch(z.lane)
		}
	}
	if len(s.sleepers) > 0 {
		s.arm()
	}
}
