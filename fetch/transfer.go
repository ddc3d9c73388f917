package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"distkeep/fetch/failure"
)

// A transfer is one attempt at work: it moves the bytes of a body into the
// .part file of a job.
type transfer struct {
	w    *worker
	j    *job
	lane *lane
	ctx  context.Context
	dog  *watchdog
	out  *outcome
	file *os.File // opened when the first bytes are written
	// head are the first bytes of a file that is transferred from zero.
	head []byte
	body *body
	// lastLook and lastBytes are for MinRate, held is the time that our own
	// rate limit has taken since.
	lastLook  time.Time
	lastBytes int64
	held      time.Duration
	// scratch is the file that a program writes in this attempt, or nil.
	scratch *os.File
	room    int64 // bytes, of a file of unknown size, that there is room for
}

// attempt asks u for what is missing of the job's file. Its outcome is without
// error when the file is complete and verified, or when it has a redirect.
func (w *worker) attempt(ctx context.Context, j *job, u *url.URL, l *lane) (out outcome) {
	t := &transfer{w: w, j: j, lane: l, out: &out}
	out.began = time.Now()
	before := j.part.have
	if ctx.Err() != nil {
		out.err = interrupted(ctx)
	} else {
		out.err = t.run(ctx, u)
	}
	out.kept = max(0, j.part.have-before)
	if j.part.have == 0 {
		w.release(&j.part) // thousands of jobs may wait for another try
	}
	out.took = time.Since(out.began)
	out.class = Classify(out.err)
	if j.trip != nil && j.trip.lowered != "" {
		out.lowered = j.trip.lowered
		if out.err != nil && out.class != failure.Interrupted && out.class != failure.Disk {
			out.err = &loweredError{out.lowered, out.err}
		}
	}
	if out.err != nil {
		var status *statusError
		out.late = errors.As(out.err, &status) && status.after > w.f.o.MaxRetryAfter
	}
	return out
}

func (t *transfer) run(ctx context.Context, u *url.URL) (err error) {
	o, p := &t.w.f.o, &t.j.part
	src := &t.j.sources[t.j.cur]
	if src.trusted {
		ctx = byOperator(ctx)
	}
	if err := t.claimRoom(); err != nil {
		return err
	}
	defer func() { t.unclaim(t.j.missing()) }() // for the next attempt
	if t.j.hop == nil {
		t.j.trip = &trip{bare: len(src.bad)%2 == 1, strong: t.j.req.Digests.Strongest().Alg.Strong()}
	}
	from := resume{size: t.j.req.Size, trip: t.j.trip, plain: src.plain || src.fails > 1}
	program := schemeOf(u).program
	if program {
		from.grown = t.grown
		if t.j.layout == nil {
			from.scratch = t.makeScratch
		}
	}
	if p.have > 0 && !src.whole && !src.unpacked && src.throttles < patience {
		from.offset, from.validator = p.have, src.validator
	}
	// Connection, handshake and request are each bounded by themselves; this
	// bounds them together, waiting for a free connection included.
	patience := 2*o.ConnectTimeout + o.HeaderTimeout
	if program {
		patience += time.Duration(from.offset/rsyncReads) * time.Second
	}
	t.ctx, t.dog = watch(ctx, patience, errNoAnswer)
	defer t.dog.stop()
	t.w.flight.begin(t.dog.cancel)
	defer func() { t.out.held = t.w.flight.end() }()
	defer func() {
		if err == nil {
			return
		}
		// Whatever a read or write says after the end of a context, the
		// reason is that of the context.
		if ctx.Err() != nil {
			err = interrupted(ctx)
		} else if t.ctx.Err() != nil && Classify(err) != failure.Disk && !is[*statusError](err) {
			err = context.Cause(t.ctx)
		}
	}()
	t.out.asked = true
	b, err := t.w.f.transports[u.Scheme].open(t.ctx, u, from)
	if t.scratch != nil {
		return t.adopt(ctx, err)
	}
	if err != nil {
		return t.unopened(src, from, err)
	}
	t.body = b
	t.begin()
	t.dog.allow(o.Stall, errStalled)
	if fb := t.j.layout; fb != nil {
		err = t.readLayout(fb)
	} else {
		err = t.receive(src)
	}
	if cerr := t.close(err); cerr != nil || b.refusal == nil || err == nil {
		return errors.Join(err, cerr)
	}
	switch Classify(err) {
	case failure.Disk, failure.Interrupted:
		return err
	}
	return b.refusal
}

