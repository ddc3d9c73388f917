package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// A job is a request under way. It is owned by the worker that has taken it,
// and else guarded by Fetcher.mu. Very many may wait for their turns: what it takes to
// carry one out is made then.
type job struct {
	// askers are all who wait for its result. They are guarded by Fetcher.mu.
	askers []asker
	// urgent: somebody waits for its bytes. It is before others, and they are
	// written as they come.
	urgent  atomic.Bool
	absent  bool // nothing was in the place of its .part when it began
	patient bool // its .part is large, and waits until all others were looked at
	ended   bool
	// only: it has one source, and no other archive can be asked.
	only  bool
	next  *job // in a queue
	twin  *job // in scheduler.jobs
	lane  *lane
	claim int64 // of Fetcher.claimed
	// work is nil while nothing was done for it but to look at its .part. Whether
	// it is, is guarded by Fetcher.mu.
	*work
}

// A work is what it takes to carry out a job, and how it has fared.
type work struct {
	req *Request
	// ctx is that of the attempt under way.
	ctx     context.Context
	told    told
	sources []source
	cur     int      // the source to ask next
	hop     *url.URL // where the current source has redirected us, or nil
	hopped  time.Time
	trip    *trip // from the current source on
	part    part
	res     Result
	// lanes counts sources by lane, when there are many.
	lanes map[*lane]int
	// widened tells that the fallback archives are among the sources.
	widened bool
	// layout is the fallback whose layout.conf the job asks for: nobody waits
	// for the result of such a job.
	layout *fallback
}

func newWork(r *Request) *work {
	return &work{req: r, part: part{path: r.Part, algs: r.algorithms()}}
}

// begin makes what it takes to carry out j, unless there is some.
func (j *job) begin() {
	if j.work == nil {
		j.work = newWork(j.askers[0].request())
	}
}

// rest drops what can be made again when its turn comes.
func (j *job) rest() {
	if j.trip == nil && len(j.res.Attempts) == 0 && j.part.have == 0 && j.part.hash == nil && !j.widened && j.layout == nil {
		j.work = nil
	}
}

// told is how many bytes of a .part Events.Grown was told of last. The lock is held
// meanwhile, so that whoever joins is told in order.
type told struct {
	mu   sync.Mutex
	have int64
}

// tell tells that there are have bytes in the .part.
func (j *job) tell(e *Events, have int64) {
	j.told.mu.Lock()
	defer j.told.mu.Unlock()
	j.told.have = have
	e.grown(j.req.Part, have)
}

// tellAgain tells what there is in the .part, if anything came in this job. f.mu is
// held.
func (j *job) tellAgain(e *Events) {
	if j.work == nil {
		return
	}
	j.told.mu.Lock()
	defer j.told.mu.Unlock()
	if j.told.have > 0 {
		e.grown(j.req.Part, j.told.have)
	}
}

// A source is one URL of a job, and how it fared.
type source struct {
	text string
	url  *url.URL // parsed when its turn comes
	// trusted sources were named by the operator, not by a tree.
	trusted bool
	// struck sources are not asked again.
	struck bool
	// counted among those of its lane.
	counted bool
	// fails counts transient failures, throttles those that only ask for
	// patience, continued transfers that broke off but brought a good deal.
	fails, throttles, continued int
	// spent is the time of its attempts.
	spent time.Duration
	// wait is the pause before the next try.
	wait time.Duration
	// plain: the answer was of HTTP/1.0, and wrong.
	plain bool
	// unpacked: the server compresses against our wish.
	unpacked bool
	// whole: the server's ranges cannot be used. zeroed: it was asked for the
	// whole file because a continued one was wrong.
	whole, zeroed bool
	// validator is the server's mark of the content that it sent last.
	validator string
	// bad are the targets of redirects that the file was not had from.
	bad []string
}

// spelling spells the URL for people: in the memory of the tree's own spelling where that
// is the same, for a record has it.
func (s *source) spelling() string {
	if text := redact(s.url); text != s.text {
		return text
	}
	return s.text
}

const (
	// maxThrottles bounds how often one file accepts to be put off by one
	// source: more than Retries, for with every answer the lane has slowed down.
	maxThrottles = 8
	// patience is how often a range may be put off before the whole is asked for.
	patience = 3
	// maxContinued bounds continuations of one file at one source.
	maxContinued = 64
	// maxTargets bounds the targets of redirects of one source.
	maxTargets = 4
)

// What one file, and one package, may cost: a tree can name any number of URIs.
const (
	// maxSources is how many URLs are asked for one file, maxSameHost how many of
	// them at one port of a host. Real trees name fewer than 50.
	maxSources  = 256
	maxSameHost = 32
	// maxAttempts is how many of its attempts a result keeps: the first and the
	// last.
	maxAttempts = 256
	// maxPackage is how many attempts for the files of one package may fail
	// before each of its files has fewPackage sources only. The largest real
	// package wants 1,500 files.
	maxPackage = 10000
	fewPackage = 4
)

