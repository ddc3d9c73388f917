package fetch

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"distkeep/catalog"
	"distkeep/catalog/regular"
)

// A Kept is a file in quarantine.
type Kept struct {
	// ID is the name of the file there.
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// Time is when it got there, or else when it was last modified.
	Time time.Time `json:"time"`
	// Record tells what a transfer brought; nil for other files.
	Record *Quarantined `json:"record,omitempty"`
}

// The kinds of what is in quarantine, by how it got there.
const (
	KeptFetched  = "fetched"  // a transfer brought it, and it is not what the tree says
	KeptChanged  = "changed"  // it was published, and its bytes are no more what was verified
	KeptReplaced = "replaced" // it was in the way of a published file
	KeptUnknown  = "unknown"  // it was where only recorded files may be
)

// kindOf tells the kind by the first part of a name.
func kindOf(id string) string {
	first, _, more := strings.Cut(id, ".")
	switch {
	case len(id) == 64 && strings.Trim(id, "0123456789abcdef") == "":
		return KeptFetched
	case more && (first == KeptChanged || first == KeptReplaced):
		return first
	}
	return KeptUnknown
}

// maxRecord bounds a record that is read.
const maxRecord = 1 << 20

// ListQuarantine returns the files in the quarantine at dir, the oldest first. It may
// be called at any time; a record that cannot be read is left out. A quarantine that
// is not there is empty.
func ListQuarantine(dir string) (list []Kept, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, e := range entries {
		fi, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case !fi.Mode().IsRegular() || isRecord(e.Name()):
			continue
		}
		k := Kept{ID: e.Name(), Kind: kindOf(e.Name()), Size: fi.Size(), Time: fi.ModTime().UTC()}
		if k.Kind == KeptFetched {
			if k.Record = readRecord(filepath.Join(dir, k.ID+".json")); k.Record != nil {
				k.Time = k.Record.Time
			}
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b Kept) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// isRecord reports whether a file is the record of another.
func isRecord(name string) bool {
	of, ok := strings.CutSuffix(name, ".json")
	return ok && kindOf(of) == KeptFetched
}

func readRecord(path string) *Quarantined {
	f, err := regular.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	rec := new(Quarantined)
	if json.NewDecoder(io.LimitReader(f, maxRecord)).Decode(rec) != nil {
		return nil
	}
	return rec
}

// DropQuarantined removes a file from the quarantine at dir, with its record. There
// is no other link to it, unless the archive has its bytes elsewhere.
func DropQuarantined(dir, id string) error {
	if err := os.Remove(filepath.Join(dir, id)); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, id+".json")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Name returns the name that the bytes are known by: that of the distfile that was
// asked for, or was in its place, or else the ID.
func (k *Kept) Name() catalog.Name {
	if k.Record != nil {
		return k.Record.Name
	}
	if name, ok := strings.CutPrefix(k.ID, KeptReplaced+"."); ok {
		if i := strings.LastIndexByte(name, '.'); i > 0 {
			return catalog.Name(name[:i])
		}
	}
	return catalog.Name(k.ID)
}
