package archive

import (
	"errors"
	"fmt"
	"os"

	"distkeep/archive/ledger"
)

// fewRecords is the number of records below which all of them may be gone: a
// person may have removed so many files by hand, and so many are soon fetched.
const fewRecords = 10

// checkVanished returns an error that wraps ErrBroken when more than half of the
// records have no file at all, or none that can be read. That is what a disk looks
// like that is not mounted, an archive with the state of another one, or one that
// was restored for somebody else: to forget those records, and to fetch everything
// again, would be the wrong answer to all of them.
func (m *mirror) checkVanished() error {
	total := len(m.view.index.Distfiles)
	if total < fewRecords {
		return nil
	}
	missing := 0
	var unread error
	planner := &planner{view: m.view}
	for _, d := range m.view.index.Distfiles {
		if path, _ := planner.sound(d); path != "" {
			continue
		}
		switch err := m.view.doubt(d); {
		case errors.Is(err, errWriting):
		case err != nil:
			unread = err
			missing++
		case !m.anyFile(d):
			missing++
		}
	}
	if 2*missing <= total {
		return nil
	}
	if unread != nil {
		return mark(ErrBroken, fmt.Errorf("%d of %d recorded files are not in %s or cannot be read: %w: nothing was forgotten", missing, total, m.store.Published(), unread))
	}
	return mark(ErrBroken, fmt.Errorf("%d of %d recorded files are not in %s: is its disk mounted, or does %s belong to another archive? "+
		"nothing was forgotten; distkeep doctor shows them, and distkeep doctor --repair accepts that they are gone",
		missing, total, m.store.Published(), m.Archive.o.State))
}

// anyFile reports whether there is a file at any path of d.
func (m *mirror) anyFile(d *ledger.Distfile) bool {
	for rel := range m.view.paths(d) {
		if _, err := os.Lstat(m.store.Path(rel)); err == nil {
			return true
		}
	}
	return false
}