// An outcome is how one attempt ended.
type outcome struct {
	err   error
	class failure.Class
	began time.Time
	// took includes held, the time that our own rates took.
	took, held time.Duration
	// received counts the bytes that came, kept those that the .part grew by.
	received, kept int64
	offset         int64
	// lowered is what was given up on the way, such as modern TLS.
	lowered string
	// redirect sends the job to another host.
	redirect *url.URL
	// again asks the same source again at once, from zero.
	again bool
	// asked tells that a request was sent, begun that bytes began to come, late
	// that the server does not want to be asked again within the time of a run.
	asked, begun, late bool
}

// hostwide reports whether the trouble is the host's and not the file's.
func (o *outcome) hostwide() bool {
	return o.class == failure.DNS || o.class == failure.Refused || o.class == failure.TLS || o.silent()
}

// silent reports whether the host did not answer at all. Finding that out takes
// so long that it must not be done for each file.
func (o *outcome) silent() bool { return o.class == failure.Stalled && !o.begun }

// missing is how many bytes are still to come, as far as that is known.
func (j *job) missing() int64 {
	if j.req.Size < 0 {
		return 0
	}
	return j.req.Size - j.part.have
}

// target is the URL to ask now.
func (j *job) target() *url.URL {
	if j.hop != nil {
		return j.hop
	}
	return j.sources[j.cur].url
}

// advance moves on to the source behind the current one.
func (j *job) advance() {
	j.hop = nil
	j.cur = (j.cur + 1) % len(j.sources)
}

// errCrowd spares a host all but some of very many URIs of one file.
var errCrowd = &policyError{fmt.Sprintf("the tree names more than %d URIs of this host for the file", maxSameHost)}

// crowds reports whether a source is one too many for its lane.
func (j *job) crowds(l *lane, src *source) bool {
	if len(j.sources) <= maxSameHost || src.counted {
		return false
	}
	if j.lanes == nil {
		j.lanes = make(map[*lane]int)
	}
	src.counted = true
	j.lanes[l]++
	return j.lanes[l] > maxSameHost
}

// note records an attempt at a source.
func (j *job) note(f *Fetcher, source int, a Attempt) {
	a.source = source
	if n := len(j.res.Attempts); n >= maxAttempts {
		j.res.Attempts = slices.Delete(j.res.Attempts, n/2, n/2+1)
		j.res.Omitted++
	}
	j.res.Attempts = append(j.res.Attempts, a)
	if j.layout != nil {
		return
	}
	f.o.Events.attempt(j.req.Name, a)
}

// judge decides what an attempt means for the current source.
func (j *job) judge(o *Options, out *outcome) {
	src := &j.sources[j.cur]
	src.spent += out.took - out.held
	switch {
	case errors.Is(out.err, errNoProgress):
		src.struck = true // the next run goes on with it, when the server is quicker
		j.advance()
	case out.again:
		j.hop = nil
	case j.freshen(out):
		j.hop = nil
	case !out.class.Transient() || hopeless(out.err) || out.late:
		src.struck = true
		j.advance()
	case out.kept >= enough(j.req.Size) && src.continued < maxContinued:
		// It goes on: the same source, and the trouble is forgiven.
		src.continued++
		src.wait = o.pause(1)
		j.hop = nil
	default:
		n := &src.fails
		most := o.Retries
		if out.class == failure.Throttled {
			n, most = &src.throttles, max(o.Retries, min(maxThrottles, 2*o.Retries))
		}
		*n++
		src.struck = *n > max(0, most)
		status := new(statusError)
		switch {
		case errors.As(out.err, &status) && status.ofFile():
			src.wait = max(o.pause(1), status.after)
		case !out.hostwide(): // else the lane pauses as a whole
			src.wait = o.pause(src.fails + src.throttles)
		}
		j.advance()
	}
}

// freshen reports whether the source is to be asked for another redirect. What one
// target answers is not the last word of a source: many lead elsewhere each time,
// or to a place that is good for a moment. It is, once its targets repeat.
func (j *job) freshen(out *outcome) bool {
	src := &j.sources[j.cur]
	if j.trip == nil || j.trip.at == nil || out.class == failure.Throttled || errors.Is(out.err, errLoop) {
		return false
	}
	at := j.trip.at.String()
	if len(src.bad) >= maxTargets || slices.Contains(src.bad, at) {
		return false
	}
	src.bad = append(src.bad, at)
	return true
}

// enough is how many bytes make a broken transfer worth continuing at once: a
// sixteenth of the file, but at least as much as one read.
func enough(size int64) int64 { return max(size/16, bufferSize) }

// algorithms are those to compute for r.
func (r *Request) algorithms() []digest.Algorithm {
	return append(r.Digests.Algorithms(), r.Compute...)
}
