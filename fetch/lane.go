package fetch

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"distkeep/fetch/failure"
)

// A host is what the lanes of one host have in common. Its fields are guarded by
// Fetcher.mu.
type host struct {
	name  string
	lanes []*lane
	// max is the bound that the operator set for active transfers.
	active, max int
	conns       int
	limiter     limiter
	stats       HostStats
}

// A lane is the queue of one port of a host for one scheme, and what is known
// about that: a host that has no https, or no rsync daemon, may well have http.
// Its fields are guarded by Fetcher.mu.
type lane struct {
	*host
	queue  jobQueue
	active int // transfers under way

	// proven tells that the host has answered: until then it gets one transfer,
	// so that a dead host is found out once.
	proven atomic.Bool
	// limit is how many transfers the host is trusted with now, ceil how far
	// limit may grow.
	limit, ceil int
	// good counts answers since the last trouble.
	good int
	// trouble is when the host was last found in trouble: requests sent before
	// it tell nothing new.
	trouble time.Time
	// failures to connect and throttlings, and whether there was other trouble,
	// since the last good answer.
	refusals, throttles int
	troubled            bool
	// stalls are transfers in a row that brought nothing, rested the pauses
	// that the host has asked for in all.
	stalls int
	rested time.Duration

	// leads is the lane that redirects lead to, lastLed the one that the last has
	// led to; fed are the lanes that lead here, and waiting counts the redirected
	// jobs in the queue.
	leads, lastLed *lane
	fed            map[*lane]bool
	waiting        int

	until  time.Time // paused
	dead   error
	listed bool // in one of the scheduler's ready lists
	next   *lane
	// manner is one of the lists of budget.go: how the last attempt has fared.
	manner int
}

// deadAfter is how many refused connections, one at a time and with growing
// pauses between them, make a host dead for the run. One that is not answered
// at all counts twice: it was tried for ConnectTimeout already.
const deadAfter = 3

// maxStalls is how many transfers in a row may bring nothing in StallTimeout before
// a host is dead for the run.
const maxStalls = 8

// maxRest bounds the pauses that a host asks for in one run: whoever waits for
// longer is better served by the next run.
const maxRest = 10 * time.Minute

// probation is how many good answers a host must give before it is trusted with
// one transfer more than it has refused before.
const probation = 32

// host returns the host of a name that laneKey makes. f.mu is held.
func (f *Fetcher) host(name string) *host {
	h := f.hosts[name]
	if h == nil {
		h = &host{
			name: name, max: f.o.hostLimit(name), limiter: newLimiter(f.o.HostRate),
			stats: HostStats{SkipVerify: f.o.skipVerify(bareHost(name))},
		}
		f.hosts[name] = h
	}
	return h
}

// lane returns the lane of a URL. f.mu is held.
func (f *Fetcher) lane(u *url.URL) *lane {
	key := doorKey(u)
	l := f.lanes[key]
	if l == nil {
		h := f.host(laneKey(u))
		l = &lane{host: h, limit: 1, ceil: h.max}
		f.lanes[key] = l
		h.lanes = append(h.lanes, l)
	}
	return l
}

// hostLimit is the most transfers at one time from the host of a lane.
func (o *Options) hostLimit(host string) int {
	n, ok := o.HostLimits[host]
	if !ok {
		if n, ok = o.HostLimits[bareHost(host)]; !ok {
			n = o.HostJobs
		}
	}
	return max(1, n)
}

// bareHost is the name of a lane without its port.
func bareHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.Trim(host, "[]")
}

// snapshot returns the figures. A host is dead when all its lanes are.
func (h *host) snapshot() HostStats {
	s := h.stats
	s.Host, s.Max = h.name, h.max
	for _, l := range h.lanes {
		s.Limit = max(s.Limit, l.limit)
		s.Answered = s.Answered || l.proven.Load()
	}
	for _, l := range h.lanes {
		if l.dead == nil {
			s.Dead, s.DeadClass = "", ""
			break
		}
		s.Dead, s.DeadClass = oneLine(l.dead.Error()), Classify(l.dead)
	}
	return s
}

// startable reports whether a job of the lane may start now.
func (l *lane) startable(now time.Time) bool {
	return l.queue.head != nil && l.active < l.limit && l.host.active < l.max && !now.Before(l.until) && l.mayLead()
}

// start and end count a transfer.
func (l *lane) start() {
	l.active++
	l.host.active++
	l.stats.Peak = max(l.stats.Peak, l.host.active)
}

func (l *lane) end() {
	l.active--
	l.host.active--
}

// thrive notes a good answer: the limit grows by one, up to what the host has
// refused before, and slowly beyond.
func (l *lane) thrive() {
	l.prove()
	l.refusals, l.throttles, l.troubled, l.stalls = 0, 0, false, 0
	l.good++
	switch {
	case l.limit > l.ceil:
		l.limit = l.ceil
	case l.limit < l.ceil:
		l.limit++
	case l.ceil < l.max && l.good >= probation:
		l.good = 0
		l.ceil++
		l.limit++
	}
}

// prove notes that the host has answered.
func (l *lane) prove() {
	if !l.proven.Swap(true) {
		l.limit = l.ceil
	}
}

