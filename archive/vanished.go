package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"distkeep/archive/ledger"
)

// fewRecords is the number of records below which all of them may be gone: a
// person may have removed so many files by hand, and so many are soon fetched.
const fewRecords = 10

// checkVanished returns an error that wraps ErrBroken when more than half of the
// records have no file at all. That is what a disk looks like that is not mounted,
// or an archive with the state of another one: to forget those records, and to
// fetch everything again, would be the wrong answer to both.
func (m *mirror) checkVanished() error {
	total := len(m.view.index.Distfiles)
	if total < fewRecords {
		return nil
	}
	gone := 0
	planner := &planner{view: m.view}
	for _, d := range m.view.index.Distfiles {
		if path, _ := planner.sound(d); path != "" {
			continue
		}
		there, err := m.anyFile(d)
		if err != nil {
			return brokenIf(err)
		}
		if !there {
			gone++
		}
	}
	if 2*gone <= total {
		return nil
	}
	return mark(ErrBroken, fmt.Errorf("%d of %d recorded files are not in %s: is its disk mounted, or does %s belong to another archive? "+
		"nothing was forgotten; distkeep doctor shows them, and distkeep doctor --repair accepts that they are gone",
		gone, total, m.store.Published(), m.Archive.o.State))
}

// anyFile reports whether there is anything at any path of d.
func (m *mirror) anyFile(d *ledger.Distfile) (bool, error) {
	paths := m.pathsOf(d)
	for _, l := range m.view.former {
		if rel := layoutPath(d, l); d.Named && rel != "" {
			paths = append(paths, m.store.Path(rel))
		}
	}
	for _, p := range paths {
		if _, err := os.Lstat(p); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return false, err
		}
	}
	return false, nil
}
