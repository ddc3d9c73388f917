package feed

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"distkeep/catalog"
	"distkeep/catalog/digest"
)

const (
	// MaxFile bounds a packed file: some millions of entries.
	MaxFile = 64 << 20
	// maxText bounds what comes out of it, and maxLine a line of that.
	maxText   = 1 << 30
	maxLine   = 16 << 10
	maxWindow = 1 << 20
	// past is what a line does that has the digest of an older file.
	past = "past"
)

// A Generation is a file of the feed as it is read or written.
type Generation struct {
	Header
	// Past are, in a full list, the SHA-256 in hex of the files of all generations
	// before, the first first.
	Past    []string
	Changes []Change
}

// A line is a line of a file. Fields that are not known are passed over.
type line struct {
	Do      string            `json:"do"`
	Name    string            `json:"name,omitempty"`
	From    string            `json:"from,omitempty"`
	SHA256  string            `json:"sha256"`
	Size    int64             `json:"size,omitempty"`
	Digests map[string]string `json:"digests,omitempty"`
	Owner   string            `json:"owner,omitempty"`
	Kind    string            `json:"kind,omitempty"`
	Named   bool              `json:"named,omitempty"`
}

// Encode packs g.
func (g *Generation) Encode() ([]byte, error) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxWindow))
	if err != nil {
		return nil, err
	}
	w := bufio.NewWriter(z)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	errs := []error{e.Encode(g.Header)}
	for _, sum := range g.Past {
		errs = append(errs, e.Encode(line{Do: past, SHA256: sum}))
	}
	for i := range g.Changes {
		c := &g.Changes[i]
		errs = append(errs, e.Encode(line{
			Do: c.Do, Name: string(c.Name), From: string(c.From), SHA256: c.Key().SHA256.Hex(), Size: c.Size,
			Digests: c.Digests.Others(), Owner: c.Owner, Kind: string(c.Kind), Named: c.Named,
		}))
	}
	errs = append(errs, w.Flush(), z.Close())
	return b.Bytes(), errors.Join(errs...)
}

// Decode unpacks a file, which is hostile.
func Decode(data []byte) (*Generation, error) {
	z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	sc := bufio.NewScanner(io.LimitReader(z, maxText))
	sc.Buffer(make([]byte, maxLine), maxLine)
	g := new(Generation)
	n := 0
	for ; sc.Scan(); n++ {
		if n == 0 {
			err = json.Unmarshal(sc.Bytes(), &g.Header)
		} else {
			err = g.parse(sc.Bytes())
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	if g.Generation < 1 {
		return nil, errors.New("it has no header")
	}
	return g, nil
}

func (g *Generation) parse(text []byte) error {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	sum, err := digest.Parse(digest.SHA256, l.SHA256)
	if err != nil {
		return err
	}
	c := Change{Do: l.Do, Entry: Entry{Size: l.Size, Owner: l.Owner, Kind: catalog.Kind(l.Kind), Named: l.Named}}
	switch l.Do {
	case past:
		g.Past = append(g.Past, sum.Hex())
		return nil
	case Moved:
		if c.From, err = catalog.ParsePath(l.From); err != nil {
			return err
		}
	case Added, Removed, Changed:
	default:
		return fmt.Errorf("unknown change %.20q: another archive of a newer distkeep?", l.Do)
	}
	if c.Name, err = catalog.ParsePath(l.Name); err != nil {
		return err
	}
	if c.Size < 0 {
		return fmt.Errorf("%q has the size %d", c.Name, c.Size)
	}
	all := []digest.Digest{sum}
	for name, hex := range l.Digests {
		a, known := digest.ParseAlgorithm(name)
		if !known {
			continue
		}
		d, err := digest.Parse(a, hex)
		if err != nil {
			return err
		}
		all = append(all, d)
	}
	var ok bool
	if c.Digests, ok = digest.NewSet(all...); !ok {
		return fmt.Errorf("%q has two digests of one algorithm", c.Name)
	}
	g.Changes = append(g.Changes, c)
	return nil
}

// Full makes the full list of a generation.
func Full(n int64, at time.Time, past []string, l List) *Generation {
	g := &Generation{Header: Header{Generation: n, Time: at}, Past: past}
	for _, e := range l.Sorted() {
		g.Changes = append(g.Changes, Change{Do: Added, Entry: *e})
	}
	return g
}
