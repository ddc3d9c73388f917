package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

const distfilesFile = "distfiles.jsonl"

// A Distfile is a content that the archive holds under one name. AppendJSON has
// all its fields.
type Distfile struct {
	// Name is the first field: FindDistfiles relies on it.
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// Modified is the time of the file that was verified: one with another time is
	// not that file. Zero is not known.
	Modified time.Time `json:"modified,omitzero"`
	// Digests are the others that are known, in hex by algorithm.
	Digests map[string]string `json:"digests,omitempty"`
	// Named says that it is published under its name; otherwise it is below
	// by_cipher only.
	Named    bool      `json:"named"`
	Owner    string    `json:"owner,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Origin   string    `json:"origin,omitempty"`
	Added    time.Time `json:"added"`
	Verified time.Time `json:"verified"`
	// Recycled says that it has left the published tree.
	Recycled bool `json:"recycled,omitempty"`
	// Undone is when it was last taken off the schedule by hand.
	Undone time.Time `json:"undone,omitzero"`
	// Shard is which shard of an archive has it, in a list that Merge has made.
	Shard string `json:"shard,omitempty"`
}

// A Content is a Distfile that is to be exported with the digests Sums, in place of
// SHA256 and Digests: nobody has to spell them before.
type Content struct {
	Distfile
	Sums digest.Set
}

// HasDistfiles reports whether WriteDistfiles has ever been called for dir.
func HasDistfiles(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, distfilesFile))
	return err == nil
}

// WriteDistfiles exports what the archive holds. It keeps nothing that ds yields, which
// may be the same record again with other contents.
func WriteDistfiles[T Distfile | Content](dir string, ds iter.Seq[*T], replace regular.Replacer) error {
	err := replace(filepath.Join(dir, distfilesFile), "", func(w io.Writer) error {
		return encodeLines(w, ds)
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// LoadDistfiles reads what WriteDistfiles wrote.
func LoadDistfiles(dir string) ([]Distfile, error) { return loadLines[Distfile](dir, distfilesFile) }

// Distfiles yields what WriteDistfiles wrote, without holding all of it. An error is
// the last that it yields.
func Distfiles(dir string) iter.Seq2[*Distfile, error] {
	return lines[Distfile](dir, distfilesFile, nil)
}

// A Version tells one state of what is exported from every other. Two are compared
// with ==; the zero Version is that of a directory into which nothing was exported.
type Version struct {
	// Distfiles is that of what the archive holds alone.
	Distfiles regular.ID
	// Status is that of the last run. It is exported last.
	Status regular.ID
}

// VersionOf returns the version of what dir has now.
func VersionOf(dir string) (v Version, err error) {
	for file, id := range map[string]*regular.ID{distfilesFile: &v.Distfiles, StatusFile: &v.Status} {
		switch fi, err := os.Stat(filepath.Join(dir, file)); {
		case err == nil:
			*id = regular.IDOf(fi)
		case !errors.Is(err, fs.ErrNotExist):
			return Version{}, err
		}
	}
	return v, nil
}

// FindDistfiles returns the contents that the archive holds under name, or
// those whose SHA-256 in hex is name. Only their lines are decoded. The error
// wraps ErrDamaged when one of those cannot be read.
func FindDistfiles(dir string, name string) (ds []Distfile, err error) {
	return findLines[Distfile](dir, distfilesFile, name)
}

// findLines returns the records of a file of which the name, their first field, or
// the SHA-256 is name.
func findLines[T any](dir, file, name string) (found []T, err error) {
	f, err := open(dir, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	quoted := appendText(nil, name)
	byName := fmt.Appendf(nil, `{"name":%s,`, quoted)
	bySum := fmt.Appendf(nil, `,"sha256":%s,`, quoted)
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	n := 1
	for ; sc.Scan(); n++ {
		line := sc.Bytes()
		if !bytes.HasPrefix(line, byName) && !bytes.Contains(line, bySum) {
			continue
		}
		var r T
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("%s:%d: %w: %w; distkeep doctor --repair writes it anew", f.Name(), n, ErrDamaged, err)
		}
		found = append(found, r)
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w: %w; distkeep doctor --repair writes it anew", f.Name(), n, ErrDamaged, err)
	}
	return found, nil
}

// CheckDistfiles returns an error that names the first line that WriteDistfiles
// cannot have written.
func CheckDistfiles(dir string) error { return checkLines(dir, distfilesFile) }

func checkLines(dir, file string) error {
	f, err := open(dir, file)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	n := 1
	for ; sc.Scan(); n++ {
		if !bytes.HasPrefix(sc.Bytes(), []byte(`{"name":`)) || !json.Valid(sc.Bytes()) {
			return fmt.Errorf("%s:%d: not a record", f.Name(), n)
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", f.Name(), n, err)
	}
	return nil
}
