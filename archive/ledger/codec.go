package ledger

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"distkeep/archive/layout"
	"distkeep/catalog"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
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

// version is the first byte of every value.
const version = 1

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

func parseContentKey(k []byte) (Key, error) {
	n := len(k) - 2 - 1 - 64
	if n < 1 {
		return Key{}, fmt.Errorf("key %q: %w", k, errRecord)
	}
	sum, err := digest.Parse(digest.SHA256, string(k[len(k)-64:]))
	if err != nil {
		return Key{}, fmt.Errorf("key %q: %w: %w", k, errRecord, err)
	}
	name, err := parseName(k[2 : 2+n])
	return Key{name, sum}, err
}

// parseName reads a name, of which paths are made. What a hostile export, or a bad
// disk, has put into the ledger does not become one.
func parseName(b []byte) (catalog.Name, error) {
	name, err := catalog.ParsePath(string(b))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errRecord, err)
	}
	return name, nil
}

// wire forms: short field names, times in Unix seconds (ModTime in
// nanoseconds), digests other than SHA256 as "ALG:hex ALG:hex".
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

func (d *Dropped) wire() wireDropped {
	f := d.File
	return wireDropped{f.Size, f.ModTime, f.Changed, f.Dev, f.Inode, d.SHA256.Hex(), d.Since.Unix(), d.Want, d.Refused}
}

func (w *wireDropped) file() regular.ID {
	return regular.ID{Dev: w.Dev, Inode: w.Inode, Size: w.Size, ModTime: w.ModTime, Changed: w.Changed}
}

func encode(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append([]byte{version}, b...), nil
}

func decode(b []byte, v any) error {
	if len(b) == 0 || b[0] != version {
		return fmt.Errorf("%w: version %.1q is newer than this program", errRecord, b)
	}
	if err := json.Unmarshal(b[1:], v); err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	return nil
}

func encodeDigests(s digest.Set) string {
	var b strings.Builder
	for _, d := range s {
		if d.Alg == digest.SHA256 {
			continue // in the key
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(d.Alg.String())
		b.WriteByte(':')
		b.WriteString(d.Hex())
	}
	return b.String()
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

func (d *Distfile) wire() wireDistfile {
	return wireDistfile{
		Size: d.Size, Digests: encodeDigests(d.Digests), Named: d.Named,
		Owner: d.Owner, Kind: string(d.Kind), Origin: d.Origin,
		Added: d.Added.Unix(), Verified: d.Verified.Unix(), ModTime: d.ModTime.UnixNano(),
	}
}

func (w *wireDistfile) distfile(k Key) (Distfile, error) {
	set, err := decodeDigests(k.SHA256, w.Digests)
	return Distfile{
		Content: layout.Content{Name: k.Name, Digests: set, Size: w.Size, ModTime: nanos(w.ModTime), Named: w.Named, Kind: catalog.Kind(w.Kind)},
		Owner:   w.Owner, Origin: w.Origin,
		Added: secs(w.Added), Verified: secs(w.Verified),
	}, err
}

func secs(s int64) time.Time { return time.Unix(s, 0).UTC() }

func nanos(ns int64) time.Time { return time.Unix(0, ns).UTC() }
