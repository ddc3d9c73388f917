package vault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"distkeep/archive/ledger"
	"distkeep/archive/store"
	"distkeep/catalog/digest"
	"distkeep/fetch/failure"
)

// PathsOf are the absolute paths at which the file of d should be.
func (v *Vault) PathsOf(d *ledger.Distfile) []string {
	rels, err := v.Shelf.Layouts.Paths(&d.Content)
	if err != nil {
		rels = d.CipherPaths() // its name has no path
	}
	paths := make([]string, len(rels))
	for i, rel := range rels {
		paths[i] = v.Store.Path(rel)
	}
	return paths
}

// RecyclePath is the absolute path of the file of r in recycle.
func (v *Vault) RecyclePath(r *ledger.Recycled) string { return v.Store.RecyclePath(&r.Content) }

// RecycledFile reports whether recycle has a file of the size of r, and whether
// that has the time of the verified one as well. The error is why neither is known.
func (v *Vault) RecycledFile(r *ledger.Recycled) (sized, timed bool, err error) {
	f := store.LookAt(v.RecyclePath(r))
	sized = f.Err == nil && f.Size == r.Size
	return sized, sized && f.ModTime.Equal(r.ModTime), f.Err
}

// LookAgain notes that what is at a path, absolute, has changed.
func (v *Vault) LookAgain(path string) {
	if rel, ok := strings.CutPrefix(path, v.Store.Published()+"/"); ok {
		v.Disk.Look(rel)
	}
}

// Touched looks again at the paths of d, and reports whether something has
// changed since they were looked at.
func (v *Vault) Touched(d *ledger.Distfile) (any bool) {
	for rel := range v.Shelf.Paths(&d.Content) {
		was, _ := v.Disk.Get(rel)
		v.Disk.Look(rel)
		is, _ := v.Disk.Get(rel)
		any = any || was.Size != is.Size || !was.ModTime.Equal(is.ModTime) || (was.Err == nil) != (is.Err == nil)
	}
	return any
}

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

// ClearPaths moves the files at the paths of d, whose bytes are gone, to
// quarantine. Its error wraps store.ErrStuck when one of them cannot be moved.
func (v *Vault) ClearPaths(d *ledger.Distfile) error {
	rs, err := Replicas(v.PathsOf(d))
	if err != nil {
		return err
	}
	for _, r := range rs {
		_, err := v.Store.Quarantine.SetAside("changed."+d.SHA256().Hex(), r.Info, r.Paths)
		for _, path := range r.Paths {
			v.LookAgain(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DropRecycled moves the file of r in recycle, which is not what was put there,
// to quarantine, and puts into b that r is lost.
func (v *Vault) DropRecycled(b *ledger.Batch, r *ledger.Recycled, label string) error {
	rs, err := Replicas([]string{v.RecyclePath(r)})
	if err != nil {
		return err
	}
	for _, c := range rs {
		if _, err := v.Store.Quarantine.SetAside(label+r.SHA256().Hex(), c.Info, c.Paths); err != nil {
			return fmt.Errorf("%s: %w", c.Paths[0], err)
		}
	}
	v.LoseRecycled(b, r, "damaged in recycle, and moved to quarantine")
	return nil
}

// LoseRecycled puts into b that the content of r, in recycle, is lost, and why.
func (v *Vault) LoseRecycled(b *ledger.Batch, r *ledger.Recycled, why string) {
	v.Changed = true
	b.DropRecycled(r.Key())
	v.forget(b, &r.Distfile, why)
}

// Lose puts into b that the content of d is lost, and why.
func (v *Vault) Lose(b *ledger.Batch, d *ledger.Distfile, why string) {
	v.Changed = true
	b.DropDistfile(d.Key())
	b.DropDeletion(d.Key())
	v.forget(b, d, "damaged in the archive, the next run fetches it again: "+why)
}

// forget leaves a failure behind for the next run, which knows the whitelist and
// decides whether anybody misses d.
func (v *Vault) forget(b *ledger.Batch, d *ledger.Distfile, why string) {
	b.PutFailure(&ledger.Failure{
		Name: d.Name, Want: d.Failure(ledger.Lost).Want, Class: string(failure.Local), Owner: d.Owner,
		Reason: why, First: v.Now, Last: v.Now, Count: 1,
	})
}
