package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// recycled compares recycle with its records.
func (d *examination) recycled() error {
	known := make(map[string]bool)
	for _, r := range d.v.Index.Recycled {
		p := d.v.Recycle.Path(r)
		known[p] = true
		sized, timed, err := d.v.Recycle.File(r)
		switch {
		case err != nil:
			d.find(about(FindRecycle, &r.Distfile, p, report.OneLine(err.Error()), ""))
		case !timed:
			d.recycledLost(r, p, sized)
		case r.Pending:
			f := about(FindPending, &r.Distfile, p, "its deletion was interrupted: it is in recycle and still published", "remove the published links")
			f.fix = func(context.Context) error { return d.v.Recycle.End(r) }
			d.find(f)
		}
	}
	root := d.v.Store.RecycleDir()
	return filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case p != root && errors.Is(err, fs.ErrPermission):
			d.find(&Finding{Kind: FindUnread, Path: p, Problem: report.OneLine(err.Error())})
			return nil
		case err != nil:
			return err
		case e.IsDir():
			if entries, err := os.ReadDir(p); err == nil && len(entries) == 0 && p != root {
				d.emptyDir(p, p)
			}
			return nil
		case known[p]:
			return nil
		}
		return d.recycledUnknown(p, e)
	})
}

// recycledLost is about a file in recycle that is gone or has another time than
// the verified one. It may have been restored from a backup if it has the size.
func (d *examination) recycledLost(r *ledger.Recycled, p string, sized bool) {
	f := about(FindRecycle, &r.Distfile, p, "its file is gone from recycle or was changed there", "drop the record; what is there goes to quarantine")
	if sized {
		f.Problem = "its file in recycle has another time than the one that was verified"
		f.Remedy = "read it; if it is wrong it goes to quarantine, and the record is dropped"
	}
	f.fix = func(ctx context.Context) error {
		var b ledger.Batch
		if sized {
			switch back := d.v.Recycle.Read(ctx, r); {
			case back.Err == nil:
				fresh := *r
				fresh.Distfile = back.Entry
				fresh.ModTime, fresh.Verified = back.File.Was.ModTime().UTC(), d.v.Now
				b.PutRecycled(&fresh)
				return d.v.Commit(&b)
			case !errors.Is(back.Err, vault.ErrWrong) && !errors.Is(back.Err, fs.ErrNotExist):
				return back.Err
			}
		}
		if err := d.v.Recycle.Drop(&b, r, "changed."); err != nil {
			return err
		}
		return d.v.Commit(&b)
	}
	d.find(f)
}

// recycledUnknown is about a file in recycle that has no record.
func (d *examination) recycledUnknown(p string, e fs.DirEntry) error {
	fi, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	f := &Finding{Kind: FindRecycle, Path: p, Problem: "no record explains it", Remedy: "read it and record what it is; if it is something else it goes to quarantine"}
	sum, serr := digest.Parse(digest.SHA256, filepath.Base(filepath.Dir(p)))
	name, nerr := catalog.ParseName(filepath.Base(p))
	switch {
	case !fi.Mode().IsRegular():
		f.Kind, f.Problem, f.Remedy = FindIrregular, "it is no regular file", ""
	case serr != nil || nerr != nil || filepath.Dir(filepath.Dir(p)) != d.v.Store.RecycleDir():
		f.Remedy = "move it to quarantine"
		f.fix = func(context.Context) error {
			_, err := d.v.Store.Quarantine.SetAside("unknown", fi, []string{p})
			return err
		}
	default:
		a := &adoptee{path: p, name: name, sum: sum, size: fi.Size(), recycled: true, since: d.v.Now}
		// The directory was made, or last changed, when the file came.
		if dir, err := os.Lstat(filepath.Dir(p)); err == nil && dir.ModTime().Before(d.v.Now) {
			a.since = dir.ModTime().UTC()
		}
		f.SHA256, f.adopt = sum.Hex(), []*adoptee{a}
	}
	d.find(f)
	return nil
}
