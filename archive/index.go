package archive

import (
	"slices"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// An index is the state of the ledger in memory, found by name and by content.
// It follows every change that is committed. One goroutine uses it at a time.
type index struct {
	*ledger.State
	byName map[catalog.Name][]*ledger.Distfile
	// bySum is made when first asked for: a run with nothing to do never is.
	bySum map[digest.Digest][]*ledger.Distfile
	// recycledBySum is made when first asked for.
	recycledBySum map[digest.Digest][]*ledger.Recycled
}

func newIndex(s *ledger.State) *index {
	x := &index{State: s, byName: make(map[catalog.Name][]*ledger.Distfile, len(s.Distfiles))}
	for _, d := range s.Distfiles {
		x.byName[d.Name] = append(x.byName[d.Name], d)
	}
	return x
}

// put adds or replaces a record.
func (x *index) put(d *ledger.Distfile) {
	x.drop(d.Key)
	x.Distfiles[d.Key] = d
	x.byName[d.Name] = append(x.byName[d.Name], d)
	if x.bySum != nil {
		x.addSums(d)
	}
}

// drop removes a record.
func (x *index) drop(k ledger.Key) {
	d, ok := x.Distfiles[k]
	if !ok {
		return
	}
	delete(x.Distfiles, k)
	is := func(o *ledger.Distfile) bool { return o == d }
	if rest := slices.DeleteFunc(x.byName[k.Name], is); len(rest) > 0 {
		x.byName[k.Name] = rest
	} else {
		delete(x.byName, k.Name)
	}
	if x.bySum != nil {
		for _, s := range d.Digests {
			if rest := slices.DeleteFunc(x.bySum[s], is); len(rest) > 0 {
				x.bySum[s] = rest
			} else {
				delete(x.bySum, s)
			}
		}
	}
}

func (x *index) addSums(d *ledger.Distfile) {
	for _, s := range d.Digests {
		if s.Alg.Strong() {
			x.bySum[s] = append(x.bySum[s], d)
		}
	}
}

// withSum returns the records whose content has the digest.
func (x *index) withSum(s digest.Digest) []*ledger.Distfile {
	if x.bySum == nil {
		x.bySum = make(map[digest.Digest][]*ledger.Distfile, len(x.Distfiles))
		for _, d := range x.Distfiles {
			x.addSums(d)
		}
	}
	return x.bySum[s]
}

// recycledFor returns a content in recycle that is the wanted one, or nil: that
// of the same name if there is one.
func (x *index) recycledFor(w *catalog.Distfile) *ledger.Recycled {
	var found *ledger.Recycled
	for _, s := range w.Digests {
		for _, r := range x.recycledWith(s) {
			if satisfies(&r.Distfile, w) && (found == nil || r.Name == w.Name) {
				found = r
			}
		}
	}
	return found
}

// recycledWith returns the contents in recycle that have the digest.
func (x *index) recycledWith(s digest.Digest) []*ledger.Recycled {
	if x.recycledBySum == nil {
		x.recycledBySum = make(map[digest.Digest][]*ledger.Recycled)
		for _, r := range x.Recycled {
			x.addRecycledSums(r)
		}
	}
	return x.recycledBySum[s]
}

func (x *index) addRecycledSums(r *ledger.Recycled) {
	for _, s := range r.Digests {
		if s.Alg.Strong() {
			x.recycledBySum[s] = append(x.recycledBySum[s], r)
		}
	}
}

// recycle adds, dropRecycled removes a record of recycle.
func (x *index) recycle(r *ledger.Recycled) {
	x.dropRecycled(r.Key)
	x.Recycled[r.Key] = r
	if x.recycledBySum != nil {
		x.addRecycledSums(r)
	}
}

func (x *index) dropRecycled(k ledger.Key) {
	r := x.Recycled[k]
	delete(x.Recycled, k)
	if r == nil || x.recycledBySum == nil {
		return
	}
	for _, s := range r.Digests {
		x.recycledBySum[s] = slices.DeleteFunc(x.recycledBySum[s], func(o *ledger.Recycled) bool { return o == r })
	}
}

// named returns the record that holds the published name, or nil.
func (x *index) named(name catalog.Name) *ledger.Distfile {
	for _, d := range x.byName[name] {
		if d.Named {
			return d
		}
	}
	return nil
}

func relation(d *ledger.Distfile, w *catalog.Distfile) digest.Relation { return d.Relation(w) }

func satisfies(d *ledger.Distfile, w *catalog.Distfile) bool { return d.Satisfies(w) }

func content(d *ledger.Distfile) store.Content {
	return store.Content{Name: d.Name, Digests: d.Digests, Size: d.Size, Named: d.Named, Kind: d.Kind}
}

// layoutPath returns the path of d in one layout, or "".
func layoutPath(d *ledger.Distfile, l layout.Layout) string {
	p, ok := l.Path(d.Name, d.Digests)
	if !ok {
		return ""
	}
	return p
}
