package ledger

import (
	"maps"
	"slices"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// An Index is the state of a ledger in memory, found by name and by content.
// Commit brings it up to date; nobody else changes it or its records. One
// goroutine uses it at a time.
type Index struct {
	*State
	// at is where a name was found last: most callers ask in the order of names.
	at int
	// changed are the records of a Commit until it has ended, nil where one goes.
	changed map[Key]*Distfile
	// A record is found by its SHA256, which commits ask for, and by its other strong
	// digests, which only those ask for who plan.
	bySHA256, byOther finder
	// recycledBySum is made when first asked for.
	recycledBySum map[digest.Digest][]*Recycled
}

// NewIndex makes an index of s, which belongs to it from then on. The records may be
// in any order.
func NewIndex(s *State) *Index {
	slices.SortFunc(s.Distfiles, byKey)
	return &Index{State: s, changed: make(map[Key]*Distfile), bySHA256: finder{has: isSHA256}, byOther: finder{has: isOther}}
}

// apply makes changes that are in the ledger by now.
func (x *Index) apply(ops []op) {
	for _, o := range ops {
		if o.apply != nil {
			o.apply(x)
		}
	}
	x.settle()
}

// put adds or replaces a record when the index settles, and drop removes one.
func (x *Index) put(d *Distfile) { x.changed[d.Key()] = d }
func (x *Index) drop(k Key)      { x.changed[k] = nil }

// settle makes the records follow what was put and dropped, in one pass over them
// however much that is.
func (x *Index) settle() {
	var more Records
	var gone, at []int
	from := 0
	for _, k := range slices.SortedFunc(maps.Keys(x.changed), Key.Compare) {
		d := x.changed[k]
		i, ok := x.Distfiles[from:].search(k)
		i += from
		if from = i; ok {
			x.bySHA256.drop(x.Distfiles[i])
			x.byOther.drop(x.Distfiles[i])
		}
		switch {
		case d == nil && ok:
			gone = append(gone, i)
			continue
		case d == nil:
			continue
		case ok:
			x.Distfiles[i] = d
		default:
			more, at = append(more, d), append(at, i-len(gone))
		}
		x.bySHA256.add(d)
		x.byOther.add(d)
	}
	clear(x.changed)
	x.Distfiles = x.Distfiles.without(gone).with(at, more)
	x.at = 0
}

// Span returns where in Distfiles the records of a name are.
func (x *Index) Span(name catalog.Name) (from, to int) {
	from, to = catalog.Span(x.Distfiles, x.at, name, func(d *Distfile) catalog.Name { return d.Name })
	x.at = from
	return from, to
}

// ByName returns the records of a name, until the next Commit.
func (x *Index) ByName(name catalog.Name) []*Distfile {
	from, to := x.Span(name)
	return x.Distfiles[from:to:to]
}

// WithSum returns the records whose content has the digest, until the next Commit; none
// has a weak one.
func (x *Index) WithSum(s digest.Digest) []*Distfile {
	if s.Alg == digest.SHA256 {
		return x.bySHA256.find(x.Distfiles, s)
	}
	return x.byOther.find(x.Distfiles, s)
}

// RecycledFor returns a content in recycle that is the wanted one, or nil: that
// of the same name if there is one.
func (x *Index) RecycledFor(w *catalog.Distfile) *Recycled {
	for _, s := range w.Digests {
		for _, r := range x.RecycledWith(s) {
			if !r.Satisfies(w) {
				continue
			}
			if same := x.Recycled[Key{Name: w.Name, SHA256: r.SHA256()}]; same != nil {
				return same
			}
			return r
		}
	}
	return nil
}

// RecycledWith returns the contents in recycle that have the digest.
func (x *Index) RecycledWith(s digest.Digest) []*Recycled {
	if x.recycledBySum == nil {
		x.recycledBySum = make(map[digest.Digest][]*Recycled)
		for _, r := range x.Recycled {
			x.addRecycledSums(r)
		}
	}
	return x.recycledBySum[s]
}

func (x *Index) addRecycledSums(r *Recycled) {
	for _, s := range r.Digests {
		if s.Alg.Strong() {
			x.recycledBySum[s] = append(x.recycledBySum[s], r)
		}
	}
}

// recycle adds, dropRecycled removes a record of recycle.
func (x *Index) recycle(r *Recycled) {
	x.dropRecycled(r.Key())
	x.Recycled[r.Key()] = r
	if x.recycledBySum != nil {
		x.addRecycledSums(r)
	}
}

func (x *Index) dropRecycled(k Key) {
	r := x.Recycled[k]
	delete(x.Recycled, k)
	if r == nil || x.recycledBySum == nil {
		return
	}
	for _, s := range r.Digests {
		x.recycledBySum[s] = slices.DeleteFunc(x.recycledBySum[s], func(o *Recycled) bool { return o == r })
	}
}

// Named returns the record that holds the published name, or nil.
func (x *Index) Named(name catalog.Name) *Distfile {
	for _, d := range x.ByName(name) {
		if d.Named {
			return d
		}
	}
	return nil
}
