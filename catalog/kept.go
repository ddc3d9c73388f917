package catalog

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

	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// keptFile has what is kept from run to run: a line of JSON, then a list. Being one
// file, it is replaced as a whole.
const keptFile = "list"

// A Keep is the directory in which a repository keeps, from run to run, the list that
// it got from a URL.
type Keep struct {
	// Dir is made when it is missing.
	Dir string
	// URL is without credentials. What was got from another one is not loaded.
	URL string
	// Most bounds the line and the list.
	Most int64
	// Dry stores nothing.
	Dry bool
	// Room says whether need bytes more may be written.
	Room func(need int64) error
}

// Kept is what is known of every list that is kept; a repository embeds it in what it
// knows of its own, which becomes the line of JSON.
type Kept struct {
	URL     string  `json:"url"`
	Version Version `json:"version"`
	SHA256  string  `json:"sha256"` // of the list
}

func (k *Kept) kept() *Kept { return k }

// About is a pointer to a struct that embeds Kept.
type About interface{ kept() *Kept }

// Load fills about and returns the list. Without a list nothing is kept.
func (k *Keep) Load(about About) (list []byte, err error) {
	f, err := regular.Open(k.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, k.Most))
	if err != nil {
		return nil, err
	}
	line, list, _ := bytes.Cut(data, []byte("\n"))
	if err := json.Unmarshal(line, about); err != nil {
		return nil, k.Damaged(err)
	}
	if about.kept().SHA256 != digest.SHA256.Sum(list).Hex() {
		return nil, k.Damaged(errors.New("its digest is wrong"))
	}
	if about.kept().URL != k.URL {
		return nil, nil
	}
	return list, nil
}

// Store replaces what is kept. It completes about.
func (k *Keep) Store(about About, list []byte) error {
	if k.Dry {
		return nil
	}
	if err := k.Room(int64(len(list))); err != nil {
		return err
	}
	about.kept().URL, about.kept().SHA256 = k.URL, digest.SHA256.Sum(list).Hex()
	line, err := json.Marshal(about)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.Dir, 0o755); err != nil {
		return err
	}
	if err := regular.Write(k.path(), slices.Concat(line, []byte("\n"), list), 0o644); err != nil {
		return fmt.Errorf("replace %s: %w", k.path(), err)
	}
	return nil
}

// Damaged returns an error that says what to do about a list that is kept and cannot
// be used because of err.
func (k *Keep) Damaged(err error) error {
	return fmt.Errorf("%s is damaged: remove it, and the list is asked for anew: %w", k.path(), err)
}

func (k *Keep) path() string { return filepath.Join(k.Dir, keptFile) }
