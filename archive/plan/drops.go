package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/catalog"
	"distkeep/fetch/failure"
)

// A Drop is a file in distfiles-local.
type Drop struct {
	Name    catalog.Name
	Path    string // absolute
	Size    int64
	ModTime time.Time
	ID      ledger.FileID
}

// Seen returns the record of f if it was examined in its present state.
func (f *Drop) Seen(x *ledger.Index) *ledger.Dropped {
	r := x.Dropped[f.Name]
	if r == nil || r.File != f.ID {
		return nil
	}
	return r
}

// keeps reports whether the drop box has the content d, as far as is known: a
// file that was not examined yet may be anything of its name.
func (f *Drop) keeps(x *ledger.Index, d *ledger.Distfile) bool {
	if f == nil {
		return false
	}
	r := f.Seen(x)
	return r == nil || r.SHA256 == d.SHA256()
}

// readDrop plans to read a drop-box file that may be the wanted content. It
// reports whether it did: until the file is read nothing else is tried for w.
func (b *planner) readDrop(f *Drop, w *Want) bool {
	if r := f.Seen(b.Index); r != nil && r.Want == w.ID() && r.Refused != "" {
		return false
	}
	if f.Size != w.Size && layout.Growing(b.Now, f.ModTime) {
		return false
	}
	return b.readOnce(&Reading{Drop: f, Name: f.Name, Size: f.Size, Want: w})
}

// dropped plans what is to be done with the files of the drop box beyond those
// that missing distfiles ask for: each is examined once in each state and for
// each wanted content, and a refusal is a failure for as long as the file is
// there.
func (b *planner) dropped() {
	if len(b.Drops) == 0 {
		return
	}
	wants := make(map[catalog.Name]*Want, len(b.Drops))
	for _, d := range b.Catalog.Restricted {
		if b.Drops[d.Name] != nil {
			wants[d.Name] = NewWant(d, true)
		}
	}
	for _, d := range b.Catalog.Distfiles {
		if b.Drops[d.Name] != nil {
			wants[d.Name] = NewWant(d, true)
		}
	}
	shadowed := make(map[string]bool)
	for _, d := range b.Catalog.Shadowed {
		if b.Drops[d.Name] != nil {
			shadowed[NewWant(d, false).ID()] = true
		}
	}
	for _, f := range SortedDrops(b.Drops) {
		w := wants[f.Name]
		if d := b.Catalog.Barred(f.Name); d != nil {
			b.failDrop(f, w, barredReason(f, d))
			continue
		}
		key := ""
		if w != nil && w.Digests.Verifiable() {
			key = w.ID()
		}
		if err := b.FailedDrops[f.Name]; err != nil {
			b.failDrop(f, w, "it cannot be read: "+err.Error())
		}
		switch r := f.Seen(b.Index); {
		case r != nil && r.Want == key && r.Refused != "":
			b.failDrop(f, w, r.Refused)
		case r != nil && (r.Want == key || shadowed[r.Want]) && b.Index.Distfiles.Get(ledger.Key{Name: f.Name, SHA256: r.SHA256}) != nil:
			// taken already
		case key != "":
			b.readDrop(f, w)
		default:
			if layout.Growing(b.Now, f.ModTime) {
				continue
			}
			if err := b.Shelf.Layouts.Check(f.Name); err != nil {
				b.failDrop(f, nil, err.Error())
				continue
			}
			b.readOnce(&Reading{Drop: f, Name: f.Name, Size: f.Size})
		}
	}
}

func barredReason(f *Drop, d *catalog.Distfile) string {
	why := string(d.Restrict)
	if d.Reason != "" {
		why = d.Reason
	}
	return fmt.Sprintf("%s is not published: %s does not allow it to be mirrored (%s)", f.Path, d.FirstOwner(), why)
}

// InDropBox reports whether the drop box keeps what is recorded as d. It cannot
// keep what must not be published.
func (f *Facts) InDropBox(d *ledger.Distfile) bool {
	return f.Drops[d.Name].keeps(f.Index, d) && f.Catalog.Barred(d.Name) == nil
}

// failDrop notes what is wrong with a file of the drop box.
func (b *planner) failDrop(f *Drop, w *Want, reason string) {
	if w == nil {
		w = &Want{Distfile: &catalog.Distfile{Name: f.Name}, id: ledger.NoWant}
	}
	b.fail(w.KeyOf("local"), w, failure.Local, reason)
}

// SortedDrops are the files of a drop box by name.
func SortedDrops(drops map[catalog.Name]*Drop) []*Drop {
	return slices.SortedFunc(maps.Values(drops), func(a, b *Drop) int { return cmp.Compare(a.Name, b.Name) })
}
