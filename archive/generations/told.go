package generations

import (
	"bytes"
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

// maxTold bounds the file: some hundred bytes an entry.
const maxTold = 1 << 30

// A told is one entry of the file.
type told struct {
	key  ledger.Key
	rest string
}

// loadTold returns the entries of the file, if they are those of the generation whose
// file has the digest sum.
func loadTold(v *vault.Vault, sum string) (entries string, ok bool) {
	data, err := regular.Read(store.ToldFile(v.State), maxTold)
	if err != nil {
		return "", false
	}
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	return string(rest), string(line) == toldLine(sum, rest)
}

func toldLine(sum string, entries []byte) string {
	return fmt.Sprintf("%s%s %x", toldHeader, sum, sha256.Sum256(entries))
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
		if _, err := fmt.Fprintln(w, toldLine(sum, b)); err != nil {
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

// next takes the first entry off entries. It is the zero one at their end, and where
// they are none.
func next(entries *string) (t told) {
	n, size := binary.Uvarint([]byte((*entries)[:min(len(*entries), binary.MaxVarintLen64)]))
	if size <= 0 || n > uint64(len(*entries)) || len(*entries)-size-int(n) < 2*sha256.Size {
		*entries = ""
		return told{}
	}
	name, rest := (*entries)[size:size+int(n)], (*entries)[size+int(n):]
	sum, err := digest.FromRaw(digest.SHA256, rest[:sha256.Size])
	if err != nil {
		*entries = ""
		return told{}
	}
	*entries = rest[2*sha256.Size:]
	return told{ledger.Key{Name: catalog.Name(name), SHA256: sum}, rest[sha256.Size : 2*sha256.Size]}
}

// differing returns, of what was told and of ds, what is not in the other. Of an entry
// that was told there is the key alone.
func differing(entries string, ds []*ledger.Distfile) (old, now feed.List) {
	old, now = make(feed.List), make(feed.List)
	was := next(&entries)
	gone := func() {
		old[feed.Key(was.key)] = &feed.Entry{Name: was.key.Name, Digests: digest.Set{was.key.SHA256}}
		was = next(&entries)
	}
	var rest []byte
	for _, d := range ds {
		k := d.Key()
		for was.rest != "" && was.key.Compare(k) < 0 {
			gone()
		}
		if was.rest != "" && was.key == k {
			rest = appendRest(rest[:0], d)
			if h := sha256.Sum256(rest); string(h[:]) == was.rest {
				was = next(&entries)
				continue
			}
			gone()
		}
		now[feed.Key(k)] = entry(d)
	}
	for was.rest != "" {
		gone()
	}
	return old, now
}
