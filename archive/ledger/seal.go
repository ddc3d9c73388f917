package ledger

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
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

func writeSeal(dir string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, t := range tables {
		sum, err := sumFile(t)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s\n", sum, filepath.Base(t))
	}
	return renameio.WriteFile(filepath.Join(dir, sealName), b.Bytes(), 0o644)
}

// checkSeal returns an error that wraps ErrDamaged when a table is not what it
// was when the ledger was last closed. A table that is gone is badger's to
// judge: after a crash it may have been merged into another.
func checkSeal(dir string) error {
	path := filepath.Join(dir, sealName)
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // new, or never closed
	} else if err != nil {
		return err
	}
	if st.Size() > maxSeal {
		return fmt.Errorf("%s: %w: file too large", path, ErrDamaged)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sc := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		want, name, ok := strings.Cut(sc.Text(), " ")
		if !ok || name != filepath.Base(name) || len(want) != 2*sha256.Size {
			return fmt.Errorf("%s:%d: %w: unreadable line", path, n, ErrDamaged)
		}
		table := filepath.Join(dir, name)
		got, err := sumFile(table)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case got != want:
			return fmt.Errorf("%s: %w: content changed since the ledger was closed", table, ErrDamaged)
		}
	}
	return sc.Err()
}

func sumFile(path string) (string, error) {
	b, err := os.ReadFile(path) // at most a few MiB: badger's tables are bounded
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(b)), nil
}
