package deposit

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"distkeep/catalog/regular"

	"distkeep/archive/bucket"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
)

// The state has a file that says what is at each path of readers, so that no run has to
// list them. Its lines have, with tabs between, how the path leads to what it does, the
// SHA-256 of that, the ETag, and the path.

const exposedHeader = "distkeep exposed 1\n"

// How a path leads to something, beside the Publishings.
const (
	asFile = bucket.Publishing("file") // a small file
	asGone = bucket.Publishing("gone") // it does not
	// inDoubt is of a path that is going to be changed, or was while a process was
	// killed: nobody knows what is there.
	inDoubt = bucket.Publishing("doubt")
)

// An exposure is what is at a path.
type exposure struct {
	how  bucket.Publishing
	sum  digest.Digest
	etag string
	// kept is set of what has to stay.
	kept bool
}

// exposures are what is known of all paths.
type exposures map[string]*exposure

// loadExposures reads the record. It is nil where there is none, and nothing is known.
func loadExposures(state string) (exposures, error) {
	f, err := regular.Open(store.ExposedFile(state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	if line, err := r.ReadString('\n'); line != exposedHeader || err != nil {
		return nil, nil
	}
	is := make(exposures)
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF && line == "" {
			return is, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 4)
		if len(fields) < 4 {
			return nil, nil
		}
		x := &exposure{how: bucket.Publishing(fields[0]), etag: fields[2]}
		if x.sum, err = digest.Parse(digest.SHA256, fields[1]); err != nil {
			x.how = inDoubt
		}
		is[fields[3]] = x
	}
}

// save writes the record.
func (is exposures) save(v *vault.Vault) error {
	rels := slices.SortedFunc(maps.Keys(is), func(a, b string) int { return cmp.Compare(a, b) })
	return v.Store.Replace(store.ExposedFile(v.State), "", func(w io.Writer) error {
		if _, err := io.WriteString(w, exposedHeader); err != nil {
			return err
		}
		var line []byte
		for _, rel := range rels {
			x := is[rel]
			etag := x.etag
			if strings.ContainsAny(etag, "\t\n") {
				etag = ""
			}
			line = append(append(line[:0], x.how...), '\t')
			line = append(append(line, x.sum.Hex()...), '\t')
			line = append(append(line, etag...), '\t')
			if _, err := w.Write(append(append(line, rel...), '\n')); err != nil {
				return err
			}
		}
		return nil
	})
}

// restoreExposures gets back the record that the last worker has left in b. What is not as that
// says is in doubt.
func restoreExposures(ctx context.Context, v *vault.Vault, b *bucket.Bucket) error {
	file := store.ExposedFile(v.State)
	r, err := unpack(ctx, b, exposed+packed)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	} else if err != nil {
		return err
	}
	defer r.Close()
	err = v.Store.Replace(file, "", func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
	if err != nil {
		return err
	}
	is, err := loadExposures(v.State)
	if err != nil || is == nil {
		return err
	}
	there := make(map[string]string)
	err = b.Exposed(ctx, "", func(rel, etag string) error {
		there[rel] = etag
		return nil
	})
	if err != nil {
		return err
	}
	for rel, x := range is {
		if there[rel] != x.etag {
			x.how = inDoubt
		}
	}
	return is.save(v)
}
