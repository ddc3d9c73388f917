package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// Hash computes the digests of the file at path in one pass. It refuses what
// is not a regular file, and a file that changes while it is read. Its error
// wraps ErrDamaged when the disk cannot read the file.
func (s *Store) Hash(ctx context.Context, path string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	return s.read(ctx, path, nil, algs)
}

// badSector takes what the disk cannot read for damage of that one file, not of
// the file system.
func badSector(err error) error {
	if errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w: the disk cannot read it: %v", ErrDamaged, err)
	}
	return err
}

func (s *shared) read(ctx context.Context, path string, copyTo io.Writer, algs []digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	f, err := regular.OpenItself(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return s.readFrom(ctx, f, copyTo, algs)
}

// readFrom reads f to its end.
func (s *shared) readFrom(ctx context.Context, f *os.File, copyTo io.Writer, algs []digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	before, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	h := digest.NewHasher(algs...)
	var w io.Writer = h
	if copyTo != nil {
		w = io.MultiWriter(copyTo, h)
	}
	buf := make([]byte, 128<<10)
	for h.Size() <= before.Size() { // a file that grows without end ends here
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		n, err := s.fs.ReadAt(f, buf, h.Size())
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return nil, nil, err
			}
		}
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, nil, badSector(err)
		}
	}
	after, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if h.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() {
		return nil, nil, fmt.Errorf("%s: changed while it was read", f.Name())
	}
	return h.Sum(), after, nil
}

// RereadBuffer is what Reread reads at once, and uncacheEach how many bytes it
// leaves in the page cache before it drops them again.
const (
	RereadBuffer = 256 << 10
	uncacheEach  = 8 << 20
)

// Reread reads the file at path and returns its SHA-256. Where the system allows
// it, what it reads comes from the disk and not from memory, and does not stay
// in memory: the pages that a server of the archive uses are not driven out by
// an archive that is larger than the memory.
//
// Its error wraps ErrDamaged when the disk cannot read the file.
//
// wait, if not nil, is called with the size of every piece before it is read;
// its error ends the reading.
func Reread(ctx context.Context, path string, wait func(ctx context.Context, n int) error) (digest.Digest, fs.FileInfo, error) {
	f, err := regular.OpenItself(path)
	if err != nil {
		return digest.Digest{}, nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return digest.Digest{}, nil, err
	}
	disk.Uncache(f)
	h := digest.NewHasher()
	buf := make([]byte, min(RereadBuffer, max(before.Size(), 1)))
	for cached := 0; h.Size() <= before.Size(); { // a file that grows without end ends here
		if wait != nil {
			if err := wait(ctx, len(buf)); err != nil {
				return digest.Digest{}, nil, err
			}
		}
		if ctx.Err() != nil {
			return digest.Digest{}, nil, context.Cause(ctx)
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if cached += n; cached >= uncacheEach || err == io.EOF {
			disk.Uncache(f)
			cached = 0
		}
		if err == io.EOF {
			break
		} else if err != nil {
			return digest.Digest{}, nil, badSector(err)
		}
	}
	after, err := f.Stat()
	if err != nil {
		return digest.Digest{}, nil, err
	}
	if h.Size() != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return digest.Digest{}, nil, fmt.Errorf("%s: changed while it was read", path)
	}
	return h.Sum().Get(digest.SHA256), after, nil
}

// SameBytes reports whether two files have the same bytes. It stops at the first
// that differs.
func SameBytes(f, g io.ReaderAt) (bool, error) {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for off := int64(0); ; {
		n, err := f.ReadAt(a, off)
		if err != nil && err != io.EOF {
			return false, err
		}
		m, err2 := g.ReadAt(b, off)
		if err2 != nil && err2 != io.EOF {
			return false, err2
		}
		if !bytes.Equal(a[:n], b[:m]) {
			return false, nil
		}
		if n == 0 || err == io.EOF {
			return true, nil
		}
		off += int64(n)
	}
}

// same reports whether two files are known to have the same bytes: what HashOnce
// has read of both tells, or they are compared.
func (s *shared) same(a, b string) bool {
	f, err := regular.OpenItself(a)
	if err != nil {
		return false
	}
	defer f.Close()
	g, err := regular.OpenItself(b)
	if err != nil {
		return false
	}
	defer g.Close()
	if same, known := s.knownSame(f, g); known {
		return same
	}
	same, err := SameBytes(reader{s.fs, f}, reader{s.fs, g})
	return same && err == nil
}

// ErrDamaged means that a file does not have the bytes that were verified.
var ErrDamaged = layout.ErrDamaged
