package generations

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/feed"
	"distkeep/catalog/regular"
)

// The state has a file that says in short what the newest generation holds, so that a
// run with one change does not read all that was ever told. Its first line has the
// digest of the newest file of the feed, and of what follows: the entries in their
// order. An entry is the length of its name, the name, its SHA-256, and the SHA-256 of
// what else is said of it. The generations are what counts: where the file is not
// there, damaged, or of another generation, they are read.

const toldHeader = "distkeep told 1 "

// maxTold bounds the file: some hundred bytes an entry. maxEntry bounds one.
const (
	maxTold  = 1 << 30
	maxEntry = 64 << 10
)

// A told is one entry of the file. It is valid until the next one is read.
type told struct{ name, sum, rest []byte }

// compare compares by key. After all entries there is nothing less than k.
func (t told) compare(k ledger.Key) int {
	if t.rest == nil {
		return 1
	}
	return cmp.Or(cmp.Compare(string(t.name), string(k.Name)), bytes.Compare(t.sum, k.SHA256.Raw()))
}

// differingTold compares ds with what the file has, see differing. It is not ok unless
// that is of the generation whose file has the digest sum.
func differingTold(v *vault.Vault, sum string, ds []*ledger.Distfile) (old, now feed.List, ok bool) {
	f, err := regular.Open(store.ToldFile(v.State))
	if err != nil {
		return nil, nil, false
	}
	defer f.Close()
	r := bufio.NewReader(io.LimitReader(f, maxTold))
	line, err := r.ReadSlice('\n')
	if err != nil {
		return nil, nil, false
	}
	want := string(bytes.TrimSuffix(line, []byte("\n")))
	h := sha256.New()
	entries := bufio.NewReaderSize(io.TeeReader(r, h), maxEntry)
	old, now = differing(entries, ds)
	_, err = io.Copy(io.Discard, entries)
	return old, now, err == nil && want == toldLine(sum, h.Sum(nil))
}

func toldLine(sum string, entries []byte) string {
	return fmt.Sprintf("%s%s %x", toldHeader, sum, entries)
}

// saveTold says that ds are what the generation holds whose file has the digest sum.
// That there is no room for it is no failure.
func saveTold(v *vault.Vault, sum string, ds []*ledger.Distfile) {
	var b, rest []byte
	for _, d := range ds {
		b = binary.AppendUvarint(b, uint64(len(d.Name)))
		b = append(append(b, d.Name...), d.SHA256().Raw()...)
		rest = appendRest(rest[:0], d)
		h := sha256.Sum256(rest)
		b = append(b, h[:]...)
	}
	_ = v.Store.Replace(store.ToldFile(v.State), "", func(w io.Writer) error {
		all := sha256.Sum256(b)
		if _, err := fmt.Fprintln(w, toldLine(sum, all[:])); err != nil {
			return err
		}
		_, err := w.Write(b)
		return err
	})
}

// appendRest appends what is told of d but for its key. No two spell the same bytes.
func appendRest(b []byte, d *ledger.Distfile) []byte {
	named := byte(0)
	if d.Named {
		named = 1
	}
	b = append(binary.AppendVarint(b, d.Size), named)
	for _, s := range []string{d.Owner, string(d.Kind)} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	for _, x := range d.Digests {
		b = append(append(b, byte(x.Alg)), x.Raw()...)
	}
	return b
}

// next reads an entry. It is the zero one at their end, and where they are none.
func next(r *bufio.Reader) told {
	head, _ := r.Peek(binary.MaxVarintLen64)
	n, size := binary.Uvarint(head)
	if size <= 0 || n > maxEntry {
		return told{}
	}
	name := size + int(n)
	b, err := r.Peek(name + 2*sha256.Size)
	if err != nil {
		return told{}
	}
	return told{b[size:name], b[name : name+sha256.Size], b[name+sha256.Size:]}
}

// skip goes over t.
func (t told) skip(r *bufio.Reader) {
	n := uint64(len(t.name))
	r.Discard(len(binary.AppendUvarint(nil, n)) + len(t.name) + len(t.sum) + len(t.rest))
}

// differing returns, of the entries that were told and of ds, what is not in the other.
// Of an entry that was told there is the key alone.
func differing(entries *bufio.Reader, ds []*ledger.Distfile) (old, now feed.List) {
	old, now = make(feed.List), make(feed.List)
	was := next(entries)
	gone := func() {
		if sum, err := digest.FromRaw(digest.SHA256, string(was.sum)); err == nil {
			e := &feed.Entry{Name: catalog.Name(was.name), Digests: digest.Set{sum}}
			old[e.Key()] = e
		}
		was.skip(entries)
		was = next(entries)
	}
	var rest []byte
	for _, d := range ds {
		k := d.Key()
		for was.compare(k) < 0 {
			gone()
		}
		if was.compare(k) == 0 {
			rest = appendRest(rest[:0], d)
			if h := sha256.Sum256(rest); bytes.Equal(h[:], was.rest) {
				was.skip(entries)
				was = next(entries)
				continue
			}
			gone()
		}
		now[feed.Key(k)] = entry(d)
	}
	for was.rest != nil {
		gone()
	}
	return old, now
}
