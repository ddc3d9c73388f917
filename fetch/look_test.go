package fetch

import (
	"bytes"
	"os"
	"testing"

	"distkeep/catalog/digest"
)

// TestLargePartsWait: what takes long to hash is put off once, so that it does
// not hold back what can be transferred at once.
func TestLargePartsWait(t *testing.T) {
	t.Parallel()
	f, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{f: f, buf: make([]byte, bufferSize)}
	for _, c := range []struct {
		size  int
		waits bool
	}{{impatient, false}, {impatient + 1, true}} {
		data := bytes.Repeat([]byte("x"), c.size)
		h := digest.NewHasher()
		h.Write(data)
		r := files(t, "x", 1)[0]
		r.Size, r.Digests = int64(len(data)), h.Sum()
		if err := os.WriteFile(r.Part, data, 0o644); err != nil {
			t.Fatal(err)
		}
		j := &job{work: newWork(r)}
		complete, later, err := w.look(t.Context(), j)
		if err != nil || later != c.waits || complete == c.waits || c.waits && j.part.have != 0 {
			t.Errorf("%d bytes: complete %v, later %v, %d hashed (%v)", c.size, complete, later, j.part.have, err)
		}
		j.patient = true
		if complete, later, err = w.look(t.Context(), j); err != nil || later || !complete {
			t.Errorf("%d bytes, patient: complete %v, later %v (%v)", c.size, complete, later, err)
		}
	}
	// In a run it is not put off for ever.
	data := bytes.Repeat([]byte("y"), 2*impatient)
	h := digest.NewHasher()
	h.Write(data)
	r := files(t, "y", 1)[0]
	r.Size, r.Digests = int64(len(data)), h.Sum()
	if err := os.WriteFile(r.Part, data, 0o644); err != nil {
		t.Fatal(err)
	}
	count, _, results := outcomes(t, t.Context(), f, []*Request{r})
	if count[""] != 1 || results[0].Resumed != int64(len(data)) {
		t.Errorf("%v", count)
	}
}
