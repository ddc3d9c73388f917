// Package deposit leaves in a bucket what an archive has there beside its contents: the
// ledger, so that the state directory can be lost and another worker can go on, what runs
// export for readers, and what readers find whom the storage itself serves. The
// document index.json, written last, says what of that belongs together.
//
// The rules that callers may rely on:
//
//   - The ledger in the bucket is the true one. It is written first, on the condition that
//     nobody else has written it since this state directory has; with it there is the
//     generation of the lease, so that no two holders write equal bytes. Whoever finds
//     that somebody else has written it takes that one over, see CatchUp.
//   - What was left is noted in the state directory: what has not changed costs no
//     request.
//   - What readers of other machines take is compared with the digests in the index.
//
// Begin reading at Upload for the ledger, and at Publish.
package deposit

import (
	"bytes"
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
	"distkeep/archive/export"
	"distkeep/archive/layout"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// The names of the documents. Those of reports are compressed.
const (
	ledgerDoc = "ledger.jsonl.gz"
	indexDoc  = "index.json"
	exposed   = "exposed"
	reports   = "report/"
	packed    = ".gz"
)

// left is what the state directory knows of the documents that are in the bucket.
type left struct {
	// Ledger is the ETag of the ledger, or bucket.Nothing.
	Ledger string `json:"ledger"`
	// Coming is the SHA-256 of the ledger that was going to be written: a process that
	// is killed then does not know whether it was.
	Coming string `json:"coming,omitempty"`
	// Reports are the SHA-256 of the reports, by name, and Index that of the index.
	Reports map[string]string `json:"reports"`
	Index   string            `json:"index,omitempty"`
	// Exposed is the SHA-256 of the record of what readers find.
	Exposed string `json:"exposed,omitempty"`
	// Whitelist is the SHA-256 of the whitelist.
	Whitelist string `json:"whitelist,omitempty"`
}

// ErrOther means that another state directory is used with the same bucket.
var ErrOther = errors.New("another worker has written its ledger meanwhile")

// Upload leaves the ledger of v and its reports in b.
func Upload(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	l, err := load(v.State)
	if err != nil {
		return err
	}
	if err := l.ledger(ctx, v, b); err != nil {
		return err
	}
	for _, file := range report.Shared {
		was := l.Reports[file]
		if err = document(ctx, v, b, reports+file+packed, filepath.Join(v.Store.ReportDir(), file), &was); err != nil {
			break
		}
		if was != "" {
			l.Reports[file] = was
		}
	}
	if err == nil {
		err = l.leaveWhitelist(ctx, v, b)
	}
	return errors.Join(err, l.save(v))
}

// Seal says in b what belongs together: what Upload has left there, and Publish, which has
// published as how says.
func Seal(ctx context.Context, v *vault.Vault, b *bucket.Bucket, how bucket.Publishing) error {
	l, err := load(v.State)
	if err != nil {
		return err
	}
	if how != bucket.PublishNone { // few files, which are written anew by whoever goes on
		err = document(ctx, v, b, exposed+packed, store.ExposedFile(v.State), &l.Exposed)
	}
	if err == nil {
		err = l.index(ctx, v, b)
	}
	return errors.Join(err, l.save(v))
}

func load(state string) (*left, error) {
	l := &left{}
	data, err := regular.Read(store.DepositedFile(state), 1<<24)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	} else if err == nil && json.Unmarshal(data, l) != nil {
		// It only saves requests, but for the ETag: the ledger is looked at again.
		l = &left{}
	}
	if l.Reports == nil {
		l.Reports = make(map[string]string)
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

// document writes the file path to a document, unless its SHA-256 is was still. It makes
// was that. There need be no file.
func document(ctx context.Context, v *vault.Vault, b *bucket.Bucket, name, path string, was *string) error {
	f, err := regular.OpenItself(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	sum, _, err := sumOf(f)
	if err != nil || *was == sum.Hex() {
		return err
	}
	_, err = put(ctx, v, b, name, bucket.Anything, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	}, func(digest.Digest) error { return nil })
	if err == nil {
		*was = sum.Hex()
	}
	return err
}

// put compresses what write writes, and writes it to a document if that is as was says. It
// tells coming the digest first.
func put(ctx context.Context, v *vault.Vault, b *bucket.Bucket, name, was string, write func(w io.Writer) error, coming func(sum digest.Digest) error) (etag string, err error) {
	f, err := os.CreateTemp(v.Store.PartsDir(), "document.*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	z := gzip.NewWriter(f)
	// Two holders of the lease never write the same bytes: one that has lost it cannot
	// take what the other has written for what it knows.
	z.Comment = fmt.Sprintf("generation %d", b.Generation())
	if err := errors.Join(write(z), z.Close()); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	sum, size, err := sumOf(f)
	if err == nil {
		err = coming(sum)
	}
	if err != nil {
		return "", err
	}
	return b.PutDoc(ctx, name, f, size, sum, was)
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
	etag, err := put(ctx, v, b, ledgerDoc, l.Ledger, func(w io.Writer) error { return export.Ledger(v, w) }, func(sum digest.Digest) error {
		l.Coming = sum.Hex()
		return l.save(v)
	})
	if other(err) {
		return fmt.Errorf("%w: %s is not the one that %s has left there", ErrOther, b.URLOfDoc(ledgerDoc), v.State)
	} else if err != nil {
		return err
	}
	l.Ledger, l.Coming = etag, ""
	return nil
}

// other reports whether err says that what is there is not what was known.
func other(err error) bool {
	return errors.Is(err, bucket.ErrExists) || errors.Is(err, bucket.ErrChanged)
}

// index says what there is now.
func (l *left) index(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	x := Index{Generation: b.Generation(), Reports: l.Reports, Files: make(map[string]string)}
	for _, rel := range layout.SmallFiles {
		switch f, err := regular.OpenItself(v.Store.Path(rel)); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			sum, _, err := sumOf(f)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			x.Files[rel] = sum.Hex()
		}
	}
	var err error
	x.Status, err = regular.Read(filepath.Join(v.Store.ReportDir(), report.StatusFile), maxIndex)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	data, err := json.Marshal(x)
	if err != nil {
		return err
	}
	sum := digest.SHA256.Sum(data)
	if l.Index == sum.Hex() {
		return nil
	}
	if _, err := b.PutDoc(ctx, indexDoc, bytes.NewReader(data), int64(len(data)), sum, bucket.Anything); err != nil {
		return err
	}
	l.Index = sum.Hex()
	return nil
}
