package archive

import (
	"errors"
	"fmt"

	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// losses are the contents that the archive has lost.
type losses struct {
	*run
	gone map[catalog.Name][]*ledger.Distfile // dropped in this run
}

// drop forgets records whose bytes are gone. What stands at their paths is
// not what those promise and goes to quarantine.
func (l *losses) drop(lost []*ledger.Distfile) error {
	var b ledger.Batch
	wishes := l.facts.Wishes()
	gone := make(map[ledger.Key]bool)
	for _, d := range lost {
		if gone[d.Key()] {
			continue // wanted twice
		}
		if l.v.Touched(d) {
			continue // the next plan reads what is there now
		}
		wanted, then := wishes.Want(d), "it is fetched again"
		if (!wanted || l.facts.Whitelisted(d.Name)) && l.fails.Miss(d) {
			then = "it is missed"
		} else if !wanted {
			then = "no package wants it, and it is forgotten"
		}
		switch err := l.v.ClearPaths(d); {
		case errors.Is(err, store.ErrStuck):
			// Its record stays, and the next run tries again.
			l.fails.File(d, fmt.Errorf("the file is gone or was changed, and what is in its place has to be moved away by hand: %w", err))
			l.facts.Stuck[d.Key()] = true
			continue
		case err != nil:
			return err
		}
		l.v.Changed = true
		l.v.Warn("%s: the file with SHA256 %s is gone or was changed: %s", d.Name, d.SHA256().Hex(), then)
		l.gone[d.Name] = append(l.gone[d.Name], d)
		b.DropDistfile(d.Key())
		b.DropDeletion(d.Key())
		gone[d.Key()] = true
		l.sum.Lost.Add(d.Size)
	}
	return l.v.Commit(&b)
}

// told are the digests of a want, with those that the archive has found while it
// had the content: other archives can be asked by SHA-256.
func (l *losses) told(w *plan.Want) digest.Set {
	for _, d := range l.gone[w.Name] {
		if w.Digests.Compare(d.Digests) == digest.Same {
			return w.Digests.Union(d.Digests)
		}
	}
	return w.Digests
}
