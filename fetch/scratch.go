package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"distkeep/fetch/failure"
)

// A program writes to a scratch file, never to a .part: it may change bytes that
// are hashed already, and it may outlive us. Only what was copied out of the
// scratch file, into a file that no other process has open, becomes the .part.

// scratchPattern names scratch files and their copies. What begins with "link."
// and does not end with ".part" is removed from the state directory when the next
// run begins (SweepParts of package archive/store), and no .part has such a name.
const scratchPattern = "link.scratch-*"

// makeScratch makes the scratch file of an attempt, in the directory of the
// .part, and copies what is there into it.
func (t *transfer) makeScratch() (*os.File, error) {
	p := &t.j.part
	// Beside the .part there will be the whole of the scratch file, and the
	// whole of its copy.
	t.unclaim(t.j.claim + p.have + max(p.have, t.j.req.Size))
	if err := t.askRoom(); err != nil {
		// There is room for the file, but not for two of it: another source, or
		// another file, needs one.
		return nil, &roomError{err}
	}
	f, err := os.CreateTemp(filepath.Dir(p.path), scratchPattern)
	if err != nil {
		return nil, &diskError{err}
	}
	t.scratch = f
	if p.have == 0 {
		return f, nil
	}
	seed, err := openPart(p.path)
	if err != nil || seed == nil { // without it, the program begins from zero
		return f, err
	}
	defer seed.Close()
	for left := p.have; left > 0; {
		// In large pieces the system may share blocks in place of a copy.
		n, err := io.CopyN(f, seed, min(left, 16<<20))
		left -= n
		t.unclaim(t.j.claim - n)
		switch {
		case err == io.EOF:
			return f, nil
		case err != nil:
			return nil, &diskError{err}
		case t.ctx.Err() != nil:
			return nil, context.Cause(t.ctx)
		}
	}
	return f, nil
}

// adopt looks at what a program has left in the scratch file; cause is why it
// failed, or nil. What is right becomes the .part, and so does what brings the
// file further than it was. Everything else leaves the .part as it was: none of
// its bytes has changed, and another source may continue it. ctx is that of the
// run.
func (t *transfer) adopt(ctx context.Context, cause error) error {
	defer os.Remove(t.scratch.Name())
	defer t.scratch.Close()
	p, src := &t.j.part, &t.j.sources[t.j.cur]
	fi, err := t.scratch.Stat()
	if err != nil {
		return &diskError{err}
	}
	n := fi.Size()
	limit := t.limit()
	if n > limit && cause == nil {
		cause = &sizeError{want: limit, got: n, more: true}
	}
	if cut := (*truncatedError)(nil); errors.As(cause, &cut) {
		cut.have, cut.want = n, t.j.req.Size
	}
	if cause != nil && (n <= p.have || n > limit || Classify(cause) == failure.Disk) {
		return cause
	}
	t.j.res.URL = src.spelling()
	t.j.res.Final = t.j.res.URL
	if t.j.hop != nil {
		t.j.res.Final = redactFinal(t.j.hop)
	}
	if cause == nil {
		t.out.begun = true
		t.w.answered(t.lane)
	}
	t.dog.allow(t.w.f.o.Stall, errStalled) // of the copy, from now on
	was := *p
	*p = part{path: t.scratch.Name() + ".copy", algs: was.algs, mixed: cause != nil && was.have > 0}
	useful, same := false, false
	if same, err = t.copyScratch(ctx, n, &was); err == nil {
		if cause == nil && p.have < n && ctx.Err() != nil {
			cause = interrupted(ctx)
		}
		useful, err = t.judgeCopy(was.have, cause)
	}
	if useful {
		if rerr := os.Rename(p.path, was.path); rerr != nil {
			useful, err = false, &diskError{rerr}
		}
	}
	if !useful {
		os.Remove(p.path) // it may be in quarantine
		t.w.release(p)
		*p = was
		if same && is[*digestError](err) {
			return errors.Join(err, p.remove()) // it is the beginning of what is wrong
		}
		return err
	}
	p.path = was.path
	t.w.release(&was)
	if err == nil {
		t.w.complete(t.j, p.hash.Sum())
	}
	return err
}

// salvage is how long the end of a run waits for the copy of what a program has
// brought: no longer than a service may take to stop. What is copied until then
// counts.
const salvage = 2 * time.Second

// copyScratch copies n bytes of the scratch file into the part, which is new,
// and hashes them on their way. same tells that they begin with those of the
// part that was.
func (t *transfer) copyScratch(ctx context.Context, n int64, was *part) (same bool, err error) {
	p := &t.j.part
	f, err := p.open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	t.w.hasher(p)
	var until time.Time
	for p.have < n {
		if ctx.Err() != nil {
			if until.IsZero() {
				until = time.Now().Add(salvage)
			} else if time.Now().After(until) {
				break
			}
		}
		end := n
		if p.have < was.have {
			end = min(n, was.have)
		}
		buf := t.w.buf[:min(end-p.have, int64(len(t.w.buf)))]
		k, err := t.scratch.ReadAt(buf, p.have)
		if k == 0 {
			if err == io.EOF { // cut since
				break
			}
			return false, &diskError{err}
		}
		if p.have == 0 {
			t.head = bytes.Clone(buf[:min(k, 64)])
		}
		p.hash.Write(buf[:k])
		if _, err := f.Write(buf[:k]); err != nil {
			return false, &diskError{err}
		}
		if p.have += int64(k); p.have == was.have {
			same = slices.Equal(p.hash.Sum(), was.hash.Sum())
		}
		t.unclaim(t.j.claim - int64(k))
		t.dog.feed()
	}
	if err := f.Close(); err != nil {
		return false, &diskError{err}
	}
	return same, nil
}

// judgeCopy decides whether the copy of a scratch file is to become the .part,
// which has had bytes, and how the attempt has ended.
func (t *transfer) judgeCopy(had int64, cause error) (useful bool, err error) {
	p, r := &t.j.part, t.j.req
	if cause != nil && (r.Size < 0 || p.have < r.Size) {
		return p.have > had, cause
	}
	if r.Size >= 0 && p.have != r.Size {
		err = &sizeError{want: r.Size, got: p.have}
	} else {
		err = verify(r, p.hash.Sum())
	}
	switch {
	case err == nil:
		return true, nil // all there, however the program ended
	case cause != nil:
		return false, cause
	}
	t.keep(err, 0)
	return false, t.page(err)
}

// limit is the most that the file may have.
func (t *transfer) limit() int64 {
	if t.j.req.Size >= 0 {
		return t.j.req.Size
	}
	return t.w.f.o.MaxSize
}

// probeSize is what a full disk has no room for.
const probeSize = 256 << 10

// probe returns a *diskError if nothing can be written to dir. It is asked when
// a program says so: what programs say can be what a stranger has told them.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, scratchPattern)
	if err == nil {
		_, err = f.Write(make([]byte, probeSize))
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) {
		return &diskError{err}
	}
	return nil
}
