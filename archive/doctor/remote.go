package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"distkeep/archive/layout"
	"distkeep/archive/ledger"
	"distkeep/archive/vault"
	"distkeep/catalog"
	"distkeep/catalog/digest"
)

// An archive whose contents are kept elsewhere is compared with what is there by one
// listing: the digest is in the name of each, and no bytes are read.

// sayCopy finds that a ledger has no records and has seen no run, where there is a copy.
func (d *doctor) sayCopy() {
	if d.o.Repair || d.o.From == "" || !d.v.Index.Notes.Clock.IsZero() || len(d.v.Index.Distfiles)+len(d.v.Index.Recycled) > 0 {
		return
	}
	d.report.Findings = append(d.report.Findings, &Finding{
		Kind: FindLedger, Path: d.v.Store.LedgerDir(), Problem: "it has no records",
		Remedy: "read those that the last run has left in " + d.o.From,
	})
}

// A stored content is one of the listing.
type stored struct {
	size int64
	at   time.Time
}

// examineRemote looks for everything that is wrong with such an archive.
func (doc *doctor) examineRemote(ctx context.Context) (*examination, error) {
	v := doc.v
	d := &examination{v: v}
	there := make(map[digest.Digest]stored)
	err := v.Remote.All(ctx, func(sum digest.Digest, size int64, at time.Time) error {
		there[sum] = stored{size, at}
		return nil
	}, func(where string) {
		d.find(&Finding{Kind: FindUnknown, Path: where, Problem: "its name is not that of a content"})
	})
	if err != nil {
		return nil, vault.Damage(err)
	}
	for _, r := range v.Index.Distfiles {
		d.remote(r, there, func(b *ledger.Batch, why string) { v.Lose(b, r, why) })
	}
	for _, r := range v.Index.Recycled {
		d.remote(&r.Distfile, there, func(b *ledger.Batch, why string) { v.Recycle.Lose(b, r, why) })
	}
	kept, err := d.kept(ctx, there)
	if err != nil {
		return nil, vault.Damage(err)
	}
	for sum, is := range there {
		if len(v.Index.WithSum(sum))+len(v.Index.RecycledWith(sum)) == 0 && !kept[sum] {
			d.unrecorded(sum, is)
		}
	}
	if doc.o.Beside != nil {
		beside, err := doc.o.Beside(ctx, v)
		if err != nil {
			return nil, vault.Damage(err)
		}
		for _, b := range beside {
			d.find(&Finding{Kind: b.Kind, Path: b.Path, Problem: b.Problem, Remedy: b.Remedy, fix: b.Mend, late: true})
		}
	}
	slices.SortFunc(d.findings, func(a, b *Finding) int { return cmpKeys(a, b) })
	return d, nil
}

// kept compares the contents of snapshots with what is there, and returns them.
func (d *examination) kept(ctx context.Context, there map[digest.Digest]stored) (kept map[digest.Digest]bool, err error) {
	kept = make(map[digest.Digest]bool)
	err = d.v.Remote.Kept(ctx, func(snapshot, name string, sum digest.Digest, size int64) {
		is, ok := there[sum]
		switch {
		case kept[sum]:
		case !ok:
			d.find(&Finding{Kind: FindLost, Name: name, SHA256: sum.Hex(), Problem: "snapshot " + snapshot + " has it, and its bytes are gone"})
		case is.size != size:
			d.find(&Finding{Kind: FindChanged, Name: name, SHA256: sum.Hex(), Problem: fmt.Sprintf("snapshot %s has it, and it has %d bytes, want %d", snapshot, is.size, size)})
		}
		kept[sum] = true
	})
	return kept, err
}

func cmpKeys(a, b *Finding) int {
	if a.key() < b.key() {
		return -1
	}
	return 1
}

// remote compares a record with what is there.
func (d *examination) remote(r *ledger.Distfile, there map[digest.Digest]stored, lose func(b *ledger.Batch, why string)) {
	is, ok := there[r.SHA256()]
	kind, why := FindChanged, fmt.Sprintf("it has %d bytes, want %d", is.size, r.Size)
	switch {
	case !ok:
		kind, why = FindLost, "its bytes are gone"
	case is.size == r.Size:
		return
	}
	f := about(kind, r, "", why, "drop the record; the next run fetches it")
	f.fix = func(ctx context.Context) error {
		if ok {
			if _, err := d.v.Remote.Aside(ctx, r.SHA256()); err != nil {
				return err
			}
		}
		var b ledger.Batch
		lose(&b, why)
		return d.v.Commit(&b)
	}
	d.find(f)
}

// unrecorded is a content that no record has: a process was killed when it had written
// it and not yet recorded it, or had dropped the record and not yet removed it, or the
// ledger is lost. It is read, and waits in recycle for who wants it.
func (d *examination) unrecorded(sum digest.Digest, is stored) {
	f := &Finding{
		Kind: FindUnknown, SHA256: sum.Hex(), Name: sum.Hex(), Problem: "no record has it",
		Remedy: "read it and keep it in recycle, where the next run finds what is wanted",
	}
	f.fix = func(ctx context.Context) error {
		text, err := d.v.Remote.NameOf(ctx, sum)
		if err != nil {
			return err
		}
		name, err := catalog.ParsePath(text)
		if err != nil {
			name = catalog.Name(sum.Hex())
		}
		c := layout.Content{Name: name, Size: is.size, Digests: digest.Set{sum}}
		sums, size, _, err := d.v.Remote.Read(ctx, &c, digest.Usual...)
		if err != nil {
			return err
		}
		if got := sums.Get(digest.SHA256); got != sum || size != is.size {
			_, err := d.v.Remote.Aside(ctx, sum)
			return err
		}
		c.Digests, c.ModTime = sums, is.at.UTC()
		var b ledger.Batch
		b.PutRecycled(&ledger.Recycled{Since: d.v.Now, Distfile: ledger.Distfile{Content: c, Origin: ledger.OriginAdopted, Added: d.v.Now, Verified: d.v.Now}})
		return d.v.Commit(&b)
	}
	d.find(f)
}
