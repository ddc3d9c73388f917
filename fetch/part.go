package fetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// bufferSize is the memory that a transfer takes. Most files of a real tree are
// smaller, and are verified before they are written at all.
const bufferSize = 128 << 10

// A part is what is there of a file: have bytes in the file at path, and their
// digests so far. The file exists when have is not 0.
type part struct {
	path string
	have int64
	hash *digest.Hasher // nil: to be made
	algs []digest.Algorithm
	// mixed tells that the bytes are not all of one transfer: if they are
	// wrong, it need not be the fault of the last.
	mixed bool
}

// A worker makes attempts, one at a time. What it holds is used again.
type worker struct {
	f      *Fetcher
	job    *job // under way; guarded by Fetcher.mu
	flight flight
	buf    []byte
	// answered is told of lanes whose host has answered.
	answered func(*lane)
	// spare is a hasher for algs that no job holds.
	spare *digest.Hasher
	algs  []digest.Algorithm
}

// hasher gives p a hasher that has seen nothing.
func (w *worker) hasher(p *part) {
	if p.hash != nil {
		p.hash.Reset()
		return
	}
	if w.spare != nil && slices.Equal(w.algs, p.algs) {
		p.hash, w.spare = w.spare, nil
		p.hash.Reset()
		return
	}
	p.hash = digest.NewHasher(p.algs...)
}

// release takes back the hasher of a part that needs it no more.
func (w *worker) release(p *part) {
	if p.hash != nil {
		w.spare, w.algs = p.hash, p.algs
		p.hash = nil
	}
}

// impatient is how much is hashed before all other jobs were looked at: seconds
// of hashing must not hold back what could be transferred meanwhile.
const impatient = 1 << 20

// look finds and hashes what an earlier run has left of a job's file. complete
// tells that it is all there and verified, later that it is so much that the job
// is to be patient.
func (w *worker) look(ctx context.Context, j *job) (complete, later bool, err error) {
	p, r := &j.part, j.req
	if !r.Digests.Verifiable() {
		return false, false, errNoDigest
	}
	var f *os.File
	if !j.absent {
		f, err = openPart(p.path)
	}
	j.absent = false
	if err == nil && f == nil && w.f.quarantine.restore(r, p.path) {
		f, err = openPart(p.path)
	}
	if err != nil || f == nil {
		return false, false, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, false, &diskError{err}
	}
	n := fi.Size()
	if n == 0 || r.Size >= 0 && n > r.Size {
		return false, false, p.remove()
	}
	if !w.restore(p, f, fi) {
		if n > impatient && !j.patient {
			return false, true, nil
		}
		if err := w.rehash(ctx, p, f); err != nil {
			return false, false, err
		}
	}
	p.mixed = true
	j.res.Resumed = p.have
	if r.Size < 0 || p.have == r.Size {
		sum := p.hash.Sum()
		if verify(r, sum) == nil {
			verified(f)
			w.complete(j, sum)
			return true, false, nil
		}
		if r.Size >= 0 {
			j.res.Resumed = 0
			w.release(p)
			return false, false, p.remove()
		}
	}
	return false, false, nil
}

// rehash reads the whole of f.
func (w *worker) rehash(ctx context.Context, p *part, f *os.File) error {
	w.hasher(p)
	p.have = 0
	for {
		n, err := f.Read(w.buf)
		p.hash.Write(w.buf[:n])
		p.have += int64(n)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return &diskError{err}
		case ctx.Err() != nil:
			return interrupted(ctx)
		}
	}
}

// complete fills in the result of a file that is complete and verified.
func (w *worker) complete(j *job, sum digest.Set) {
	sum.Share(j.req.Digests) // a record lasts as long as what was wanted
	j.res.Digests, j.res.Size = sum, j.part.have
	w.release(&j.part)
}

// verify compares the digests of a complete file with those wanted.
func verify(r *Request, sum digest.Set) error {
	switch r.Digests.Compare(sum) {
	case digest.Same, digest.Weak:
		return nil
	}
	want, got := r.Digests.Mismatch(sum)
	return &digestError{want: want, got: got}
}

// openPart opens what is at path, or returns nil if there is nothing of use. A
// file with several links belongs to an interrupted commit: the archive has the
// bytes under the other name, and they must not change. That link, and whatever
// is no regular file, is removed.
func openPart(path string) (*os.File, error) {
	f, err := regular.OpenItself(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, regular.ErrIrregular):
		return nil, removePart(path)
	case err != nil:
		return nil, &diskError{err}
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, &diskError{err}
	}
	if links(fi) > 1 {
		f.Close()
		return nil, removePart(path)
	}
	return f, nil
}

func links(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// partMode is that of files that nobody has verified. Some came with a password,
// or from a file that not everyone may read; a commit gives what is published a
// mode of its own.
const partMode = 0o600

// wholeMode is that of files that are complete and verified: the mode of what is
// published. A commit gives it to those that have not got it.
const wholeMode = 0o444

// verified gives a complete and verified file its mode, while it is open.
func verified(f *os.File) { _ = f.Chmod(wholeMode) }

func removePart(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &diskError{err}
	}
	return nil
}

// remove starts the part afresh.
func (p *part) remove() error {
	p.have, p.mixed = 0, false
	if p.hash != nil {
		p.hash.Reset()
	}
	return removePart(p.path)
}

// make makes the part of a file that is all in data, and verified.
func (p *part) make(data []byte) error {
	err := regular.Make(p.path, data, wholeMode)
	if errors.Is(err, fs.ErrExist) { // whatever is there is not ours
		if err := removePart(p.path); err != nil {
			return err
		}
		err = regular.Make(p.path, data, wholeMode)
	}
	if err != nil {
		return &diskError{err}
	}
	return nil
}

// open opens the part for writing behind its have bytes, and drops what is
// beyond them: nothing vouches for it.
func (p *part) open() (*os.File, error) {
	const flags = os.O_WRONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	if p.have == 0 {
		// Whatever is there is not ours, or is to be started afresh.
		f, err := os.OpenFile(p.path, flags|os.O_CREATE|os.O_EXCL, partMode)
		if errors.Is(err, fs.ErrExist) {
			if err := removePart(p.path); err != nil {
				return nil, err
			}
			f, err = os.OpenFile(p.path, flags|os.O_CREATE|os.O_EXCL, partMode)
		}
		if err != nil {
			return nil, &diskError{err}
		}
		return f, nil
	}
	f, err := os.OpenFile(p.path, flags, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ELOOP) || errors.Is(err, fs.ErrPermission) {
		return nil, errForeign // gone, a FIFO, a symbolic link, verified and rotten
	} else if err != nil {
		return nil, &diskError{err}
	}
	fi, err := f.Stat()
	switch {
	case err != nil:
	case !fi.Mode().IsRegular() || links(fi) > 1 || fi.Size() < p.have:
		f.Close()
		return nil, errForeign
	case fi.Size() > p.have:
		err = f.Truncate(p.have)
	}
	if err == nil {
		_, err = f.Seek(p.have, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, &diskError{err}
	}
	return f, nil
}
