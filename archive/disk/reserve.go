package disk

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
)

// Reserve makes the file path, which takes size bytes of the disk. One of another
// size goes. On an error there is none.
func (d *Disk) Reserve(path string, size int64) error {
	if err := d.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := d.Create(path, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(allocate(f, size), f.Close()); err != nil {
		return errors.Join(&os.PathError{Op: "allocate", Path: path, Err: err}, d.Remove(path))
	}
	return nil
}

// fill writes size bytes that no file system makes fewer.
func fill(f *os.File, size int64) error {
	_, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), size)
	return err
}
