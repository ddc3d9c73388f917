package archive

import (
	"errors"
	"fmt"
	"os"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
)

// fewRecords is the number of records below which all of them may be gone: a
// person may have removed so many files by hand, and so many are soon fetched.
const fewRecords = 10

// checkVanished returns an error, which vault.Broken knows, when more than half of the
// records have no file at all, or none that can be read. That is what a disk looks
// like that is not mounted, an archive with the state of another one, or one that
// was restored for somebody else: to forget those records, and to fetch everything
// again, would be the wrong answer to all of them.
func (m *mirror) checkVanished() error {
	total := len(m.v.Index.Distfiles)
	if total < fewRecords {
		return nil
	}
	missing := 0
	var unread error
	for _, d := range m.v.Index.Distfiles {
		if m.v.Shelf.Sound(&d.Content) != "" {
			continue
		}
		switch err := m.facts.doubt(d); {
		case errors.Is(err, layout.ErrWriting):
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
		return vault.Damage(fmt.Errorf("%d of %d recorded files are not in %s or cannot be read: %w: nothing was forgotten", missing, total, m.v.Store.Published(), unread))
	}
	return vault.Damage(fmt.Errorf("%d of %d recorded files are not in %s: is its disk mounted, or does %s belong to another archive? "+
		"nothing was forgotten; distkeep doctor shows them, and distkeep doctor --repair accepts that they are gone",
		missing, total, m.v.Store.Published(), m.v.State))
}

// anyFile reports whether there is a file at any path of d.
func (m *mirror) anyFile(d *ledger.Distfile) bool {
	for rel := range m.v.Shelf.Paths(&d.Content) {
		if _, err := os.Lstat(m.v.Store.Path(rel)); err == nil {
			return true
		}
	}
	return false
}
