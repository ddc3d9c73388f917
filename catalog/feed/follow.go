package feed

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A State is what a reader knows of a feed: one generation of it.
type State struct {
	Latest
	List List
	// Past are the SHA-256 of the files of all generations until this one, if the
	// reader has begun without a state.
	Past []string
}

// ErrRewritten means that a feed shows another history than the one that was seen.
var ErrRewritten = errors.New("its history was rewritten")

// Follow returns the state at latest. have is the state that the reader has, which
// stays as it is, or nil; get returns a file of the feed, which is hostile. The
// error wraps ErrRewritten when have is not in the history of latest.
func Follow(latest Latest, have *State, get func(file string) ([]byte, error)) (*State, error) {
	f := &following{latest: latest, have: have, get: get}
	if have != nil && latest.Generation < have.Generation {
		return nil, fmt.Errorf("it is at generation %d, and generation %d was seen: a cache on the way is stale, or %w", latest.Generation, have.Generation, ErrRewritten)
	}
	if err := f.back(); err != nil {
		return nil, err
	}
	s := &State{Latest: latest, List: make(List)}
	switch {
	case f.full != nil:
		var err error
		if s.List, err = f.full.List(); err != nil {
			return nil, fmt.Errorf("%s: %w", FullFile(f.full.Generation), err)
		}
		s.Past = f.full.Past
	case have != nil:
		s.List, s.Past = maps.Clone(have.List), have.Past
	}
	s.Past = slices.Clone(s.Past)
	for i, g := range slices.Backward(f.chain) {
		s.Past = append(s.Past, f.sums[i])
		if f.full != nil && g.Generation == f.full.Generation {
			continue // the full list has it
		}
		if err := s.List.apply(g.Changes); err != nil {
			return nil, fmt.Errorf("%s: %w", File(g.Generation), err)
		}
	}
	return s, nil
}

// A following goes back in the history from latest until it meets what is known.
type following struct {
	latest Latest
	have   *State
	get    func(file string) ([]byte, error)
	// chain are the generations on the way, the newest first, and sums their digests.
	chain []*Generation
	sums  []string
	full  *Generation
}

func (f *following) back() error {
	sum := f.latest.SHA256
	for n := f.latest.Generation; ; n-- {
		switch {
		case f.have != nil && n == f.have.Generation:
			return f.meets(sum)
		case n == 0 && sum == "":
			return nil
		case n == 0 || sum == "":
			return fmt.Errorf("%s does not say what was before it", File(n+1))
		}
		g, err := f.file(File(n), sum, n)
		if err != nil {
			return err
		}
		f.chain, f.sums = append(f.chain, g), append(f.sums, sum)
		if n == f.latest.Full && (f.have == nil || f.have.Generation < n-FullEvery) {
			return f.whole(g)
		}
		sum = g.Prev
	}
}

// whole reads the full list of g.
func (f *following) whole(g *Generation) (err error) {
	if f.full, err = f.file(FullFile(g.Generation), g.Full, g.Generation); err != nil {
		return err
	}
	if len(f.full.Past) == 0 || int64(len(f.full.Past)) != g.Generation-1 || f.full.Past[len(f.full.Past)-1] != g.Prev {
		return fmt.Errorf("%s does not have the digests of all generations before", FullFile(g.Generation))
	}
	if f.have == nil {
		return nil
	}
	return f.meets(f.full.Past[f.have.Generation-1])
}

// meets checks that sum, which the history has for the generation that the reader
// has, is the one that it has seen.
func (f *following) meets(sum string) error {
	if sum != f.have.SHA256 {
		return fmt.Errorf("%w: generation %d is not the one that was seen", ErrRewritten, f.have.Generation)
	}
	return nil
}

// file gets a file that has the digest sum.
func (f *following) file(name, sum string, n int64) (*Generation, error) {
	data, err := f.get(name)
	if err != nil {
		return nil, err
	}
	if Sum(data) != sum {
		return nil, fmt.Errorf("%s is not what the generation after it says", name)
	}
	g, err := Decode(data)
	if err == nil && g.Generation != n {
		err = fmt.Errorf("it is of generation %d", g.Generation)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return g, nil
}
