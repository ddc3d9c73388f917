package ledger

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"distkeep/catalog/digest"
	"distkeep/catalog/regular"
)

// sealName is the list of badger's tables and their SHA-256, written when a
// ledger is closed. badger maps its tables into memory and panics, in
// goroutines that nobody can recover, over one that does not hold what it
// expects; so they are compared with the list before badger sees them.
//
// The first line is the SHA-256 of badger's MANIFEST. A process that was killed
// may have removed tables and given their numbers to new ones, which never
// happens without a change of the MANIFEST: then the list says nothing. badger
// checks the MANIFEST itself.
//
// Behind the tables are the flat files that have what is in them.
const sealName = "SEAL"

const manifestName = "MANIFEST"

// maxSeal bounds the reading of the list: some 100 bytes a table.
const maxSeal = 1 << 20

// Seal returns what tells the state of the closed ledger in dir from every other one,
// or "" when only opening it tells what it holds: it is new, or damaged, or was not
// closed.
//
// It is the hash of the list of tables, for which the MANIFEST is still the one that
// is listed and no log is left. That is enough without a look into the tables: what is
// committed is first in a log, which badger removes only when a table has all of it and
// the MANIFEST, which is longer by that, is durable. The numbers of tables only grow,
// as one of them always has the schema, so that no MANIFEST comes back. The sums of
// the tables are part of the seal: that of another ledger, with a MANIFEST of the same
// bytes, is another one. What is known of the files alone, their sizes and times, would
// not do: badger writes its log through memory, where their change is late.
func Seal(dir string) string {
	lines, text, err := readSeal(filepath.Join(dir, sealName))
	if err != nil || len(lines) == 0 || lines[0].name != manifestName {
		return ""
	}
	if sum, err := sumFile(filepath.Join(dir, manifestName)); err != nil || sum != lines[0].sum {
		return ""
	}
	if closed, err := noLogs(dir); err != nil || !closed {
		return ""
	}
	return digest.SHA256.Sum(text).Hex()
}

// noLogs reports whether all that was committed is in tables.
func noLogs(dir string) (bool, error) {
	files, err := os.ReadDir(dir)
	return !slices.ContainsFunc(files, func(f fs.DirEntry) bool { return filepath.Ext(f.Name()) == logExt }), err
}

// logExt is how the names of badger's logs of what is not in a table yet end.
const logExt = ".mem"

// A seal is the list, as it was found and as it is to be.
type seal struct {
	// tables are those whose content was found to be that of the list.
	tables map[string]sealed
	// flats are the sums of the flat files that have the records of their kinds as
	// they are, but for what has changed since, which is in a file with the sum recent.
	flats  map[byte]string
	recent string
}

// A sealed table has the sum that it had when it was this file.
type sealed struct {
	sum  string
	file fs.FileInfo
}

// write lists what is in dir.
func (s *seal) write(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	sum, err := sumFile(filepath.Join(dir, manifestName))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n", sum, manifestName)
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".sst" {
			continue
		}
		fi, err := f.Info()
		if err != nil {
			return err
		}
		k := s.tables[f.Name()]
		if k.file == nil || !os.SameFile(k.file, fi) || !k.file.ModTime().Equal(fi.ModTime()) {
			if k.sum, err = sumFile(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "%s %s\n", k.sum, f.Name())
	}
	for _, kind := range loaded {
		if sum := s.flats[kind]; sum != "" {
			fmt.Fprintf(&b, "%s %s\n", sum, flatName(kind))
		}
	}
	if s.recent != "" {
		fmt.Fprintf(&b, "%s %s\n", s.recent, recentName)
	}
	return regular.Write(filepath.Join(dir, sealName), b.Bytes(), 0o644)
}

// checkManifest returns an error that wraps ErrDamaged when badger's MANIFEST is
// gone: badger would make a new one and remove all tables that are not in it.
//
// A process that was killed leaves no such ledger: badger makes the MANIFEST
// before any of its other files with records, and durable; later on it replaces
// it by a rename.
func checkManifest(dir string) error {
	manifest := filepath.Join(dir, manifestName)
	if _, err := os.Lstat(manifest); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		fi, err := f.Info()
		if err != nil {
			return err
		}
		switch ext := filepath.Ext(f.Name()); {
		case fi.Size() == 0: // see dropEmpty
		case f.Name() == sealName, ext == ".sst", ext == ".vlog", ext == logExt:
			return fmt.Errorf("%s: %w: it is gone, and %s is there", manifest, ErrDamaged, f.Name())
		}
	}
	return nil
}

// checkSeal returns an error that wraps ErrDamaged when a table is not what it
// was when the ledger was last closed, and else what of the list still holds. A
// table that is gone is badger's to judge.
func checkSeal(dir string) (*seal, error) {
	s := &seal{tables: make(map[string]sealed), flats: make(map[byte]string)}
	path := filepath.Join(dir, sealName)
	lines, _, err := readSeal(path)
	if err != nil || len(lines) == 0 || lines[0].name != manifestName {
		return s, err
	}
	switch sum, err := sumFile(filepath.Join(dir, manifestName)); {
	case err != nil:
		return nil, err
	case sum != lines[0].sum:
		return s, nil // it was not closed since
	}
	closed, err := noLogs(dir)
	if err != nil {
		return nil, err
	}
	for _, l := range lines[1:] {
		if kind, ok := flatKind(l.name); ok {
			s.flats[kind] = l.sum
			continue
		} else if l.name == recentName {
			s.recent = l.sum
			continue
		}
		table := filepath.Join(dir, l.name)
		fi, err := os.Lstat(table)
		if errors.Is(err, fs.ErrNotExist) {
			closed = false
			continue
		} else if err != nil {
			return nil, err
		}
		switch got, err := sumFile(table); {
		case err != nil:
			return nil, err
		case got != l.sum:
			return nil, fmt.Errorf("%s: %w: content changed since the ledger was closed", table, ErrDamaged)
		}
		s.tables[l.name] = sealed{l.sum, fi}
	}
	if !closed {
		clear(s.flats)
	}
	return s, nil
}

// A sealLine is one line of the list.
type sealLine struct{ sum, name string }

// readSeal returns nothing for a ledger that is new or was never closed.
func readSeal(path string) (lines []sealLine, text []byte, err error) {
	text, err = regular.Read(path, maxSeal)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case errors.Is(err, regular.ErrTooLarge), errors.Is(err, regular.ErrIrregular):
		return nil, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return nil, nil, err
	}
	sc := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		sum, name, ok := strings.Cut(sc.Text(), " ")
		if !ok || name != filepath.Base(name) || len(sum) != 2*sha256.Size {
			return nil, nil, fmt.Errorf("%s:%d: %w: unreadable line", path, n, ErrDamaged)
		}
		lines = append(lines, sealLine{sum, name})
	}
	return lines, text, sc.Err()
}

func sumFile(path string) (string, error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