// unopened deals with the error of a transport that has opened nothing.
func (t *transfer) unopened(src *source, from resume, err error) error {
	var (
		moved    *redirectError
		complete *completeError
		unusable *rangeError
	)
	switch {
	case errors.As(err, &moved):
		t.out.redirect = moved.to
		return nil
	case errors.As(err, &complete) && t.j.req.Size >= 0 && t.j.req.Size != t.j.part.have:
		return &sizeError{want: t.j.req.Size, got: t.j.part.have} // its file is another one
	case errors.As(err, &complete):
		return t.finish(0)
	case errors.As(err, &unusable):
		// Without its .part the job cannot come here twice.
		src.whole = true
		if from.offset > 0 {
			t.out.again = true
		}
	case from.offset > 0 && brokeEarly(err):
		src.whole = true // some refuse a range so
	}
	return err
}

// begin notes that the server has answered. Only now does its rate count.
func (t *transfer) begin() {
	t.out.begun = true
	t.w.answered(t.lane)
	t.lastLook = time.Now()
}

// close ends the transfer's use of connection and file. err is the error of the
// transfer, which makes that of the connection uninteresting.
func (t *transfer) close(err error) error {
	t.body.Close()
	if t.file != nil {
		if cerr := t.file.Close(); cerr != nil && err == nil {
			return &diskError{cerr}
		}
	}
	return nil
}

// maxDoubt bounds a file that is read although its server says that it is longer
// than it should be: now and then it is the length that is wrong.
const maxDoubt = 8 << 20

// receive moves the body. The order of checks is that of certainty: a size that
// cannot be right ends the transfer before anything is given up for it.
func (t *transfer) receive(src *source) error {
	b, p, r := t.body, &t.j.part, t.j.req
	f := t.w.f
	if src.unpacked {
		b.unpack()
	}
	if r.Size >= 0 && b.size >= 0 && b.size != r.Size && (b.size < r.Size || r.Size > maxDoubt || p.have > 0) {
		return t.otherSize(&sizeError{want: r.Size, got: b.size})
	}
	if limit := t.limit(); r.Size < 0 && b.size > limit {
		return t.page(&sizeError{want: limit, got: b.size, more: true})
	}
	src.validator = b.validator
	t.j.res.URL = src.spelling()
	t.j.res.Final = t.j.res.URL
	t.j.res.Lowered = t.j.trip.lowered
	if b.final != nil && b.final != src.url {
		t.j.res.Final = redactFinal(b.final)
	}
	fill := 0
	switch {
	case b.offset == 0 && p.have > 0:
		// The server would not continue. What is there is given up for the
		// beginning of a file, not for a page or for nothing.
		n, err := io.ReadAtLeast(b, t.w.buf, 1)
		if err != nil {
			return t.broken(0, err)
		}
		fill = n
		if t.head = beginning(t.w.buf[:fill]); is[*htmlError](t.page(errNotContinued)) {
			t.out.received += int64(n)
			return t.page(errNotContinued)
		}
		if err := p.remove(); err != nil {
			return err
		}
		t.w.hasher(p)
	case b.offset == 0:
		t.w.hasher(p)
	case b.offset != p.have:
		return fmt.Errorf("transfer begins at byte %d in place of %d", b.offset, p.have)
	default:
		p.mixed = true
	}
	t.out.offset = b.offset
	size := max(r.Size, b.size)
	f.o.Events.start(r.Name, t.j.res.URL, b.offset, size)
	limit := t.limit()
	first := fill
	for {
		if t.ctx.Err() != nil { // a file of this machine does not look
			return t.broken(fill, t.ctx.Err())
		}
		n, err := first, error(nil)
		if first == 0 {
			n, err = b.Read(t.w.buf[fill:])
			fill += n
		}
		first = 0
		if n > 0 {
			t.out.received += int64(n)
			if t.head == nil && p.have == 0 {
				t.head = beginning(t.w.buf[:fill])
			}
			if p.have+int64(fill) > limit {
				return t.wrong(&sizeError{want: limit, got: p.have + int64(fill), more: true}, 0)
			}
			if perr := t.pace(n); perr != nil {
				return errors.Join(perr, t.flush(fill))
			}
		}
		switch {
		case err == nil:
			if fill == len(t.w.buf) || t.j.urgent.Load() && r.Size > int64(len(t.w.buf)) {
				if err := t.flush(fill); err != nil {
					return err
				}
				fill = 0
			}
			continue
		case p.have+int64(fill) == limit && r.Size >= 0:
			return t.finish(fill) // all there, however the connection ended
		case err != io.EOF:
			return t.broken(fill, err)
		case b.end > 0 && p.have+int64(fill) == b.end:
			return t.endPiece(src, fill)
		case r.Size >= 0 && (!b.clean || b.size >= 0), r.Size < 0 && b.size > p.have+int64(fill):
			return t.broken(fill, io.ErrUnexpectedEOF)
		case r.Size >= 0:
			p.hash.Write(t.w.buf[:fill])
			return t.wrong(&sizeError{want: r.Size, got: p.have + int64(fill)}, fill)
		}
		return t.finish(fill)
	}
}

