// Package deposit leaves in a bucket what an archive has there beside its contents: the
// ledger, so that the state directory can be lost, and what readers find whom the
// storage itself serves.
//
// What was left is noted in the state directory: what has not changed costs no request.
// The ledger is written on the condition that nobody else has written it since, which
// two state directories for one bucket would do.
//
// Begin reading at Upload for the ledger, and at Publish.
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

	"distkeep/archive/bucket"
	"distkeep/archive/export"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// ledgerDoc is the name of the document.
const ledgerDoc = "ledger.jsonl.gz"

// left is what the state directory knows of the ledger that is in the bucket.
type left struct {
	// Ledger is the ETag of the ledger, or bucket.Nothing.
	Ledger string `json:"ledger"`
	// Coming is the SHA-256 of the ledger that was going to be written: a process that
	// is killed then does not know whether it was.
	Coming string `json:"coming,omitempty"`
}

// ErrOther means that another state directory is used with the same bucket.
var ErrOther = errors.New("another archive writes to the same bucket")

// Upload leaves the ledger of v in b.
func Upload(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	was, err := load(v.State)
	if err != nil {
		return err
	}
	return errors.Join(was.ledger(ctx, v, b), was.save(v))
}

func load(state string) (*left, error) {
	l := &left{}
	data, err := regular.Read(store.DepositedFile(state), 1<<24)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil && json.Unmarshal(data, l) != nil {
		// It only saves requests, but for the ETag: the ledger is looked at again.
		l = &left{}
	}
	return l, err
}

func (l *left) save(v *vault.Vault) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return v.Store.Replace(store.DepositedFile(v.State), "", func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
}

// sumOf reads f and goes back to its beginning.
func sumOf(f *os.File) (digest.Digest, int64, error) {
	h := digest.NewHasher()
	if _, err := io.Copy(h, f); err != nil {
		return digest.Digest{}, 0, err
	}
	_, err := f.Seek(0, io.SeekStart)
	return h.Sum().Get(digest.SHA256), h.Size(), err
}

// ledger writes the ledger.
func (l *left) ledger(ctx context.Context, v *vault.Vault, b *bucket.Bucket) (err error) {
	f, err := os.CreateTemp(v.Store.PartsDir(), "ledger.*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	z := gzip.NewWriter(f)
	if err := errors.Join(export.Ledger(v, z), z.Close()); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum, size, err := sumOf(f)
	if err != nil {
		return err
	}
	came := l.Coming
	l.Coming = sum.Hex()
	if err := l.save(v); err != nil {
		return err
	}
	etag, err := b.PutDoc(ctx, ledgerDoc, f, size, sum, l.Ledger)
	if other(err) {
		is, lerr := b.LookAtDoc(ctx, ledgerDoc)
		if lerr != nil {
			return lerr
		}
		if is.SHA256.IsZero() || is.SHA256.Hex() != came {
			return fmt.Errorf("%w: %s is not the one that %s has left there", ErrOther, b.URLOfDoc(ledgerDoc), v.State)
		}
		etag, err = b.PutDoc(ctx, ledgerDoc, f, size, sum, is.ETag)
	}
	if err != nil {
		return err
	}
	l.Ledger, l.Coming = etag, ""
	return nil
}

// other reports whether err says that what is there is not what was known.
func other(err error) bool {
	return errors.Is(err, bucket.ErrExists) || errors.Is(err, bucket.ErrChanged)
}

// Left reports whether b has a ledger that can be restored.
func Left(ctx context.Context, b *bucket.Bucket) (bool, error) {
	_, err := b.LookAtDoc(ctx, ledgerDoc)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Restore reads the ledger that the last run has left in b into that of v, which must be
// empty, and returns the number of records. From then on v is who writes it.
func Restore(ctx context.Context, v *vault.Vault, b *bucket.Bucket) (int, error) {
	r, o, err := b.Doc(ctx, ledgerDoc)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", b.URLOfDoc(ledgerDoc), err)
	}
	n, err := export.ImportLedger(ctx, v, b.URLOfDoc(ledgerDoc), z)
	if err != nil {
		return n, err
	}
	l, err := load(v.State)
	if err != nil {
		return n, err
	}
	l.Ledger = o.ETag
	return n, l.save(v)
}
