package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// ScrubBuffer is what Scrub reads at once, and uncacheEach how many bytes it
// leaves in the page cache before it drops them again.
const (
	ScrubBuffer = 256 << 10
	uncacheEach = 8 << 20
)

// Scrub reads the file at path and returns its SHA-256. Where the system allows
// it, what it reads comes from the disk and not from memory, and does not stay
// in memory: the pages that a server of the archive uses are not driven out by
// an archive that is larger than the memory.
//
// Its error wraps ErrDamaged when the disk cannot read the file.
//
// wait, if not nil, is called with the size of every piece before it is read;
// its error ends the reading.
func Scrub(ctx context.Context, path string, wait func(ctx context.Context, n int) error) (digest.Digest, fs.FileInfo, error) {
	f, err := regular.OpenItself(path)
	if err != nil {
		return digest.Digest{}, nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return digest.Digest{}, nil, err
	}
	uncache(f)
	h := digest.NewHasher()
	buf := make([]byte, min(ScrubBuffer, max(before.Size(), 1)))
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
			uncache(f)
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

// SetAside moves the file same, which is not what its paths promise, to
// quarantine: first a durable link there, whose name begins with label, then
// those of paths that are links to it go. Other files at these paths, and a
// file that is in quarantine already, stay. It returns the path in quarantine,
// or "" when none of paths is a link to same. SyncRemoved makes the removal
// durable.
//
// A file of somebody else, which this process may not link, is moved there by one
// of its paths. The error wraps ErrStuck, unless the file system fails, when it
// cannot be moved either: it is then still at some of paths.
func (s *Store) SetAside(label string, same fs.FileInfo, paths []string) (string, error) {
	var links []string
	for _, p := range paths {
		fi, err := s.lstat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		case err != nil:
			return "", fmt.Errorf("quarantine: %w", err)
		case os.SameFile(fi, same):
			links = append(links, p)
		}
	}
	if len(links) == 0 {
		return "", nil
	}
	kept, err := s.linkAside(label, same, links[0])
	if errors.Is(err, syscall.EPERM) {
		kept, err = s.moveAside(label, links[0])
	}
	if err != nil {
		return "", stuck(err)
	}
	for _, p := range links {
		if err := s.remove(p); err != nil {
			return kept, stuck(err)
		}
		s.pruneAny(filepath.Dir(p))
	}
	return kept, nil
}

// ErrStuck means that a file cannot be moved to quarantine.
var ErrStuck = errors.New("it cannot be moved to quarantine")

func stuck(err error) error {
	if Broken(err) {
		return fmt.Errorf("quarantine: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrStuck, err)
}

// linkAside links path to a free name in quarantine.
func (s *Store) linkAside(label string, same fs.FileInfo, path string) (string, error) {
	for n := 0; ; n++ {
		kept := filepath.Join(s.QuarantineDir(), fmt.Sprintf("%s.%d", label, n))
		err := s.fs.Link(path, kept)
		if errors.Is(err, fs.ErrExist) {
			if old, err := s.lstat(kept); err != nil || !os.SameFile(old, same) {
				continue
			}
		} else if err != nil {
			return "", err
		}
		return kept, s.fs.SyncDir(s.QuarantineDir())
	}
}

// pruneAny is prune for directories of the published tree and of recycle.
func (s *Store) pruneAny(dir string) {
	if dir == s.published || strings.HasPrefix(dir, s.published+string(filepath.Separator)) {
		s.prune(dir)
		return
	}
	if dir != s.RecycleDir() && s.fs.Rmdir(dir) == nil {
		delete(s.removed, dir)
		dir = filepath.Dir(dir)
	}
	s.removed[dir] = struct{}{}
}

// Prune removes the directory dir, of the published tree or of recycle, if it
// is empty, with the parents that become empty by that. It reports whether dir
// is gone. SyncRemoved makes it durable.
func (s *Store) Prune(dir string) bool {
	s.pruneAny(dir)
	_, err := s.lstat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// LeftOvers returns what SweepParts would remove.
func (s *Store) LeftOvers(now time.Time) (paths []string, err error) {
	entries, err := os.ReadDir(s.PartsDir())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		if !fi.IsDir() && (isTemp(e.Name()) || now.Sub(fi.ModTime()) > partAge) {
			paths = append(paths, filepath.Join(s.PartsDir(), e.Name()))
		}
	}
	return paths, nil
}
