package ledger

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/dgraph-io/badger/v4"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// ErrNotEmpty means that a ledger has records already.
var ErrNotEmpty = errors.New("ledger is not empty")

// An entry is one line of an export. Record says which of the other fields
// count; they mean what the fields of the record of that kind mean. The first
// line is a "ledger" with the schema, the last an "end" with the number of lines
// between the two: an export that was cut off has none.
type entry struct {
	Record string `json:"record"`
	Schema string `json:"schema,omitempty"`
	Count  int    `json:"count,omitempty"`

	Name string `json:"name,omitempty"`
	// NameHex is the name where it is not valid UTF-8.
	NameHex string `json:"name_hex,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Size    int64  `json:"size,omitempty"`
	// Digests are the others, in hex by algorithm.
	Digests  map[string]string `json:"digests,omitempty"`
	Named    bool              `json:"named,omitempty"`
	Owner    string            `json:"owner,omitempty"`
	Kind     string            `json:"kind,omitempty"`
	Origin   string            `json:"origin,omitempty"`
	Added    time.Time         `json:"added,omitzero"`
	Verified time.Time         `json:"verified,omitzero"`
	ModTime  time.Time         `json:"mod_time,omitzero"`

	Since   time.Time `json:"since,omitzero"`    // deletion, recycled, dropped
	Pending bool      `json:"pending,omitempty"` // recycled
	Undone  bool      `json:"undone,omitempty"`  // deletion
	Time    time.Time `json:"time,omitzero"`     // success
	What    Deed      `json:"what,omitempty"`    // success
	Removed bool      `json:"removed,omitempty"` // success, of former programs
	Want    string    `json:"want,omitempty"`    // dropped
	Dev     uint64    `json:"dev,omitempty"`     // dropped
	Inode   uint64    `json:"inode,omitempty"`   // dropped
	Changed time.Time `json:"changed,omitzero"`  // dropped
	Refused string    `json:"refused,omitempty"` // dropped

	Failure *entryFailure   `json:"failure,omitempty"`
	Start   time.Time       `json:"start,omitzero"`    // run
	Summary json.RawMessage `json:"summary,omitempty"` // run
	Key     string          `json:"key,omitempty"`     // meta
	Value   string          `json:"value,omitempty"`   // meta
}

// An entryFailure is a failure in an export. Those of earlier versions have the URLs that
// were asked, without the answers: the next try finds them again.
type entryFailure struct {
	Failure
	URLs []string `json:"urls,omitempty"`
}

// kindOf is a kind of record in an export. put is the way back.
type kindOf struct {
	prefix byte
	name   string
	put    func(e *entry, b *Batch) error
}

var kinds = []kindOf{
	{prefixDistfile, "distfile", importDistfile},
	{prefixFailure, "failure", importFailure},
	{prefixSuccess, "success", importSuccess},
	{prefixDeletion, "deletion", importDeletion},
	{prefixRecycled, "recycled", importRecycled},
	{prefixDropped, "dropped", importDropped},
	{prefixRun, "run", importRun},
	{prefixMeta, "meta", importMeta},
}

// Export writes the whole ledger as JSON Lines, for a backup or for other
// programs. Import makes an equal ledger of it.
func (l *Ledger) Export(w io.Writer) error {
	bw := bufio.NewWriter(w)
	enc := json.NewEncoder(bw)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(entry{Record: "ledger", Schema: schema}); err != nil {
		return err
	}
	n := 0
	err := l.view(func(txn *badger.Txn) error {
		for _, kind := range kinds {
			err := each(txn, []byte{kind.prefix, '/'}, func(k, v []byte) error {
				if kind.prefix == prefixMeta && string(k) == string(nameKey(prefixMeta, schemaKey)) {
					return nil
				}
				e := entry{Record: kind.name}
				if err := e.fill(k, v); err != nil {
					return err
				}
				n++
				return enc.Encode(e)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("export ledger: %w", err)
	}
	if err := enc.Encode(entry{Record: endRecord, Count: n}); err != nil {
		return err
	}
	return bw.Flush()
}

// endRecord is the record of the last line.
const endRecord = "end"

const (
	// maxEntry bounds a line of an export: the summary of a run names every
	// problem of a tree.
	maxEntry = 32 << 20
	// maxImport bounds an export: sixteen million names of common length, with what was
	// done with them.
	maxImport = 16 << 30
)

// Import reads what Export wrote into a ledger without records, and returns
// how many there were; file is for errors. Nothing is recorded unless all lines
// are there and understood. Its error wraps ErrNotEmpty when there are records already.
func (l *Ledger) Import(file string, r io.Reader) (n int, err error) {
	if empty, err := l.Empty(); err != nil {
		return 0, fmt.Errorf("import ledger: %w", err)
	} else if !empty {
		return 0, fmt.Errorf("import ledger: %w", ErrNotEmpty)
	}
	lr := &io.LimitedReader{R: r, N: maxImport + 1}
	sc := bufio.NewScanner(lr)
	sc.Buffer(make([]byte, 64<<10), maxEntry)
	sp, err := newSpool(l.dir)
	if err != nil {
		return 0, fmt.Errorf("import ledger: %w", err)
	}
	defer sp.f.Close()
	var in importing
	for sc.Scan() {
		if err := in.line(sc.Bytes()); err != nil {
			return 0, fmt.Errorf("%s:%d: %w", file, in.lines, err)
		}
		if err := sp.add(&in.batch); err != nil {
			return 0, fmt.Errorf("import ledger: %w", err)
		}
	}
	switch {
	case sc.Err() != nil:
		return 0, fmt.Errorf("%s:%d: %w", file, in.lines+1, sc.Err())
	case lr.N == 0:
		return 0, fmt.Errorf("%s: larger than %d bytes", file, int64(maxImport))
	case in.lines == 0:
		return 0, fmt.Errorf("%s: empty, want an export of a ledger", file)
	case !in.ended:
		return 0, fmt.Errorf("%s:%d: the last line of an export, with the number of its records, is missing: it was cut off", file, in.lines+1)
	}
	n = sp.n
	if err := l.commitAll(sp); err != nil {
		return 0, fmt.Errorf("import ledger: %w", err)
	}
	return n, nil
}

// Empty reports whether the ledger has no records.
func (l *Ledger) Empty() (empty bool, err error) {
	empty = true
	err = l.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if string(it.Item().Key()) != string(nameKey(prefixMeta, schemaKey)) {
				empty = false
				return nil
			}
		}
		return nil
	})
	return empty, err
}

// An importing is an export that is being read.
type importing struct {
	lines int
	ended bool
	batch Batch
}

// line reads the next line.
func (in *importing) line(text []byte) error {
	in.lines++
	var e entry
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields() // they would be lost
	if err := dec.Decode(&e); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one record in a line")
	}
	switch {
	case in.lines == 1:
		if e.Record != "ledger" || e.Schema != schema {
			return fmt.Errorf("not an export of a ledger with schema %s", schema)
		}
		return nil
	case in.ended:
		return errors.New("a line behind the last one")
	case e.Record == endRecord:
		if n := in.lines - 2; e.Count != n {
			return fmt.Errorf("%d records, want %d: lines are missing, or were added", n, e.Count)
		}
		in.ended = true
		return nil
	}
	for _, kind := range kinds {
		if kind.name == e.Record {
			return kind.put(&e, &in.batch)
		}
	}
	return fmt.Errorf("unknown record %q", e.Record)
}

func (e *entry) setName(n catalog.Name) {
	if utf8.ValidString(string(n)) {
		e.Name = string(n)
	} else {
		e.NameHex = hex.EncodeToString([]byte(n))
	}
}

func (e *entry) name() (catalog.Name, error) {
	s := e.Name
	if e.NameHex != "" {
		raw, err := hex.DecodeString(e.NameHex)
		if err != nil || e.Name != "" {
			return "", errors.New("bad name_hex")
		}
		s = string(raw)
	}
	return catalog.ParsePath(s)
}

func (e *entry) setKey(k Key) {
	e.setName(k.Name)
	e.SHA256 = k.SHA256.Hex()
}

func (e *entry) key() (Key, error) {
	n, err := e.name()
	if err != nil {
		return Key{}, err
	}
	if e.Size < 0 {
		return Key{}, fmt.Errorf("bad size %d", e.Size)
	}
	sum, err := digest.Parse(digest.SHA256, e.SHA256)
	return Key{n, sum}, err
}

// fill makes e the line of a key and its value.
func (e *entry) fill(k, v []byte) error {
	switch k[0] {
	case prefixRun:
		sec, err := strconv.ParseInt(string(k[2:]), 10, 64)
		if err != nil {
			return errRecord
		}
		e.Start = secs(sec)
		return decode(v, &e.Summary)
	case prefixMeta:
		e.Key = string(k[2:])
		return decode(v, &e.Value)
	}
	r, err := read(k, v, nil)
	if err != nil {
		return err
	}
	r.export(e)
	return nil
}

func (d *Distfile) export(e *entry) {
	e.setKey(d.Key())
	e.Digests = d.Digests.Others()
	e.Size, e.Named, e.Owner, e.Kind, e.Origin = d.Size, d.Named, d.Owner, string(d.Kind), d.Origin
	e.Added, e.Verified, e.ModTime = d.Added, d.Verified, d.ModTime
}

func (r *Recycled) export(e *entry) {
	r.Distfile.export(e)
	e.Since, e.Pending = r.Since, r.Pending
}

func (e *entry) distfile() (d Distfile, err error) {
	k, err := e.key()
	if err != nil {
		return d, err
	}
	d = Distfile{
		Content: layout.Content{Name: k.Name, Size: e.Size, ModTime: e.ModTime, Named: e.Named, Kind: catalog.Kind(e.Kind)},
		Owner:   e.Owner, Origin: e.Origin, Added: e.Added, Verified: e.Verified,
	}
	sums := []digest.Digest{k.SHA256}
	for name, text := range e.Digests {
		a, ok := digest.ParseAlgorithm(name)
		if !ok || a == digest.SHA256 {
			return d, fmt.Errorf("unknown digest %q", name)
		}
		s, err := digest.Parse(a, text)
		if err != nil {
			return d, err
		}
		sums = append(sums, s)
	}
	d.Digests, _ = digest.NewSet(sums...)
	return d, nil
}

func importDistfile(e *entry, b *Batch) error {
	d, err := e.distfile()
	b.PutDistfile(&d)
	return err
}

func importRecycled(e *entry, b *Batch) error {
	d, err := e.distfile()
	b.PutRecycled(&Recycled{d, e.Since, e.Pending})
	return err
}

func (f *Failure) export(e *entry) {
	e.Failure = &entryFailure{Failure: *f}
	e.setName(f.Name)
}

func importFailure(e *entry, b *Batch) (err error) {
	if e.Failure == nil || len(e.Failure.Want) != wantLen {
		return errors.New("failure without its fields")
	}
	if e.Name != "" || e.NameHex != "" { // else it is a failure of a package
		e.Failure.Name, err = e.name()
	}
	b.PutFailure(&e.Failure.Failure)
	return err
}

func (d *Deletion) export(e *entry) {
	e.setKey(d.Key)
	e.Since, e.Owner, e.Size, e.Undone = d.Since, d.Owner, d.Size, d.Undone
}

func importDeletion(e *entry, b *Batch) error {
	k, err := e.key()
	b.PutDeletion(&Deletion{k, e.Since, e.Owner, e.Size, e.Undone})
	return err
}

func (d *Dropped) export(e *entry) {
	e.setName(d.Name)
	f := d.File
	e.SHA256, e.Size, e.ModTime, e.Since = d.SHA256.Hex(), f.Size, nanos(f.ModTime), d.Since
	e.Dev, e.Inode = f.Dev, f.Inode
	if f.Changed != 0 {
		e.Changed = nanos(f.Changed)
	}
	e.Want, e.Refused = d.Want, d.Refused
}

func importDropped(e *entry, b *Batch) error {
	k, err := e.key()
	f := regular.ID{Dev: e.Dev, Inode: e.Inode, Size: e.Size, ModTime: e.ModTime.UnixNano()}
	if !e.Changed.IsZero() {
		f.Changed = e.Changed.UnixNano()
	}
	b.PutDropped(&Dropped{k.Name, f, k.SHA256, e.Since, e.Want, e.Refused})
	return err
}

func importRun(e *entry, b *Batch) error {
	if len(e.Summary) == 0 {
		return errors.New("run without a summary")
	}
	b.PutRun(&Run{e.Start, e.Summary})
	return nil
}

func importMeta(e *entry, b *Batch) error {
	if e.Key == "" || e.Key == schemaKey {
		return fmt.Errorf("bad key %q", e.Key)
	}
	if err := new(Notes).set(e.Key, e.Value); err != nil {
		return err
	}
	b.putNote(e.Key, e.Value, nil)
	return nil
}
