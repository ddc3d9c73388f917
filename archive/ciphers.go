package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/plan"
	"distkeep/archive/store"
)

// listCiphers lists by_cipher. The base64 spellings are further links to what
// the hex ones have.
func listCiphers(s *store.Store) ([]plan.Cipher, error) {
	var files []plan.Cipher
	root := s.Path("")
	err := filepath.WalkDir(s.Path(layout.CipherDir), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil // a record that needs it asks for it
		} else if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		sum, name, ok := layout.ParseByCipher(rel)
		if !ok || !e.Type().IsRegular() {
			return nil
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		files = append(files, plan.Cipher{Key: ledger.Key{Name: name, SHA256: sum}, Rel: rel, Size: fi.Size()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list archive: %w", err)
	}
	return files, nil
}
