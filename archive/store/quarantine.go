package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// A Quarantine holds wrong bytes for a person to look at.
type Quarantine struct {
	*shared

	mu       sync.Mutex
	replaced []string // see Replaced
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
func (q *Quarantine) SetAside(label string, same fs.FileInfo, paths []string) (string, error) {
	var links []string
	for _, p := range paths {
		fi, err := q.lstat(p)
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
	kept, err := q.linkAside(label, same, links[0])
	if errors.Is(err, syscall.EPERM) {
		kept, err = q.moveAside(label, links[0])
	}
	if err != nil {
		return "", stuck(err)
	}
	for _, p := range links {
		if err := q.remove(p); err != nil {
			return kept, stuck(err)
		}
		q.pruneAny(filepath.Dir(p))
	}
	return kept, nil
}

// Keep gives a file another link, in quarantine, whose name begins with label. A
// file of somebody else cannot be linked: then the error is no Broken one.
func (q *Quarantine) Keep(label string, src Source) (string, error) {
	return q.linkAside(label, src.Was, src.Path)
}

// place is the path of the file n with a label in quarantine.
func (q *Quarantine) place(label string, n int) string {
	label = label[:min(len(label), nameMax-len(".999999"))]
	return filepath.Join(q.at.QuarantineDir(), fmt.Sprintf("%s.%d", label, n))
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
func (q *Quarantine) linkAside(label string, same fs.FileInfo, path string) (string, error) {
	for n := 0; ; n++ {
		kept := q.place(label, n)
		err := q.fs.Link(path, kept)
		if errors.Is(err, fs.ErrExist) {
			if old, err := q.lstat(kept); err != nil || !os.SameFile(old, same) {
				continue
			}
		} else if err != nil {
			return "", err
		}
		return kept, q.fs.SyncDir(q.at.QuarantineDir())
	}
}

// moveAside moves path to a free name in quarantine.
func (q *Quarantine) moveAside(label, path string) (string, error) {
	for n := 0; ; n++ {
		kept := q.place(label, n)
		switch _, err := q.lstat(kept); {
		case err == nil:
			continue
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		if err := q.fs.Rename(path, kept); err != nil {
			return "", err
		}
		return kept, q.fs.SyncDir(q.at.QuarantineDir())
	}
}

// rescue keeps the file at dst in quarantine if that is the only link to it and
// it has neither the bytes of src nor those of former, another path. moved says
// that dst is gone by that.
func (q *Quarantine) rescue(src, dst, former string) (moved bool, err error) {
	old, err := q.lstat(dst)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if !old.Mode().IsRegular() || links(old) > 1 || q.same(src, dst) || former != "" && former != dst && q.same(former, dst) {
		return false, nil
	}
	label := "replaced." + filepath.Base(dst)
	kept, err := q.linkAside(label, old, dst)
	if errors.Is(err, syscall.EPERM) {
		// A file of somebody else cannot be linked, but moved.
		kept, err = q.moveAside(label, dst)
		moved = err == nil
	}
	if err != nil {
		return false, fmt.Errorf("quarantine: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.replaced = append(q.replaced, kept)
	return moved, nil
}

// Replaced returns files that have gone to quarantine since it was last called,
// because something else was published in their place.
func (q *Quarantine) Replaced() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer func() { q.replaced = nil }()
	return q.replaced
}