// pace notes that n bytes have come and keeps to the rates.
func (t *transfer) pace(n int) error {
	f := t.w.f
	f.o.Events.bytes(t.j.req.Name, n)
	if f.limiter.l != nil || t.lane.limiter.l != nil {
		began := time.Now()
		t.dog.hold()
		if err := errors.Join(f.limiter.wait(t.ctx, n), t.lane.limiter.wait(t.ctx, n)); err != nil {
			return err
		}
		held := time.Since(began) // our own patience is not the server's fault
		t.held += held
		t.w.flight.progress(0, held)
	}
	return t.progress(int64(n))
}

// progress notes n bytes more and cuts a transfer that is too slow.
func (t *transfer) progress(n int64) error {
	f := t.w.f
	t.dog.feed()
	t.lastBytes += n
	age := t.j.sources[t.j.cur].spent + t.w.flight.progress(n, 0)
	now := time.Now()
	took := now.Sub(t.lastLook) - t.held
	if took < f.o.RateWindow || f.o.MinRate < 0 {
		return nil
	}
	if rate, asked := float64(t.lastBytes)/took.Seconds(), f.o.asked(age); rate < asked {
		return fmt.Errorf("%w: %.0f bytes a second after %v, %.0f are asked for", errNoProgress, rate, age.Round(time.Second), asked)
	}
	t.lastLook, t.lastBytes, t.held = now, 0, 0
	return nil
}

// flush hashes and writes the first n bytes of the buffer.
func (t *transfer) flush(n int) error {
	if n == 0 {
		return nil
	}
	t.j.part.hash.Write(t.w.buf[:n])
	return t.write(n)
}

// write writes the first n bytes of the buffer, which are hashed already.
func (t *transfer) write(n int) error {
	p := &t.j.part
	if t.j.req.Size < 0 {
		if err := t.moreRoom(int64(n)); err != nil {
			return err
		}
	}
	if t.file == nil {
		f, err := p.open()
		if src := &t.j.sources[t.j.cur]; errors.Is(err, errForeign) && !src.zeroed {
			src.zeroed, t.out.again = true, true
			return errors.Join(err, p.remove())
		}
		if err != nil {
			return err
		}
		if t.file = f; p.have == 0 {
			t.j.tell(&t.w.f.o.Events, 0)
		}
	}
	if _, err := t.file.Write(t.w.buf[:n]); err != nil {
		return &diskError{err}
	}
	t.wrote(n)
	return nil
}

