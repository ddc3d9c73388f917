package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// Hash computes the digests of the file at path in one pass. It refuses what
// is not a regular file, and a file that changes while it is read. Its error
// wraps ErrDamaged when the disk cannot read the file.
func Hash(ctx context.Context, path string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	return read(ctx, path, nil, algs)
}

// Import copies the open file src, which may be on any file system and change at
// any time, to the new file part and computes the digests of what was copied.
// It is not a hard link because whoever owns src could write to it later. On an
// error no part is left. The error is Broken only if the archive is: a bad disk
// below src is its owner's.
func (s *Store) Import(ctx context.Context, src *os.File, part string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	if err := s.remove(part); err != nil {
		return nil, nil, err
	}
	dst, err := s.fs.Create(part, 0o644)
	if err != nil {
		return nil, nil, err
	}
	w := &noted{w: dst}
	sums, fi, err := readFrom(ctx, src, w, algs)
	if err != nil && w.err == nil && Broken(err) {
		err = errors.New(err.Error()) // on purpose not wrapped
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return nil, nil, errors.Join(err, s.remove(part))
	}
	return sums, fi, nil
}

// A noted writer remembers its error, so that it can be told from a reader's.
type noted struct {
	w   io.Writer
	err error
}

func (n *noted) Write(p []byte) (int, error) {
	k, err := n.w.Write(p)
	if err != nil {
		n.err = err
	}
	return k, err
}

// duplicate makes a durable file in PartsDir with the content and the time of src,
// which has the SHA-256 sum.
func (s *Store) duplicate(src string, sum digest.Digest) (path string, err error) {
	path = s.temp()
	if err := s.remove(path); err != nil {
		return "", err
	}
	dst, err := s.fs.Create(path, 0o444)
	if err != nil {
		return "", err
	}
	sums, fi, err := read(context.Background(), src, dst, nil)
	if err == nil && sums.Get(digest.SHA256) != sum {
		err = fmt.Errorf("%s: %w: its SHA256 is %s, want %s", src, ErrDamaged, sums.Get(digest.SHA256).Hex(), sum.Hex())
	}
	if err == nil {
		err = errors.Join(dst.Chmod(0o444), os.Chtimes(path, time.Time{}, fi.ModTime()), s.fs.Sync(dst))
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return "", errors.Join(err, s.remove(path))
	}
	return path, nil
}

// badSector takes what the disk cannot read for damage of that one file, not of
// the file system.
func badSector(err error) error {
	if errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w: the disk cannot read it: %v", ErrDamaged, err)
	}
	return err
}

func read(ctx context.Context, path string, copyTo io.Writer, algs []digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	f, err := regular.OpenItself(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	return readFrom(ctx, f, copyTo, algs)
}

// readFrom reads f to its end.
func readFrom(ctx context.Context, f *os.File, copyTo io.Writer, algs []digest.Algorithm) (digest.Set, fs.FileInfo, error) {
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
		n, err := f.Read(buf)
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
