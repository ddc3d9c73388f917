package bucket

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// A snapshot is a document that lists names and their contents, which is compressed JSON
// Lines: first what the snapshot is, then a Kept each. It never changes. A content that
// one of them has is not removed, whoever asks for it.

const snapshotDocs, snapshotExt = "snapshots/", ".jsonl.gz"

// A Kept is a content that a snapshot has, under one name.
type Kept struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// Named says that the name led to it.
	Named bool `json:"named"`
}

// KeepSnapshot writes the snapshot name. Its error wraps ErrExists when there is one.
func (b *Bucket) KeepSnapshot(ctx context.Context, name string, header any, contents iter.Seq[Kept]) error {
	if err := os.MkdirAll(b.o.Cache, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(b.o.Cache, "."+name+".*")
	if err != nil {
		return err
	}
	defer func() { f.Close(); os.Remove(f.Name()) }()
	h := digest.NewHasher()
	z := gzip.NewWriter(io.MultiWriter(f, h))
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(header); err != nil {
		return err
	}
	for k := range contents {
		if err := enc.Encode(k); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	b.forget()
	_, err = b.PutDoc(ctx, snapshotDoc(name), f, h.Size(), h.Sum().Get(digest.SHA256), Nothing)
	return err
}

func snapshotDoc(name string) string { return snapshotDocs + name + snapshotExt }

// cached is where a snapshot is kept here, or empty.
func (b *Bucket) cached(name string) string {
	if b.o.Cache == "" {
		return ""
	}
	return filepath.Join(b.o.Cache, name+snapshotExt)
}

// DropSnapshot removes the snapshot name. What only it had can be removed then.
func (b *Bucket) DropSnapshot(ctx context.Context, name string) error {
	b.forget()
	if err := b.RemoveDoc(ctx, snapshotDoc(name)); err != nil || b.o.Cache == "" {
		return err
	}
	if err := os.Remove(b.cached(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Snapshots returns the names of all, sorted.
func (b *Bucket) Snapshots(ctx context.Context) (names []string, err error) {
	prefix := b.doc(snapshotDocs)
	err = b.list(ctx, prefix, func(o *Object) error {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(o.Key, prefix), snapshotExt); ok && filepath.Base(name) == name {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// Snapshot reads the snapshot name: what it is into header, and calls f, if not nil, with
// each of its contents.
func (b *Bucket) Snapshot(ctx context.Context, name string, header any, f func(k *Kept) error) error {
	return b.lines(ctx, name, func(n int, line []byte) error {
		if n == 0 {
			if err := json.Unmarshal(line, header); err != nil || f != nil {
				return err
			}
			return io.EOF
		}
		k := new(Kept)
		if err := json.Unmarshal(line, k); err != nil {
			return err
		}
		return f(k)
	})
}

// lines calls f with each line of a snapshot until it returns an error, of which io.EOF
// ends it well.
func (b *Bucket) lines(ctx context.Context, name string, f func(n int, line []byte) error) (err error) {
	at := cmp.Or(b.cached(name), b.URLOfDoc(snapshotDoc(name)))
	defer func() {
		if err != nil {
			err = fmt.Errorf("snapshot %s: %w", name, err)
		}
	}()
	r, err := b.openSnapshot(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	z, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	sc := bufio.NewScanner(z)
	sc.Buffer(make([]byte, 64<<10), 1<<20)
	n := 0
	for ; sc.Scan(); n++ {
		if err := f(n, sc.Bytes()); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s:%d: %w", at, n+1, err)
		}
	}
	return sc.Err()
}

// openSnapshot opens what is kept here of a snapshot, and gets it where it is not.
func (b *Bucket) openSnapshot(ctx context.Context, name string) (io.ReadCloser, error) {
	path := b.cached(name)
	if path != "" {
		if f, err := regular.Open(path); !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	r, _, err := b.Doc(ctx, snapshotDoc(name))
	if err != nil || path == "" || os.MkdirAll(b.o.Cache, 0o755) != nil {
		return r, err // who may not write there reads it each time
	}
	err = regular.Replace(path, "", func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return regular.Open(path)
}

// Kept calls f with each content of each snapshot.
func (b *Bucket) Kept(ctx context.Context, f func(snapshot, name string, sum digest.Digest, size int64)) error {
	names, err := b.Snapshots(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := b.Snapshot(ctx, name, new(json.RawMessage), func(k *Kept) error {
			sum, err := digest.Parse(digest.SHA256, k.SHA256)
			if err == nil {
				f(name, k.Name, sum, k.Size)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// spares reports whether a snapshot has a content. It reads all of them at the first
// question.
func (b *Bucket) spares(ctx context.Context, sum digest.Digest) (bool, error) {
	b.sparing.Lock()
	defer b.sparing.Unlock()
	if b.spared == nil {
		spared := make(map[string]bool)
		names, err := b.Snapshots(ctx)
		if err != nil {
			return false, err
		}
		for _, name := range names {
			if err := b.lines(ctx, name, func(n int, line []byte) error { return sparing(spared, n, line) }); err != nil {
				return false, err
			}
		}
		b.spared = spared
	}
	return b.spared[string(sum.Raw())], nil
}

// sparing adds the digest of a line, which it finds without decoding the rest: there may be
// millions.
func sparing(spared map[string]bool, n int, line []byte) error {
	if n == 0 {
		return nil
	}
	_, rest, _ := bytes.Cut(line, []byte(`,"sha256":"`)) // no text has it: it would have backslashes
	hex, _, _ := bytes.Cut(rest, []byte(`"`))
	sum, err := digest.Parse(digest.SHA256, string(hex))
	if err != nil {
		return err
	}
	if raw := sum.Raw(); !spared[string(raw)] {
		spared[string(raw)] = true
	}
	return nil
}

// forget has spares read again.
func (b *Bucket) forget() {
	b.sparing.Lock()
	defer b.sparing.Unlock()
	b.spared = nil
}
