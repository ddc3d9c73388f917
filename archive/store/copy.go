package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"distkeep/catalog/digest"
)

// Hash computes the digests of the file at path in one pass. It refuses what
// is not a regular file, and a file that changes while it is read.
func Hash(ctx context.Context, path string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	return read(ctx, path, nil, algs)
}

// Import copies the file at src, which may be on any file system and change at
// any time, to the new file part and computes the digests of what was copied.
// It is not a hard link because whoever owns src could write to it later. On an
// error no part is left.
func Import(ctx context.Context, src, part string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	dst, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, nil, err
	}
	sums, fi, err := read(ctx, src, dst, algs)
	if err = errors.Join(err, dst.Close()); err != nil {
		return nil, nil, errors.Join(err, os.Remove(part))
	}
	return sums, fi, nil
}

func read(ctx context.Context, path string, copyTo io.Writer, algs []digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s: not a regular file", path)
	}
	h := digest.NewHasher(algs...)
	var w io.Writer = h
	if copyTo != nil {
		w = io.MultiWriter(copyTo, h)
	}
	buf := make([]byte, 128<<10)
	for {
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
			return nil, nil, err
		}
	}
	after, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if h.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() {
		return nil, nil, fmt.Errorf("%s: changed while it was read", path)
	}
	return h.Sum(), after, nil
}

func isNotEmpty(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)
}