// halve lowers the limit, once for all requests that were under way together.
func (l *lane) halve(began, now time.Time) bool {
	if began.Before(l.trouble) {
		return false
	}
	l.trouble = now
	l.good = 0
	l.limit = max(1, l.limit/2)
	return true
}

// learn draws the conclusions for the host from the end of a transfer. It
// returns how long the host must be left alone, and whether it is dead.
func (l *lane) learn(o *Options, out *outcome, now time.Time) (pause time.Duration, dead bool) {
	if is[*statusError](out.err) {
		l.prove()
	}
	status := new(statusError)
	switch c := out.class; {
	case out.hostwide():
		if out.began.Before(l.trouble) {
			return 0, hopeless(out.err)
		}
		l.trouble = now
		l.refusals++
		var network net.Error
		if out.silent() || errors.As(out.err, &network) && network.Timeout() {
			l.refusals++
		}
		l.limit = 1
		return o.pause(l.refusals), l.refusals >= deadAfter || hopeless(out.err)
	case c == failure.Throttled && errors.As(out.err, &status) && status.ofFile():
		l.thrive()
	case c == failure.Throttled:
		fresh := l.halve(out.began, now)
		if fresh {
			l.throttles++
		}
		if status.asked && status.after <= o.MaxRetryAfter {
			return l.rest(status.after, now), l.rested > maxRest
		}
		if fresh && !status.asked && l.active > 0 {
			// Without a word of time it is the number of transfers that is
			// too large: those that go on are what the host allows.
			l.ceil = min(l.ceil, l.active)
		}
		// No run can wait longer. It may be about the one file, so the host is
		// asked for others, slowly, until it has said so often enough.
		dead = status.asked && l.throttles >= deadAfter
		if fresh && l.throttles > 1 {
			pause = l.rest(o.pause(l.throttles-1), now)
		}
		return pause, dead || l.rested > maxRest
	case c == failure.Server, c == failure.Truncated:
		// Once may be the one file's trouble, twice in a row is the host's.
		// Two transfers are left, so that one of them may stall.
		if l.troubled && l.limit > 2 {
			l.halve(out.began, now)
		}
		l.troubled = true
	case c == failure.Stalled && (out.kept == 0 || errors.Is(out.err, errNoProgress)):
		// A tar pit answers, and then nothing comes, or nothing to speak of.
		l.stalls++
		return 0, l.stalls >= maxStalls
	case c == failure.Stalled, c == failure.Disk, c == failure.Interrupted:
	default:
		l.thrive()
	}
	return 0, false
}

// rest notes a pause that the host has asked for, as far as it is longer than
// what is left of an earlier one.
func (l *lane) rest(pause time.Duration, now time.Time) time.Duration {
	l.rested += max(0, pause-max(0, l.until.Sub(now)))
	return pause
}

// pause is the n-th pause in a row, from one: it doubles, and varies by a half
// so that jobs that failed together do not come back together.
func (o *Options) pause(n int) time.Duration {
	d := o.MaxRetryWait
	if n < 20 {
		d = min(d, o.RetryWait<<(n-1))
	}
	return d/2 + rand.N(d/2+1)
}

// A jobQueue is a queue of jobs; the zero value is empty.
type jobQueue struct{ head, tail *job }

func (q *jobQueue) push(j *job) {
	j.next = nil
	if q.head == nil {
		q.head = j
	} else {
		q.tail.next = j
	}
	q.tail = j
}

// pushFront puts j before all but those that are urgent.
func (q *jobQueue) pushFront(j *job) {
	at := &q.head
	for *at != nil && (*at).urgent.Load() {
		at = &(*at).next
	}
	if j.next = *at; j.next == nil {
		q.tail = j
	}
	*at = j
}

// remove takes out what is of some kind.
func (q *jobQueue) remove(of func(*job) bool) (removed []*job) {
	var rest jobQueue
	for j := q.pop(); j != nil; j = q.pop() {
		if of(j) {
			removed = append(removed, j)
		} else {
			rest.push(j)
		}
	}
	*q = rest
	return removed
}

// hops counts the redirected jobs.
func (q *jobQueue) hops() (n int) {
	for j := q.head; j != nil; j = j.next {
		if j.work != nil && j.hop != nil {
			n++
		}
	}
	return n
}

func (q *jobQueue) pop() *job {
	j := q.head
	if j != nil {
		q.head = j.next
		j.next = nil
		if q.head == nil {
			q.tail = nil
		}
	}
	return j
}

// A laneList is a queue of lanes that each stand in it at most once.
type laneList struct{ head, tail *lane }

func (q *laneList) push(l *lane) {
	l.listed, l.next = true, nil
	if q.head == nil {
		q.head = l
	} else {
		q.tail.next = l
	}
	q.tail = l
}

func (q *laneList) pop() *lane {
	l := q.head
	if l != nil {
		q.head = l.next
		l.listed, l.next = false, nil
	}
	return l
}

func (q *laneList) remove(l *lane) {
	for at, last := &q.head, (*lane)(nil); *at != nil; at, last = &(*at).next, *at {
		if *at == l {
			if *at = l.next; l.next == nil {
				q.tail = last
			}
			l.listed, l.next = false, nil
			return
		}
	}
}
