package ledger

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// Keys begin with a letter for the kind of record. A name may contain "/", so
// what follows a name has a fixed length.
const (
	prefixDistfile = 'd' // d/<name>/<sha256 in hex>
	prefixFailure  = 'f' // f/<name>/<want, 16 characters>
	prefixSuccess  = 's' // s/<0><unix seconds, 12 digits><sha256 in hex><deed><name>
	prefixDeletion = 'x' // x/<name>/<sha256 in hex>
	prefixRecycled = 'y' // y/<name>/<sha256 in hex>
	prefixDropped  = 'l' // l/<name>
	prefixRun      = 'r' // r/<unix seconds, 12 digits>
	prefixMeta     = 'm' // m/<key>
)

// The first byte of a value is its form. Records are written in the binary one; those
// of former programs have JSON, as have notes and runs.
const (
	versionJSON   = 1
	versionBinary = 2
)

// wantLen is the length of Failure.Want.
const wantLen = 16

var errRecord = errors.New("unreadable record")

func nameKey(p byte, name catalog.Name) []byte {
	return append([]byte{p, '/'}, name...)
}

func contentKey(p byte, k Key) []byte {
	b := nameKey(p, k.Name)
	b = append(b, '/')
	return hex.AppendEncode(b, k.SHA256.Raw())
}

func failureKey(k FailureKey) []byte {
	b := nameKey(prefixFailure, k.Name)
	b = append(b, '/')
	return fmt.Appendf(b, "%-*.*s", wantLen, wantLen, k.Want)
}

func parseContentKey(k []byte, p *pool) (Key, error) {
	n := len(k) - 2 - 1 - 64
	if n < 1 {
		return Key{}, fmt.Errorf("key %q: %w", k, errRecord)
	}
	var raw [32]byte
	if _, err := hex.Decode(raw[:], k[len(k)-64:]); err != nil {
		return Key{}, fmt.Errorf("key %q: %w: %w", k, errRecord, err)
	}
	sum, err := digest.FromRaw(digest.SHA256, p.text(raw[:]))
	if err != nil {
		return Key{}, err
	}
	name, err := parseName(p.text(k[2 : 2+n]))
	return Key{name, sum}, err
}

// parseName reads a name, of which paths are made. What a hostile export, or a bad
// disk, has put into the ledger does not become one.
func parseName(s string) (catalog.Name, error) {
	name, err := catalog.ParsePath(s)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errRecord, err)
	}
	return name, nil
}

// A record is what is kept under one key, but for notes and runs.
type record interface {
	// code writes the fields that are not in the key, or reads them.
	code(c *coder)
	// parse reads the JSON of former programs.
	parse(text []byte) error
	// keep makes it one of s, export a line.
	keep(s *State)
	export(e *entry)
}

// read reads a record. p may be nil.
func read(k, v []byte, p *pool) (record, error) {
	r, err := blank(k, p)
	if err != nil {
		return nil, err
	}
	if len(v) == 0 {
		return nil, errRecord
	}
	switch v[0] {
	case versionJSON:
		err = r.parse(v[1:])
	case versionBinary:
		c := p.coder(v[1:])
		r.code(c)
		err = c.end()
	default:
		err = newer(v)
	}
	return r, err
}

// isText reports whether a key is that of a note or a run.
func isText(k []byte) bool { return k[0] == prefixMeta || k[0] == prefixRun }

// newer is the error of a form that only a newer program knows.
func newer(v []byte) error {
	return fmt.Errorf("%w: version %.1q is newer than this program", errRecord, v)
}

