package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog/regular"
)

// Ledger writes the ledger of an archive as JSON Lines.
func Ledger(v *vault.Vault, w io.Writer) error {
	return v.Ledger().Export(w)
}

// LedgerFile does so to a file, which has all of it or stays as it is. What
// a symbolic link leads to is replaced, not the link; into a device or a pipe it
// is written.
func LedgerFile(v *vault.Vault, path string) (err error) {
	real, err := vault.RealPath(path)
	if err != nil {
		return fmt.Errorf("export ledger: %w", err)
	}
	if fi, err := os.Stat(real); err == nil && !fi.Mode().IsRegular() {
		return ledgerInto(v, real)
	}
	if err := regular.Replace(real, "", func(w io.Writer) error { return Ledger(v, w) }); err != nil {
		return fmt.Errorf("export ledger: %w", err)
	}
	return nil
}

// ledgerInto writes the ledger into what is at path and no regular file.
func ledgerInto(v *vault.Vault, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("export ledger: %w", err)
	}
	return errors.Join(Ledger(v, f), f.Close())
}

// ImportLedger reads into the ledger, which must be empty, what Ledger
// wrote, and returns the number of records; file is for errors.
func ImportLedger(ctx context.Context, v *vault.Vault, file string, r io.Reader) (int, error) {
	n, err := v.Ledger().Import(file, r)
	if errors.Is(err, ledger.ErrNotEmpty) {
		return 0, fmt.Errorf("%w: move %s away first", err, v.Store.LedgerDir())
	} else if err != nil {
		return 0, err
	}
	if err := v.Load(ctx); err != nil {
		return n, err
	}
	return n, Refresh(v, "import")
}
