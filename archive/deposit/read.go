package deposit

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"distkeep/archive/bucket"
	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// An Index says what of all that is in a bucket beside contents belongs together.
type Index struct {
	// Generation is that of the lease of whoever has left it.
	Generation int64 `json:"generation"`
	// Reports and Files are the SHA-256 of the reports, and of the small files that readers
	// find, by name.
	Reports map[string]string `json:"reports"`
	Files   map[string]string `json:"files"`
	// Status is the summary of the last run.
	Status json.RawMessage `json:"status,omitempty"`
}

// ErrChanging means that a document is not the one of the index: a run is about to leave
// another one.
var ErrChanging = errors.New("a run leaves its documents just now")

const maxIndex = 64 << 20

// ReadIndex reads the index of b, unless it has the ETag was still: then it returns nil.
// Its error wraps fs.ErrNotExist where no run has left anything.
func ReadIndex(ctx context.Context, b *bucket.Bucket, was string) (x *Index, etag string, err error) {
	o, err := b.LookAtDoc(ctx, indexDoc)
	if err != nil || o.ETag == was {
		return nil, was, err
	}
	r, o, err := b.Doc(ctx, indexDoc)
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	x = new(Index)
	if err := json.NewDecoder(io.LimitReader(r, maxIndex)).Decode(x); err != nil {
		return nil, "", fmt.Errorf("%s: %w", b.URLOfDoc(indexDoc), err)
	}
	return x, o.ETag, nil
}

// Fetch makes the directories reports and published have what x names. have are the
// SHA-256 of what is there, by path; it is kept up to date. Its error wraps ErrChanging
// when all that is wrong is that a run leaves something else at the time.
func (x *Index) Fetch(ctx context.Context, b *bucket.Bucket, reportDir, published string, have map[string]string) (changing error) {
	named := make(map[string]string)
	get := func(path, sum string, open func() (io.ReadCloser, error)) error {
		if named[path] = sum; have[path] == sum {
			return nil
		}
		delete(have, path)
		switch err := fetch(open, sum, path); {
		case errors.Is(err, ErrChanging):
			changing = err
		case err != nil:
			return err
		default:
			have[path] = sum
		}
		return nil
	}
	// Whoever can write to the bucket cannot write elsewhere on this machine.
	for _, file := range report.Shared {
		if sum := x.Reports[file]; sum != "" {
			if err := get(filepath.Join(reportDir, file), sum, func() (io.ReadCloser, error) { return unpack(ctx, b, reports+file+packed) }); err != nil {
				return err
			}
		}
	}
	for _, rel := range layout.SmallFiles {
		if sum := x.Files[rel]; sum != "" {
			if err := get(filepath.Join(published, rel), sum, func() (io.ReadCloser, error) { return b.OpenExposed(ctx, rel) }); err != nil {
				return err
			}
		}
	}
	if len(x.Status) > 0 {
		if err := regular.Write(filepath.Join(reportDir, report.StatusFile), x.Status, 0o644); err != nil {
			return err
		}
	}
	for path := range have {
		if named[path] != "" {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		delete(have, path)
	}
	return changing
}

// unpack reads a document that was compressed.
func unpack(ctx context.Context, b *bucket.Bucket, name string) (io.ReadCloser, error) {
	r, _, err := b.Doc(ctx, name)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(r)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", b.URLOfDoc(name), err)
	}
	return unpacked{z, r}, nil
}

type unpacked struct {
	io.Reader
	io.Closer
}

// maxDocument bounds a document that is read.
const maxDocument = 16 << 30

// fetch reads to the file path what open opens, if it has the SHA-256 in hex.
func fetch(open func() (io.ReadCloser, error), want, path string) error {
	r, err := open()
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Base(path), ErrChanging)
	} else if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return regular.Replace(path, "", func(w io.Writer) error {
		h := digest.NewHasher()
		n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, maxDocument+1))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", filepath.Base(path), err)
		case n > maxDocument:
			return fmt.Errorf("%s has more than %d bytes", filepath.Base(path), int64(maxDocument))
		case h.Sum().Get(digest.SHA256).Hex() != want:
			return fmt.Errorf("%s: %w", filepath.Base(path), ErrChanging)
		}
		return nil
	})
}
