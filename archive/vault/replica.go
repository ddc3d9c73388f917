package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"distkeep/archive/store"
	"distkeep/catalog/digest"
)

// A Replica is one inode that holds, or should hold, a content.
type Replica struct {
	Info  fs.FileInfo
	Paths []string
	// Wrong is what is wrong with it, for who reads it.
	Wrong string
}

// Replicas groups paths by the file that they are links to. What is not a regular
// file is nobody's copy.
func Replicas(paths []string) (rs []*Replica, err error) {
	for _, p := range paths {
		fi, err := os.Lstat(p)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		} else if err != nil {
			return nil, err
		}
		if !fi.Mode().IsRegular() {
			continue
		}
		i := slices.IndexFunc(rs, func(r *Replica) bool { return os.SameFile(r.Info, fi) })
		if i < 0 {
			i = len(rs)
			rs = append(rs, &Replica{Info: fi})
		}
		rs[i].Paths = append(rs[i].Paths, p)
	}
	return rs, nil
}

// Compare reads r and says what is wrong with it if it is not the content of that
// digest and size, or "". An unreadable sector is damage; anything else that keeps
// us from reading is an error. read is called before every n bytes.
func (r *Replica) Compare(ctx context.Context, sum digest.Digest, size int64, read func(ctx context.Context, n int) error) (wrong string, err error) {
	if r.Info.Size() != size {
		return fmt.Sprintf("it has %d bytes, want %d", r.Info.Size(), size), nil
	}
	got, fi, err := store.Reread(ctx, r.Paths[0], read)
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case errors.Is(err, store.ErrDamaged):
		return err.Error(), nil
	case err != nil:
		return "", err
	case !os.SameFile(fi, r.Info):
		return "", fmt.Errorf("%s: replaced while it was read", r.Paths[0])
	case got != sum:
		return "its SHA256 is " + got.Hex(), nil
	}
	return "", nil
}
