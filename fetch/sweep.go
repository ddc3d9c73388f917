package fetch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// PartAge is how long a .part that does not grow is kept: its file is not wanted
// any more, or all of its sources have been dead for two weeks.
const PartAge = 14 * 24 * time.Hour

// Sweep removes the files directly in dir that were not written to for age, and
// returns how many they were and their bytes. A file from the future stays: the
// clock was changed. Errors do not end the sweep; they are returned together.
func Sweep(dir string, now time.Time, age time.Duration) (files int, bytes int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, err
	}
	var errs []error
	for _, e := range entries {
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && (fi.IsDir() || now.Sub(fi.ModTime()) < age) {
			continue
		}
		if err == nil {
			err = os.Remove(filepath.Join(dir, e.Name()))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files++
		bytes += fi.Size()
	}
	return files, bytes, errors.Join(errs...)
}
