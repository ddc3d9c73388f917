package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// Parts are the files on their way into the archive.
type Parts struct{ *shared }

func short(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:8])
}

const (
	tempPrefix = "link."
	partSuffix = ".part"
	// nameMax is NAME_MAX of every file system that can hold an archive.
	nameMax = 255
)

// Path returns the path of the .part file of a wanted content. The name
// holds want, so that the bytes of one content are never continued with those
// of another. Different names never have the same part.
func (p *Parts) Path(name catalog.Name, want string) string {
	base, suffix := name.Base(), "."+want+partSuffix
	if len(base)+len(suffix) > nameMax || base != string(name) {
		suffix = "." + short([]byte(name)) + suffix
		base = base[:min(len(base), nameMax-len(suffix))]
	}
	return p.at.PartsDir() + string(filepath.Separator) + base + suffix
}

func isTemp(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && !strings.HasSuffix(name, partSuffix)
}

// Release removes the parts of items that were published and recorded.
func (p *Parts) Release(items []*Item) error {
	var errs []error
	for _, it := range items {
		if it.Part == "" || it.Err != nil {
			continue
		}
		errs = append(errs, p.remove(it.Part))
	}
	return errors.Join(errs...)
}

// Remove removes a part that is of no use to anybody.
func (p *Parts) Remove(part string) error { return p.remove(part) }

// partAge is how long an abandoned .part is kept for a transfer to continue.
const partAge = 14 * 24 * time.Hour

// Sweep removes temporary links of interrupted commits, and parts that
// nobody has continued for 14 days. It returns the paths of the parts with more
// than one link: a crash came between their publication and its record, so
// they are whole, and their bytes must not be written to. It must not run
// beside transfers.
func (p *Parts) Sweep(now time.Time) (whole []string, err error) {
	entries, err := os.ReadDir(p.at.PartsDir())
	if err != nil {
		return nil, fmt.Errorf("sweep parts: %w", err)
	}
	for _, e := range entries {
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("sweep parts: %w", err)
		}
		path := filepath.Join(p.at.PartsDir(), e.Name())
		switch {
		case fi.IsDir():
		case isTemp(e.Name()), now.Sub(fi.ModTime()) > partAge:
			if err := p.remove(path); err != nil {
				return nil, fmt.Errorf("sweep parts: %w", err)
			}
		case fi.Mode().IsRegular() && links(fi) > 1:
			whole = append(whole, path)
		}
	}
	return whole, nil
}

// NextSweep returns when Sweep has something to remove at the earliest, if nobody
// touches the parts that there are. Zero is that there are none.
func (p *Parts) NextSweep() (first time.Time, err error) {
	entries, err := os.ReadDir(p.at.PartsDir())
	if err != nil {
		return first, err
	}
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil {
			return first, err
		}
		if end := fi.ModTime().Add(partAge); !fi.IsDir() && (first.IsZero() || end.Before(first)) {
			first = end
		}
	}
	return first, nil
}

// Import copies the open file src, which may be on any file system and change at
// any time, to the new file part and computes the digests of what was copied.
// It is not a hard link because whoever owns src could write to it later. On an
// error no part is left. The error is Broken only if the archive is: a bad disk
// below src is its owner's.
func (p *Parts) Import(ctx context.Context, src *os.File, part string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	if err := p.remove(part); err != nil {
		return nil, nil, err
	}
	dst, err := p.fs.Create(part, 0o644)
	if err != nil {
		return nil, nil, err
	}
	w := &noted{w: dst}
	sums, fi, err := p.readFrom(ctx, src, w, algs)
	if err != nil && w.err == nil && Broken(err) {
		err = errors.New(err.Error()) // on purpose not wrapped
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return nil, nil, errors.Join(err, p.remove(part))
	}
	return sums, fi, nil
}

// TakeCopy copies the file at path, which may be on any file system and somebody
// else's, to the new file part, with its time, and returns the digests of what was
// copied. It refuses what Hash refuses. On an error no part is left. The error is
// Broken only if the archive is.
func (p *Parts) TakeCopy(ctx context.Context, path, part string, algs ...digest.Algorithm) (digest.Set, fs.FileInfo, error) {
	src, err := regular.OpenItself(path)
	if err != nil {
		return nil, nil, err
	}
	defer src.Close()
	sums, fi, err := p.Import(ctx, src, part, algs...)
	if err != nil {
		return nil, nil, err
	}
	if err := os.Chtimes(part, time.Time{}, fi.ModTime()); err != nil {
		return nil, nil, errors.Join(err, p.remove(part))
	}
	copied, err := os.Lstat(part)
	if err != nil {
		return nil, nil, err
	}
	for _, fi := range []fs.FileInfo{fi, copied} {
		r := p.readings.of(fi)
		r.mu.Lock()
		r.sums = r.sums.Union(sums)
		r.mu.Unlock()
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

// LeftOvers returns what SweepParts would remove.
func (p *Parts) LeftOvers(now time.Time) (paths []string, err error) {
	entries, err := os.ReadDir(p.at.PartsDir())
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
			paths = append(paths, filepath.Join(p.at.PartsDir(), e.Name()))
		}
	}
	return paths, nil
}
