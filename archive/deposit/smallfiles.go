package deposit

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"distkeep/archive/bucket"
	"distkeep/archive/layout"
	"distkeep/catalog/regular"
)

// RestoreFiles gets the small files that were published in b back into the directory
// published, which is lost: what decides of them by which layouts clients ask, and what
// archives downstream were told.
func RestoreFiles(ctx context.Context, b *bucket.Bucket, published string) error {
	files := slices.Clone(layout.SmallFiles)
	err := b.Exposed(ctx, layout.GenerationsDir+"/", func(rel, _ string) error {
		if path.Dir(rel) == layout.GenerationsDir && filepath.IsLocal(path.Base(rel)) {
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, rel := range files {
		if err := restoreFile(ctx, b, rel, filepath.Join(published, filepath.FromSlash(rel))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func restoreFile(ctx context.Context, b *bucket.Bucket, rel, file string) error {
	r, err := b.OpenExposed(ctx, rel)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return regular.Replace(file, "", func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}
