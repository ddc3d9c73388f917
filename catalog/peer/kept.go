package peer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"distkeep/catalog"
	"distkeep/catalog/feed"
	"distkeep/catalog/regular"
)

// stateFile has what is kept from run to run: a line of JSON, then a full list.
// Being one file, it is replaced as a whole.
const stateFile = "list"

// A kept is what is known of an archive; its fields are the first line of the state.
type kept struct {
	URL string `json:"url"` // without credentials
	// Version is that of the file that names the newest generation, Key the one
	// that it was signed by.
	Version catalog.Version `json:"version"`
	Key     string          `json:"key,omitempty"`
	Latest  feed.Latest     `json:"latest"`
	// SHA256 is that of the list.
	SHA256 string `json:"sha256"`

	state feed.State
}

func (r *Repository) newKept() *kept { return &kept{URL: catalog.Redact(r.o.URL), Key: r.o.Key} }

// load returns what is kept of the archive, or nil.
func (r *Repository) load() (*kept, error) {
	file := filepath.Join(r.o.State, stateFile)
	f, err := regular.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, feed.MaxFile+feed.MaxLatest))
	if err != nil {
		return nil, err
	}
	k := new(kept)
	line, list, _ := bytes.Cut(data, []byte("\n"))
	damaged := func(err error) error {
		return fmt.Errorf("%s is damaged: remove it, and the archive is asked anew: %w", file, err)
	}
	if err := json.Unmarshal(line, k); err != nil {
		return nil, damaged(err)
	}
	if k.URL != catalog.Redact(r.o.URL) {
		return nil, nil
	}
	if k.SHA256 != feed.Sum(list) {
		return nil, damaged(errors.New("its digest is wrong"))
	}
	g, err := feed.Decode(list)
	if err != nil {
		return nil, damaged(err)
	}
	k.state.Latest = k.Latest
	if k.state.List, err = g.List(); err != nil {
		return nil, damaged(err)
	}
	return k, nil
}

// keep writes k for the next run.
func (r *Repository) keep(k *kept) error {
	if r.o.Dry {
		return nil
	}
	list, err := feed.Full(k.state.Generation, k.state.Time, nil, k.state.List).Encode()
	if err != nil {
		return err
	}
	if err := r.o.Room(int64(len(list))); err != nil {
		return err
	}
	k.Latest, k.SHA256 = k.state.Latest, feed.Sum(list)
	line, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.o.State, 0o755); err != nil {
		return err
	}
	file := filepath.Join(r.o.State, stateFile)
	if err := regular.Write(file, slices.Concat(line, []byte("\n"), list), 0o644); err != nil {
		return fmt.Errorf("replace %s: %w", file, err)
	}
	return nil
}
