package ledger

import (
	"slices"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// An Index is the state of a ledger in memory, found by name and by content.
// Commit brings it up to date; nobody else changes it or its records. One
// goroutine uses it at a time.
type Index struct {
	*State
	byName map[catalog.Name][]*Distfile
	// bySum is made when first asked for: a run with nothing to do never is.
	bySum map[digest.Digest]*holders
	// recycledBySum is made when first asked for.
	recycledBySum map[digest.Digest][]*Recycled
}

// NewIndex makes an index of s, which belongs to it from then on.
func NewIndex(s *State) *Index {
	x := &Index{State: s, byName: make(map[catalog.Name][]*Distfile, len(s.Distfiles))}
	for _, d := range s.Distfiles {
		x.byName[d.Name] = append(x.byName[d.Name], d)
	}
	return x
}

// apply makes changes that are in the ledger by now.
func (x *Index) apply(ops []op) {
	for _, o := range ops {
		if o.apply != nil {
			o.apply(x)
		}
	}
}

// ByName returns the records of a name.
func (x *Index) ByName(name catalog.Name) []*Distfile { return x.byName[name] }

// put adds or replaces a record.
func (x *Index) put(d *Distfile) {
	x.drop(d.Key())
	x.Distfiles[d.Key()] = d
	x.byName[d.Name] = append(x.byName[d.Name], d)
	if x.bySum != nil {
		x.addSums(d)
	}
}

// drop removes a record.
func (x *Index) drop(k Key) {
	d, ok := x.Distfiles[k]
	if !ok {
		return
	}
	delete(x.Distfiles, k)
	is := func(o *Distfile) bool { return o == d }
	if rest := slices.DeleteFunc(x.byName[k.Name], is); len(rest) > 0 {
		x.byName[k.Name] = rest
	} else {
		delete(x.byName, k.Name)
	}
	if x.bySum != nil {
		for _, s := range d.Digests {
			if h := x.bySum[s]; h != nil && h.drop(d) == 0 {
				delete(x.bySum, s)
			}
		}
	}
}

func (x *Index) addSums(d *Distfile) {
	for _, s := range d.Digests {
		if !s.Alg.Strong() {
			continue
		}
		if x.bySum[s] == nil {
			x.bySum[s] = new(holders)
		}
		x.bySum[s].add(d)
	}
}

// holders are the records of one content. It may have very many names.
type holders struct {
	list []*Distfile
	at   map[*Distfile]int // where each is, once it is long
}

// many is from where on a list is not searched any more.
const many = 32

func (h *holders) add(d *Distfile) {
	if h.at != nil {
		h.at[d] = len(h.list)
	}
	h.list = append(h.list, d)
}

// drop removes d and returns how many are left.
func (h *holders) drop(d *Distfile) int {
	if h.at == nil && len(h.list) >= many {
		h.at = make(map[*Distfile]int, len(h.list))
		for i, o := range h.list {
			h.at[o] = i
		}
	}
	i, ok := h.at[d]
	if h.at == nil {
		i = slices.Index(h.list, d)
		ok = i >= 0
	}
	if ok {
		last := len(h.list) - 1
		h.list[i] = h.list[last]
		if h.at != nil {
			h.at[h.list[i]] = i
			delete(h.at, d)
		}
		h.list[last] = nil
		h.list = h.list[:last]
	}
	return len(h.list)
}

// WithSum returns the records whose content has the digest.
func (x *Index) WithSum(s digest.Digest) []*Distfile {
	if x.bySum == nil {
		x.bySum = make(map[digest.Digest]*holders, len(x.Distfiles))
		for _, d := range x.Distfiles {
			x.addSums(d)
		}
	}
	if h := x.bySum[s]; h != nil {
		return h.list
	}
	return nil
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
	for _, d := range x.byName[name] {
		if d.Named {
			return d
		}
	}
	return nil
}
