package vault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"distkeep/archive/store"
)

// checkPlaces returns an error when one half of an archive would publish the
// other, or sweep it away: what runs find in the published directory is adopted,
// and deleted when no package wants it. Neither need be there.
func checkPlaces(distfiles, state string) error {
	p, err := newPlaces(distfiles, state)
	if err != nil {
		return err
	}
	switch own := p.own(p.distfiles); {
	case Within(p.state, p.distfiles):
		return fmt.Errorf("the state directory %s is inside the published directory %s: what is in it would be published, and deleted like a file that no package wants", state, distfiles)
	case own != "":
		return fmt.Errorf("the published directory %s is inside %s, which the archive has for itself", distfiles, own)
	case Within(p.state, p.work):
		return fmt.Errorf("the state directory %s is inside %s, which is kept for files beside the published directory", state, p.work)
	}
	return nil
}

// CheckSnapshots returns an error when snapshots in dir would be in the way of
// the archive, or it in theirs.
func CheckSnapshots(dir, distfiles, state string) error {
	p, err := newPlaces(distfiles, state)
	if err != nil {
		return err
	}
	real, err := RealPath(dir)
	if err != nil {
		return err
	}
	own := p.own(real)
	if store.InSnapshots(p.state, own) && Within(p.distfiles, p.state) {
		own = "" // beside the published directory, where they are by default
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("snapshots cannot be kept in %s: "+format, append([]any{dir}, args...)...)
	}
	switch {
	case Within(real, p.distfiles):
		return refuse("it is inside the published tree %s, and every snapshot would hold all older ones", distfiles)
	case Within(p.distfiles, real):
		return refuse("the published tree %s is inside it", distfiles)
	case own != "":
		return refuse("it is inside %s, which the archive has for itself", own)
	case Within(p.state, real):
		return refuse("the state directory %s is inside it", state)
	case Within(real, p.state) && !Within(p.distfiles, p.state):
		return refuse("it is inside the state directory %s", state)
	}
	return nil
}

// places are the directories of an archive without symbolic links.
type places struct{ distfiles, state, work string }

func newPlaces(distfiles, state string) (p places, err error) {
	if p.distfiles, err = RealPath(distfiles); err != nil {
		return p, err
	}
	if p.state, err = RealPath(state); err != nil {
		return p, err
	}
	p.work, err = RealPath(store.WorkDir(distfiles))
	return p, err
}

// own returns which directory that the archive has for itself path is in, or "".
func (p places) own(path string) string {
	for dir, names := range map[string][]string{p.state: store.StateDirs, p.work: store.WorkDirs} {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			continue
		}
		if first, _, _ := strings.Cut(rel, string(filepath.Separator)); slices.Contains(names, first) {
			return filepath.Join(dir, first)
		}
	}
	return ""
}

// RealPath returns the absolute path without symbolic links of path, the end of
// which need not be there.
func RealPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if pe := (*fs.PathError)(nil); err != nil && !errors.As(err, &pe) {
		return "", &fs.PathError{Op: "open", Path: path, Err: err} // a file on the way, too many links
	} else if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("%s is a symbolic link to nothing", path)
	}
	parent, err := RealPath(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

// Within reports whether path is dir or below it; both are absolute and clean.
func Within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}
