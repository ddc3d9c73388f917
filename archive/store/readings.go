package store

import (
	"context"
	"io"
	"io/fs"
	"os"
	"sync"

	"distkeep/archive/disk"
	"distkeep/archive/layout"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// Readings are the digests of files by what they were when they were read.
type readings struct {
	mu    sync.Mutex
	files map[readFile]*reading
}

// A readFile is a file in one state: its links are one file, and whoever writes to
// it changes its time.
type readFile struct {
	layout.Inode
	size, mtime int64
}

// A reading is held by who reads the file, so that others wait for the digests.
type reading struct {
	mu   sync.Mutex
	sums digest.Set
}

func stateOf(fi fs.FileInfo) readFile {
	return readFile{InodeOf(fi), fi.Size(), fi.ModTime().UnixNano()}
}

func (r *readings) of(fi fs.FileInfo) *reading {
	k := stateOf(fi)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.files == nil {
		r.files = make(map[readFile]*reading)
	}
	if r.files[k] == nil {
		r.files[k] = new(reading)
	}
	return r.files[k]
}

// has reports whether r has SHA-256 and algs.
func (r *reading) has(algs []digest.Algorithm) bool {
	for _, a := range append([]digest.Algorithm{digest.SHA256}, algs...) {
		if a.Computable() && r.sums.Get(a).IsZero() {
			return false
		}
	}
	return true
}

// HashOnce is Hash for what an archive is looked through for: whatever links a file
// has, it is read when it is first asked for, and again only for other digests or
// when it was written to.
func (s *Store) HashOnce(ctx context.Context, path string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	return s.hashOnce(ctx, path, algs...)
}

func (s *shared) hashOnce(ctx context.Context, path string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	f, err := regular.OpenItself(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	r := s.readings.of(fi)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.has(algs) {
		return r.sums, fi, nil
	}
	sums, after, err := s.readFrom(ctx, f, nil, algs)
	if err != nil {
		return nil, nil, err
	}
	r.sums = r.sums.Union(sums)
	return r.sums, after, nil
}

// known returns the SHA-256 of an open file that HashOnce has read as it is now, or
// zero.
func (s *shared) known(fi fs.FileInfo) digest.Digest {
	s.readings.mu.Lock()
	r := s.readings.files[stateOf(fi)]
	s.readings.mu.Unlock()
	if r == nil {
		return digest.Digest{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sums.Get(digest.SHA256)
}

// knownSame reports whether two open files have the same bytes, where HashOnce has
// read one of them: then the other one is read.
func (s *shared) knownSame(f, g *os.File) (same, known bool) {
	fi, ferr := f.Stat()
	gi, gerr := g.Stat()
	if ferr != nil || gerr != nil {
		return false, false
	}
	if fi.Size() != gi.Size() {
		return false, true
	}
	a, b := s.known(fi), s.known(gi)
	switch {
	case a.IsZero() && b.IsZero():
		return false, false
	case a.IsZero():
		a = s.sumOf(f.Name())
	case b.IsZero():
		b = s.sumOf(g.Name())
	}
	return a == b, true
}

// sumOf returns the SHA-256 of a file, or zero where it cannot be read.
func (s *shared) sumOf(path string) digest.Digest {
	sums, _, err := s.hashOnce(context.Background(), path)
	if err != nil {
		return digest.Digest{}
	}
	return sums.Get(digest.SHA256)
}

// A reader reads a file through an FS.
type reader struct {
	fs disk.FS
	f  *os.File
}

func (r reader) ReadAt(p []byte, off int64) (int, error) { return r.fs.ReadAt(r.f, p, off) }

var _ io.ReaderAt = reader{}
