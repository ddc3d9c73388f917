package store

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// ReplaceSecret replaces the file path of the state with one that nobody else may
// read. It is durable when it returns.
func (s *Store) ReplaceSecret(path string, data []byte) error {
	temp := path + ".new"
	if err := s.fs.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.fs.Create(temp, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = s.fs.Sync(f)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.fs.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, s.fs.Remove(temp))
	}
	return s.fs.SyncDir(filepath.Dir(path))
}

// Remove removes a file of the state. It is not durable when it returns.
func (s *Store) Remove(path string) error { return s.fs.Remove(path) }
