package digest

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
)

// TestState: a Hasher goes on from the state of another one at any byte.
func TestState(t *testing.T) {
	t.Parallel()
	data := make([]byte, 3000)
	rand.NewChaCha8([32]byte{}).Read(data)
	all := []Algorithm{SHA512, BLAKE2B, BLAKE2S, SHA3_256, SHA3_512, SHA1, MD5}
	whole := NewHasher(all...)
	whole.Write(data)
	for _, at := range []int{0, 1, 64, 127, 128, 129, 2999, 3000} {
		h := NewHasher(all...)
		h.Write(data[:at])
		state, err := h.State()
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		if state = (State{}); json.Unmarshal(text, &state) != nil {
			t.Fatal(string(text))
		}
		next := NewHasher(all...)
		next.Write([]byte("something else"))
		if err := next.Restore(state); err != nil || next.Size() != int64(at) {
			t.Fatalf("at %d: %v, %d bytes", at, err, next.Size())
		}
		next.Write(data[at:])
		if got := next.Sum(); len(got) != len(whole.Sum()) || got.Compare(whole.Sum()) != Same {
			t.Errorf("at %d: %v", at, got)
		}
		for _, algs := range [][]Algorithm{{SHA512}, all[1:], append([]Algorithm{SHA256}, all[:6]...)} {
			other := NewHasher(algs...)
			if err := other.Restore(state); err == nil || other.Size() != 0 || other.Sum()[0] != NewHasher(algs...).Sum()[0] {
				t.Errorf("%v: restored from the state of other algorithms: %v", algs, err)
			}
		}
		state.Hashes["MD5"] = []byte("evil")
		if err := next.Restore(state); err == nil || next.Size() != 0 {
			t.Errorf("restored from nonsense: %v", err)
		}
	}
}
