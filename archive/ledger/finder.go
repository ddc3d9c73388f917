package ledger

import (
	"slices"

	"distkeep/catalog/digest"
)

// A finder finds records by the digests that it is of. Maps of them are made when it is
// asked often: a run with nothing to do never asks, and one with little to do seldom.
type finder struct {
	has   func(digest.Algorithm) bool // which digests it is of
	asked int                         // while there are no maps
	// one has a record of each content, and several all those of the contents that
	// have more.
	one     map[digest.Digest]*Distfile
	several map[digest.Digest]*holders
}

func isSHA256(a digest.Algorithm) bool { return a == digest.SHA256 }
func isOther(a digest.Algorithm) bool  { return a.Strong() && a != digest.SHA256 }

// fewAsked is how often to look at all records takes a fifth of the time that it takes to
// make maps of them: of 60,000 they are made in 84 ms, and one look takes 1 ms.
const fewAsked = 16

// find returns the records of ds, which are all that there are, that have the digest.
func (f *finder) find(ds []*Distfile, s digest.Digest) []*Distfile {
	if len(ds) == 0 || !f.has(s.Alg) {
		return nil
	}
	if f.one == nil {
		if f.asked++; f.asked <= fewAsked {
			return look(ds, s)
		}
		f.one, f.several = make(map[digest.Digest]*Distfile, len(ds)), make(map[digest.Digest]*holders)
		for _, d := range ds {
			f.add(d)
		}
	}
	if h := f.several[s]; h != nil {
		return h.list
	}
	if d := f.one[s]; d != nil {
		return []*Distfile{d}
	}
	return nil
}

// look is find without maps.
func look(ds []*Distfile, s digest.Digest) (found []*Distfile) {
	for _, d := range ds {
		if slices.Contains(d.Digests, s) {
			found = append(found, d)
		}
	}
	return found
}

// add makes a record found.
func (f *finder) add(d *Distfile) {
	if f.one == nil {
		return
	}
	for _, s := range d.Digests {
		if !f.has(s.Alg) {
			continue
		}
		switch o := f.one[s]; {
		case o == nil:
			f.one[s] = d
		case f.several[s] == nil:
			f.several[s] = &holders{list: []*Distfile{o, d}}
		default:
			f.several[s].add(d)
		}
	}
}

// drop makes a record not found any more.
func (f *finder) drop(d *Distfile) {
	if f.one == nil {
		return
	}
	for _, s := range d.Digests {
		h := f.several[s]
		switch {
		case h == nil && f.one[s] == d:
			delete(f.one, s)
		case h == nil:
		case h.drop(d) == 0:
			delete(f.several, s)
			delete(f.one, s)
		default:
			f.one[s] = h.list[0]
		}
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
