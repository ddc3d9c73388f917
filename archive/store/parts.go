package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"distkeep/catalog"
)

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

// PartPath returns the path of the .part file of a wanted content. The name
// holds want, so that the bytes of one content are never continued with those
// of another. Different names never have the same part.
func (s *Store) PartPath(name catalog.Name, want string) string {
	base, suffix := name.Base(), "."+want+partSuffix
	if len(base)+len(suffix) > nameMax || base != string(name) {
		suffix = "." + short([]byte(name)) + suffix
		base = base[:min(len(base), nameMax-len(suffix))]
	}
	return filepath.Join(s.PartsDir(), base+suffix)
}

// temp returns a path in PartsDir for a link on its way to its place. No part
// has such a name, and one that a crash left behind is of no use to anybody.
func (s *Store) temp() string {
	return filepath.Join(s.PartsDir(), fmt.Sprint(tempPrefix, s.temps.Add(1)))
}

func isTemp(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && !strings.HasSuffix(name, partSuffix)
}

// Release removes the parts of items that were published and recorded.
func (s *Store) Release(items []*Item) error {
	var errs []error
	for _, it := range items {
		if it.Part == "" || it.Err != nil {
			continue
		}
		errs = append(errs, s.remove(it.Part))
	}
	return errors.Join(errs...)
}

// partAge is how long an abandoned .part is kept for a transfer to continue.
const partAge = 14 * 24 * time.Hour

// SweepParts removes temporary links of interrupted commits, and parts that
// nobody has continued for 14 days. It returns the paths of the parts with more
// than one link: a crash came between their publication and its record, so
// they are whole, and their bytes must not be written to. It must not run
// beside transfers.
func (s *Store) SweepParts(now time.Time) (whole []string, err error) {
	entries, err := os.ReadDir(s.PartsDir())
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
		path := filepath.Join(s.PartsDir(), e.Name())
		switch {
		case fi.IsDir():
		case isTemp(e.Name()), now.Sub(fi.ModTime()) > partAge:
			if err := s.remove(path); err != nil {
				return nil, fmt.Errorf("sweep parts: %w", err)
			}
		case fi.Mode().IsRegular() && links(fi) > 1:
			whole = append(whole, path)
		}
	}
	return whole, nil
}
