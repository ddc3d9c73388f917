package fetch

import (
	"cmp"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

// admit lets jobs claim the room that they need, the smallest first: what fits is
// not kept waiting by what does not, and that fails alone. A full disk is for the
// first transfer to find. f.mu is held.
func (s *scheduler) admit(jobs []*job) {
	order := slices.Clone(jobs)
	slices.SortStableFunc(order, func(a, b *job) int { return cmp.Compare(a.claim, b.claim) })
	sums := make([]int64, len(jobs)+1) // of the claims of so many
	for i, j := range order {
		sums[i+1] = sums[i] + min(j.claim, math.MaxInt64-sums[i])
	}
	fit := len(jobs)
	ask := s.f.o.Room
	part := func(j *job) string { return j.askers[0].request().Part }
	if ask != nil && fit > 0 && ask(part(order[0]), 0) == nil {
		fit = sort.Search(fit, func(i int) bool { return sums[i+1] > 0 && ask(part(order[i]), sums[i+1]) != nil })
	}
	s.f.claimed.Add(sums[fit])
	for _, j := range order[fit:] {
		err := ask(part(j), sums[fit]+min(j.claim, math.MaxInt64-sums[fit]))
		if j.claim = 0; err != nil { // else it claims again, when its turn comes
			s.fail(j, &roomError{err})
		}
	}
	for _, j := range jobs {
		switch {
		case j.ended:
		case j.urgent.Load():
			s.local.queue.pushFront(j)
		default:
			s.local.queue.push(j)
		}
	}
}

// worthListing is for how many jobs the names in a directory are read, rather than that
// each is asked for.
const worthListing = 64

// listings are the names in directories, which are read once.
type listings map[string]map[string]bool

// has reports whether there is something at path, or that may be.
func (l listings) has(path string) bool {
	dir, name := filepath.Split(path)
	names, known := l[dir]
	if !known {
		if entries, err := os.ReadDir(dir); err == nil {
			names = make(map[string]bool, len(entries))
			for _, e := range entries {
				names[e.Name()] = true
			}
		}
		l[dir] = names
	}
	return names == nil || names[name]
}

// claimOf is what is missing of r, of which something may be there unless it is absent.
func claimOf(r *Request, absent bool) int64 {
	claim := max(0, r.Size)
	if absent {
		return claim
	}
	if fi, err := os.Lstat(r.Part); err == nil {
		claim = max(0, claim-fi.Size())
	}
	return claim
}

// claimRoom asks whether what is missing may be written, besides what the other
// jobs have claimed.
func (t *transfer) claimRoom() error {
	t.unclaim(t.j.missing())
	if err := t.askRoom(); err != nil {
		return t.noRoom(err)
	}
	return nil
}

// askRoom asks whether there is room for all that is claimed.
func (t *transfer) askRoom() error {
	f := t.w.f
	if f.o.Room == nil {
		return nil
	}
	err := f.o.Room(t.j.req.Part, f.claimed.Load())
	if err != nil {
		t.unclaim(0)
	}
	return err
}

// noRoom tells a file that is too large for a disk from a disk that is full.
func (t *transfer) noRoom(err error) error {
	if t.w.f.o.Room(t.j.req.Part, 0) != nil {
		return &diskError{err}
	}
	return &roomError{err}
}

// unclaim makes left bytes the claim of the transfer's job.
func (t *transfer) unclaim(left int64) {
	left = max(0, left)
	t.w.f.claimed.Add(left - t.j.claim)
	t.j.claim = left
}

// roomStep is how often a file of unknown size asks for room.
const roomStep = 16 << 20

func (t *transfer) moreRoom(n int64) error {
	f := t.w.f
	if t.room -= n; t.room >= 0 || f.o.Room == nil {
		return nil
	}
	t.room = roomStep
	err := f.o.Room(t.j.req.Part, f.claimed.Load()+roomStep)
	if err == nil {
		return nil
	}
	if err = t.noRoom(err); is[*roomError](err) {
		// Others need the room that it has taken.
		err = errors.Join(err, t.j.part.remove())
	}
	return err
}
