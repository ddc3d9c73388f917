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
	"strings"

	"github.com/google/renameio/v2"
)

// sealName is the list of badger's tables and their SHA-256, written when a
// ledger is closed. badger maps its tables into memory and panics, in
// goroutines that nobody can recover, over one that does not hold what it
// expects; so they are compared with the list before badger sees them. Tables
// never change once written: a list is still true after a crash, only short.
const sealName = "SEAL"

// maxSeal bounds the reading of the list: some 100 bytes a table.
const maxSeal = 1 << 20

// known has the sums of the tables that were there when the ledger was opened.
func writeSeal(dir string, known map[string]string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, t := range tables {
		name := filepath.Base(t)
		sum := known[name]
		if sum == "" {
			if sum, err = sumFile(t); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "%s %s\n", sum, name)
	}
	return renameio.WriteFile(filepath.Join(dir, sealName), b.Bytes(), 0o644)
}

// checkSeal returns an error that wraps ErrDamaged when a table is not what it
// was when the ledger was last closed, and the sums of those that are. A table
// that is gone is badger's to judge: after a crash it may have been merged into
// another.
func checkSeal(dir string) (map[string]string, error) {
	path := filepath.Join(dir, sealName)
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // new, or never closed
	} else if err != nil {
		return nil, err
	}
	if st.Size() > maxSeal {
		return nil, fmt.Errorf("%s: %w: file too large", path, ErrDamaged)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	known := make(map[string]string)
	sc := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		want, name, ok := strings.Cut(sc.Text(), " ")
		if !ok || name != filepath.Base(name) || len(want) != 2*sha256.Size {
			return nil, fmt.Errorf("%s:%d: %w: unreadable line", path, n, ErrDamaged)
		}
		table := filepath.Join(dir, name)
		got, err := sumFile(table)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case got != want:
			return nil, fmt.Errorf("%s: %w: content changed since the ledger was closed", table, ErrDamaged)
		default:
			known[name] = want
		}
	}
	return known, sc.Err()
}

func sumFile(path string) (string, error) {
	f, err := os.Open(path)
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
