package ledger

import (
	"fmt"
	"strings"

	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// The JSON of former programs has short names, times in Unix seconds (ModTime in
// nanoseconds), and digests other than SHA256 as "ALG:hex ALG:hex".
type wireDistfile struct {
	Size     int64  `json:"z"`
	Digests  string `json:"g,omitempty"`
	Named    bool   `json:"n,omitempty"`
	Owner    string `json:"o,omitempty"`
	Kind     string `json:"k,omitempty"`
	Origin   string `json:"u,omitempty"`
	Added    int64  `json:"a"`
	Verified int64  `json:"v"`
	ModTime  int64  `json:"m"`
	Since    int64  `json:"s,omitempty"` // Recycled only
	Pending  bool   `json:"p,omitempty"` // Recycled only
}

type wireSuccess struct {
	Bytes  int64  `json:"z"`
	Origin string `json:"u,omitempty"`
	// Of the former form alone, which had these not in its key.
	SHA256  string `json:"h,omitempty"`
	Time    int64  `json:"t,omitempty"`
	Removed bool   `json:"r,omitempty"`
}

type wireDeletion struct {
	Since  int64  `json:"s"`
	Owner  string `json:"o,omitempty"`
	Size   int64  `json:"z"`
	Undone bool   `json:"n,omitempty"`
}

type wireDropped struct {
	Size    int64  `json:"z"`
	ModTime int64  `json:"m"`
	Changed int64  `json:"c,omitempty"`
	Dev     uint64 `json:"d,omitempty"`
	Inode   uint64 `json:"i,omitempty"`
	SHA256  string `json:"h"`
	Since   int64  `json:"s"`
	Want    string `json:"w,omitempty"`
	Refused string `json:"r,omitempty"`
}

func (d *Distfile) parse(text []byte) error {
	var w wireDistfile
	if err := unmarshal(text, &w); err != nil {
		return err
	}
	return d.fill(&w)
}

func (d *Distfile) fill(w *wireDistfile) (err error) {
	d.Size, d.Named, d.Kind, d.ModTime = w.Size, w.Named, catalog.Kind(w.Kind), nanos(w.ModTime)
	d.Owner, d.Origin, d.Added, d.Verified = w.Owner, w.Origin, secs(w.Added), secs(w.Verified)
	d.Digests, err = decodeDigests(d.SHA256(), w.Digests)
	return err
}

func (r *Recycled) parse(text []byte) error {
	var w wireDistfile
	if err := unmarshal(text, &w); err != nil {
		return err
	}
	r.Since, r.Pending = secs(w.Since), w.Pending
	return r.fill(&w)
}

func (d *Deletion) parse(text []byte) error {
	var w wireDeletion
	err := unmarshal(text, &w)
	d.Since, d.Owner, d.Size, d.Undone = secs(w.Since), w.Owner, w.Size, w.Undone
	return err
}

func (d *Dropped) parse(text []byte) (err error) {
	var w wireDropped
	if err := unmarshal(text, &w); err != nil {
		return err
	}
	d.File = regular.ID{Dev: w.Dev, Inode: w.Inode, Size: w.Size, ModTime: w.ModTime, Changed: w.Changed}
	d.Since, d.Want, d.Refused = secs(w.Since), w.Want, w.Refused
	if d.SHA256, err = digest.Parse(digest.SHA256, w.SHA256); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

func (f *Failure) parse(text []byte) error {
	name := f.Name
	err := unmarshal(text, f)
	f.Name = name // JSON spoils one that is no UTF-8
	return err
}

func decodeDigests(sha digest.Digest, s string) (digest.Set, error) {
	set := make(digest.Set, 1, 3)
	set[0] = sha // SHA256 is the first of the algorithms
	for s != "" {
		var f string
		f, s, _ = strings.Cut(s, " ")
		name, sum, _ := strings.Cut(f, ":")
		a, ok := digest.ParseAlgorithm(name)
		if !ok {
			continue // written by a newer program
		}
		d, err := digest.Parse(a, sum)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRecord, err)
		}
		set = append(set, d)
	}
	return set, nil
}
