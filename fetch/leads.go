package fetch

import (
	"maps"
	"net/url"
	"slices"
	"time"
)

// What follows has redirects used at once. Many are signed for minutes only: one
// that waits in the queue of its target is worth nothing when its turn comes. So a
// lane whose redirects lead to one other lane hands out no more of them than that
// one can begin, and one that has waited all the same is asked for again.

// maxHopWait is how long a redirect may wait.
const maxHopWait = 5 * time.Second

// led notes that a redirect of l has led to another lane; nil stands for a file
// that l had itself.
func (l *lane) led(to *lane) {
	if l.leads != nil && l.leads != to {
		delete(l.leads.fed, l)
		l.leads = nil
	}
	if to != nil && to != l && l.lastLed == to {
		l.leads = to
		if to.fed == nil {
			to.fed = make(map[*lane]bool)
		}
		to.fed[l] = true
	}
	l.lastLed = to
}

// mayLead reports whether a redirect of the lane could be used at once. Two
// redirects to the same lane make it the one that the next is expected to lead to.
// A lane that others have led to waits for none: they may lead to each other.
func (l *lane) mayLead() bool {
	to := l.leads
	if to == nil || to.dead != nil || l.waiting > 0 {
		return true
	}
	return l.active+to.waiting < min(to.limit-to.active, to.host.max-to.host.active)
}

// hop puts a redirected job to the front of the lane it was sent to.
func (l *lane) hop(j *job, to *url.URL) {
	j.hop, j.lane, j.hopped = to, l, time.Now()
	l.waiting++
	l.queue.pushFront(j)
}

// board takes the next job of a lane that is about to start. It returns nil when
// its redirect is too old, or another lane can have it by now.
func (s *scheduler) board(l *lane) *job {
	j := l.queue.pop()
	switch {
	case l == s.local:
		j.begin()
		return j
	case j.work == nil:
		if s.resume(j); s.pick(j) == l {
			return j
		}
		s.route(j)
		return nil
	case j.hop == nil:
		return j
	}
	l.waiting--
	if time.Since(j.hopped) <= maxHopWait {
		return j
	}
	s.route(j)
	return nil
}

// touchHost touches the lanes of a host and those that lead to them.
func (s *scheduler) touchHost(h *host) {
	for _, l := range h.lanes {
		s.touch(l)
		if len(l.fed) > 0 {
			for _, from := range slices.Collect(maps.Keys(l.fed)) {
				s.touch(from)
			}
		}
	}
}