// writeWhole writes the first n bytes of the buffer, which are all of the file, and
// verified.
func (t *transfer) writeWhole(n int) error {
	if t.j.req.Size < 0 {
		if err := t.moreRoom(int64(n)); err != nil {
			return err
		}
	}
	if err := t.j.part.make(t.w.buf[:n]); err != nil {
		return err
	}
	t.j.tell(&t.w.f.o.Events, 0)
	t.wrote(n)
	return nil
}

// wrote notes that the .part has grown by n bytes.
func (t *transfer) wrote(n int) {
	p := &t.j.part
	p.have += int64(n)
	t.j.tell(&t.w.f.o.Events, p.have)
	t.unclaim(t.j.claim - int64(n))
}

// broken keeps what has come of a transfer that ended too early.
func (t *transfer) broken(fill int, err error) error {
	if ferr := t.flush(fill); ferr != nil {
		return ferr
	}
	switch {
	case t.ctx.Err() != nil:
		return context.Cause(t.ctx)
	case is[*unpackError](err):
		return errors.Join(err, t.j.part.remove())
	}
	return &truncatedError{have: t.j.part.have, want: t.j.req.Size, err: unexpectedEOF(err)}
}

// endPiece keeps a piece that is complete, of which more is to come. A server that
// sends small pieces is asked for so many only.
func (t *transfer) endPiece(src *source, fill int) error {
	src.whole = false
	if src.continued < maxContinued && t.j.part.have+int64(fill)-t.out.offset >= t.j.req.Size/maxContinued {
		src.continued++
		t.out.again = true
	}
	return t.broken(fill, io.ErrUnexpectedEOF)
}

// finish verifies the file when the first fill bytes of the buffer complete it.
// A file that fits into the buffer is written only if it is right.
func (t *transfer) finish(fill int) error {
	p, r := &t.j.part, t.j.req
	if p.have == 0 {
		t.w.hasher(p)
	}
	p.hash.Write(t.w.buf[:fill])
	sum := p.hash.Sum()
	err := verify(r, sum)
	if err != nil {
		return t.wrong(err, fill)
	}
	switch {
	case p.have == 0:
		err = t.writeWhole(fill)
	case fill > 0:
		err = t.write(fill)
	}
	if err != nil {
		return err
	}
	if t.file != nil {
		verified(t.file)
	}
	t.w.complete(t.j, sum)
	return nil
}

// wrong deals with bytes that are not those wanted; fill of them are in the
// buffer and not yet in the .part. If they came in several transfers, the same
// source is asked once more for the whole; otherwise they go to quarantine.
func (t *transfer) wrong(err error, fill int) error {
	p, src := &t.j.part, &t.j.sources[t.j.cur]
	if p.mixed && !src.zeroed {
		src.zeroed = true
		t.out.again = true
		return errors.Join(err, p.remove())
	}
	if t.body != nil && t.body.old && !src.plain {
		src.plain, t.out.again = true, true
		return errors.Join(err, p.remove())
	}
	named, again := t.packed(err)
	if again {
		return errors.Join(named, p.remove())
	}
	t.keep(err, fill)
	if is[*unpackError](named) {
		return errors.Join(named, p.remove())
	}
	return errors.Join(t.page(err), p.remove())
}

// grown is told by a transport that n bytes more are in the scratch file.
func (t *transfer) grown(n int64) error {
	if !t.out.begun {
		t.begin() // before, both sides have read what was there
		p := &t.j.part
		t.out.offset = p.have
		t.w.f.o.Events.start(t.j.req.Name, redact(t.j.target()), p.have, t.j.req.Size)
	}
	t.dog.allow(t.w.f.o.Stall, errStalled)
	t.out.received += n
	t.w.f.o.Events.bytes(t.j.req.Name, int(n))
	if err := t.progress(n); err != nil {
		return err
	}
	if t.j.req.Size < 0 {
		t.unclaim(t.j.claim + n) // for the copy
		return t.moreRoom(n)
	}
	t.unclaim(t.j.claim - n)
	return nil
}
