package fetch

import (
	"fmt"
	"net/url"
	"time"

	"distkeep/catalog"
)

// route puts a job where it can go on: into the lane of a source, to sleep
// before that, or to its end.
func (s *scheduler) route(j *job) {
	if why := j.halted(); why != nil {
		s.fail(j, why)
		return
	}
	if j.hop != nil {
		// Its redirect has led to a host that is busy or dead: begin again at
		// the source, which may know a better one by then.
		j.hop = nil
	}
	if s.failed[j.req.Package] > maxPackage && len(j.res.Attempts) >= fewPackage && j.layout == nil {
		s.tooMany(j, fmt.Sprintf("%d attempts for files of %s have failed: no more than %d sources are asked for one", maxPackage, j.req.Package, fewPackage))
		s.fail(j, nil)
		return
	}
	for {
		l := s.pick(j)
		if l == nil {
			more, parked := s.widen(j)
			if !more && !parked {
				s.fail(j, nil)
			}
			if !more {
				return
			}
			continue
		}
		j.lane = l
		src := &j.sources[j.cur]
		if src.wait > 0 {
			s.wake(sleeper{when: time.Now().Add(src.wait), job: j})
			src.wait = 0
			return
		}
		if j.urgent.Load() || src.fails+src.throttles+src.continued > 0 {
			l.queue.pushFront(j) // what has begun is finished first
		} else {
			l.queue.push(j)
			j.rest()
		}
		s.touch(l)
		return
	}
}

// pick chooses the next source of a job: the first from the current one on that
// can be asked now, or else the current one. It strikes those that cannot be
// asked at all, and returns nil when no source is left.
func (s *scheduler) pick(j *job) *lane {
	var second *lane
	at := -1
	for i := range j.sources {
		n := (j.cur + i) % len(j.sources)
		src := &j.sources[n]
		if src.struck {
			continue
		}
		l := s.laneOf(j, n)
		if l == nil {
			continue
		}
		if src.wait == 0 && !time.Now().Before(l.until) {
			j.cur = n
			return l
		}
		if second == nil {
			second, at = l, n
		}
	}
	if second != nil {
		j.cur = at
	}
	return second
}

// laneOf returns the lane of a source, or strikes the source and returns nil.
func (s *scheduler) laneOf(j *job, n int) *lane {
	src := &j.sources[n]
	var err error
	if src.url == nil {
		if src.url, err = parseURL(src.text); err == nil && !src.trusted {
			err = s.f.guard.check(src.url)
		}
	}
	var l *lane
	if err == nil {
		l = s.f.lane(src.url)
		switch {
		case l.dead != nil:
			l.stats.Spared++
			err = &deadError{l.name, l.dead}
		case j.crowds(l, src):
			err = errCrowd
		default:
			return l
		}
	}
	src.struck = true
	a := Attempt{URL: catalog.Redact(src.text), Class: Classify(err), Err: err, Fallback: src.trusted}
	if l != nil {
		a.Host = l.name
	}
	j.note(s.f, n, a)
	return nil
}

// follow sends a redirected job to the lane of the other host, to its front.
func (s *scheduler) follow(j *job, to *url.URL) {
	src := &j.sources[j.cur]
	err := j.trip.hop(to)
	if err == nil {
		err = s.f.guard.check(to)
	}
	host := laneKey(to)
	var l *lane
	if err == nil {
		if l = s.f.lane(to); l.dead != nil {
			l.stats.Spared++
			err = &deadError{host, l.dead}
		}
	}
	if err != nil {
		j.note(s.f, j.cur, Attempt{URL: redact(src.url), Host: host, Class: Classify(err), Err: fmt.Errorf("redirected to %s: %w", redactFinal(to), err)})
		out := outcome{err: err, class: Classify(err)}
		if j.hop = nil; !j.freshen(&out) {
			src.struck = true
			j.advance()
		}
		s.route(j)
		return
	}
	if why := j.halted(); why != nil {
		s.fail(j, why)
		return
	}
	j.lane.led(l)
	l.hop(j, to)
	s.touch(l)
}