// blank returns what the key tells of a record.
func blank(k []byte, p *pool) (record, error) {
	if len(k) < 3 || k[1] != '/' {
		return nil, fmt.Errorf("key %q: %w", k, errRecord)
	}
	switch k[0] {
	case prefixFailure:
		return blankFailure(k, p)
	case prefixSuccess:
		return blankSuccess(k)
	case prefixDropped:
		name, err := parseName(string(k[2:]))
		return &Dropped{Name: name}, err
	}
	key, err := parseContentKey(k, p)
	if err != nil {
		return nil, err
	}
	c := layout.Content{Name: key.Name, Digests: append(p.grow(nil, 1), key.SHA256)}
	switch k[0] {
	case prefixDistfile:
		d := p.distfile()
		d.Content = c
		return d, nil
	case prefixRecycled:
		return &Recycled{Distfile: Distfile{Content: c}}, nil
	case prefixDeletion:
		return &Deletion{Key: key}, nil
	}
	return nil, fmt.Errorf("key %q: %w", k, errRecord)
}

func blankFailure(k []byte, p *pool) (*Failure, error) {
	n := len(k) - 2 - 1 - wantLen
	if n < 0 || k[2+n] != '/' {
		return nil, fmt.Errorf("key %q: %w", k, errRecord)
	}
	if n == 0 {
		return new(Failure), nil // that of a package has no name
	}
	name, err := parseName(p.text(k[2 : 2+n]))
	return &Failure{Name: name}, err
}

func (d *Distfile) code(c *coder) {
	c.int(&d.Size)
	c.bool(&d.Named)
	text(c, &d.Owner)
	text(c, &d.Kind)
	text(c, &d.Origin)
	c.seconds(&d.Added)
	c.seconds(&d.Verified)
	c.nanos(&d.ModTime)
	c.others(&d.Digests)
}

func (r *Recycled) code(c *coder) {
	r.Distfile.code(c)
	c.seconds(&r.Since)
	c.bool(&r.Pending)
}

func (d *Deletion) code(c *coder) {
	c.seconds(&d.Since)
	text(c, &d.Owner)
	c.int(&d.Size)
	c.bool(&d.Undone)
}

func (d *Dropped) code(c *coder) {
	f := &d.File
	c.uint(&f.Dev)
	c.uint(&f.Inode)
	c.int(&f.Size)
	c.int(&f.ModTime)
	c.int(&f.Changed)
	c.sha256(&d.SHA256)
	c.seconds(&d.Since)
	text(c, &d.Want)
	text(c, &d.Refused)
}

func (s *Success) code(c *coder) {
	c.int(&s.Bytes)
	text(c, &s.Origin)
}

func (f *Failure) code(c *coder) {
	text(c, &f.Want)
	text(c, &f.Class)
	text(c, &f.Reason)
	text(c, &f.Hint)
	text(c, &f.Owner)
	list(c, &f.Owners, func(s *string) { text(c, s) })
	list(c, &f.Maintainers, func(s *string) { text(c, s) })
	c.int(&f.Size)
	c.moment(&f.First)
	c.moment(&f.Last)
	c.moment(&f.Next)
	n := int64(f.Count)
	c.int(&n)
	f.Count = int(n)
	text(c, &f.Asked)
	list(c, &f.Answers, func(a *Answer) {
		text(c, &a.URL)
		text(c, &a.Host)
		text(c, &a.Class)
		text(c, &a.Text)
	})
}

func (d *Distfile) keep(s *State) { s.Distfiles = append(s.Distfiles, d) }
func (r *Recycled) keep(s *State) { s.Recycled[r.Key()] = r }
func (d *Deletion) keep(s *State) { s.Deletions[d.Key] = d }
func (d *Dropped) keep(s *State)  { s.Dropped[d.Name] = d }
func (f *Failure) keep(s *State)  { s.Failures[f.Key()] = f }
func (*Success) keep(*State)      {} // read when asked for

// encode and decode are for notes and runs.
func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte{versionJSON}, b...), nil
}

func decode(b []byte, v any) error {
	if len(b) == 0 || b[0] != versionJSON {
		return newer(b)
	}
	return unmarshal(b[1:], v)
}

func unmarshal(text []byte, v any) error {
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

func secs(s int64) time.Time { return time.Unix(s, 0).UTC() }

func nanos(ns int64) time.Time { return time.Unix(0, ns).UTC() }
