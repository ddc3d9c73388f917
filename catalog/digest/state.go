package digest

import (
	"encoding"
	"errors"
	"fmt"
)

// A State is what a Hasher has come to, for another one of the same program to go on
// from.
type State struct {
	Size   int64             `json:"size"`
	Hashes map[string][]byte `json:"hashes"` // by algorithm
}

// State returns what h has come to.
func (h *Hasher) State() (State, error) {
	h.settle()
	s := State{Size: h.n, Hashes: make(map[string][]byte, len(h.hashes))}
	for i, w := range h.hashes {
		m, ok := w.(encoding.BinaryMarshaler)
		if !ok {
			return State{}, fmt.Errorf("%v cannot be interrupted", h.algs[i])
		}
		b, err := m.MarshalBinary()
		if err != nil {
			return State{}, err
		}
		s.Hashes[h.algs[i].String()] = b
	}
	return s, nil
}

var errOtherState = errors.New("the state is of other algorithms")

// Restore makes h go on from s. On an error it has seen nothing.
func (h *Hasher) Restore(s State) error {
	h.Reset()
	if len(s.Hashes) != len(h.hashes) {
		return errOtherState
	}
	for i, w := range h.hashes {
		b, there := s.Hashes[h.algs[i].String()]
		m, ok := w.(encoding.BinaryUnmarshaler)
		if !there || !ok {
			h.Reset()
			return errOtherState
		}
		if err := m.UnmarshalBinary(b); err != nil {
			h.Reset()
			return err
		}
	}
	h.n = s.Size
	return nil
}
