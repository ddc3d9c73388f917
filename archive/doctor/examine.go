package doctor

import (
	"context"
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"syscall"

	"distkeep/archive/ledger"
	"distkeep/archive/report"
	"distkeep/archive/store"
	"distkeep/archive/vault"
	"distkeep/catalog/digest"
)

// An examination is one look at an archive.
type examination struct {
	v     *vault.Vault
	local string // the drop box, or empty
	*tree
	torn     map[inode]bool // files at paths of several contents
	findings []*Finding
	// links are made after what fixes have read.
	links []*vault.Addition
	// sums are of the files that had to be read, by this examination or others.
	sums map[judged]digest.Digest
}

// A judged file was read as it was then.
type judged struct {
	inode inode
	size  int64
	mtime int64
}

// examine looks for everything that is wrong. It changes nothing and reads no
// file of the archive, except where several files are at the paths of one record
// or one file at those of several contents: size and time do not tell which is
// right.
func examine(ctx context.Context, v *vault.Vault, local string, sums map[judged]digest.Digest) (*examination, error) {
	d := &examination{v: v, local: local, sums: sums, tree: newTree(v)}
	unread, err := d.walk(ctx)
	if err != nil {
		return nil, err
	}
	d.findings = unread
	for rel, n := range d.nodes {
		if n.regular() && n.shut {
			d.find(d.shut(rel, n.mode))
		}
	}
	d.claim()
	d.twice(d.v.Index.Distfiles)
	for _, r := range d.v.Index.Distfiles {
		if err := d.record(ctx, r); err != nil {
			return nil, err
		}
	}
	if err := d.recycled(); err != nil {
		return nil, err
	}
	d.unknown()
	d.leftRecords()
	if err := d.leftOvers(); err != nil {
		return nil, err
	}
	d.lists()
	return d, nil
}

func (d *examination) find(f *Finding) { d.findings = append(d.findings, f) }

// about makes a finding about a record.
func about(kind string, r *ledger.Distfile, path, problem, remedy string) *Finding {
	return &Finding{Kind: kind, Path: path, Name: string(r.Name), SHA256: r.SHA256().Hex(), Problem: problem, Remedy: remedy}
}

// judge returns what is wrong with the bytes of a file that is taken for that of
// r, or "". Each file is read once.
func (d *examination) judge(ctx context.Context, r *ledger.Distfile, n *node) (string, error) {
	key := judged{n.inode, n.size, n.mtime}
	sum, ok := d.sums[key]
	if !ok {
		sums, _, err := d.v.Store.Hash(ctx, d.v.Store.Path(n.rel))
		switch {
		case ctx.Err() != nil:
			return "", context.Cause(ctx)
		case err != nil && !store.Broken(err) || errors.Is(err, syscall.EIO):
			return "it cannot be read: " + report.OneLine(err.Error()), nil
		case err != nil:
			return "", err
		}
		sum = sums.Get(digest.SHA256)
		d.sums[key] = sum
	}
	if sum != r.SHA256() {
		return "its SHA256 is " + sum.Hex(), nil
	}
	return "", nil
}

// leftRecords are records about nothing.
func (d *examination) leftRecords() {
	x := d.v.Index
	drop := func(kind, name, sum, problem, remedy string, change func(b *ledger.Batch)) {
		f := &Finding{Kind: kind, Name: name, SHA256: sum, Problem: problem, Remedy: remedy, late: true}
		f.fix = func(context.Context) error {
			var b ledger.Batch
			change(&b)
			return d.v.Commit(&b)
		}
		d.find(f)
	}
	for _, k := range slices.SortedFunc(maps.Keys(x.Deletions), ledger.Key.Compare) {
		if x.Distfiles.Get(k) == nil {
			drop(FindRecord, string(k.Name), k.SHA256.Hex(), "a deletion of what the archive does not have is scheduled", "drop the record", func(b *ledger.Batch) { b.DropDeletion(k) })
		}
	}
	for _, n := range slices.Sorted(maps.Keys(x.Dropped)) {
		r := x.Dropped[n]
		gone := d.local != "" && missing(path.Join(d.local, string(n)))
		if gone || r.Refused == "" && x.Distfiles.Get(ledger.Key{Name: n, SHA256: r.SHA256}) == nil {
			drop(FindRecord, string(n), r.SHA256.Hex(), "a file of distfiles-local has a record, and the archive does not have it", "drop the record, so that the file is read again if it is there", func(b *ledger.Batch) { b.DropDropped(n) })
		}
	}
}

// leftOvers are parts that nothing goes on with, and empty directories.
func (d *examination) leftOvers() error {
	parts, err := d.v.Store.Parts.LeftOvers(d.v.Now)
	if err != nil {
		return err
	}
	for _, p := range parts {
		d.find(&Finding{
			Kind: FindLeftOver, Path: p, Problem: "no transfer has gone on with it for weeks", Remedy: "remove it",
			fix: func(context.Context) error { _, err := d.v.Store.Parts.Sweep(d.v.Now); return err },
		})
	}
	for _, rel := range d.empty {
		if !d.filled[rel] {
			d.emptyDir(d.v.Store.Path(rel), rel)
		}
	}
	return nil
}

func (d *examination) emptyDir(dir, shown string) {
	d.find(&Finding{
		Kind: FindEmpty, Path: shown, Problem: "the directory is empty", Remedy: "remove it", late: true,
		fix: func(context.Context) error { d.v.Store.Prune(dir); return nil },
	})
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return err != nil
}
